//! A gateway that has only OpenFaaS's part of the admin API, and flows that want their requests to be signed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use faasflow_core::signature::{Keys, api_request};
use faasflow_http::read_body;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::{CODE, Ui};
use crate::support::{PATIENCE, ReceivedRequest, listen};

pub(super) const KEY: &str = "key-of-the-flows";
/// `admin:secret`.
const AUTHORIZATION: &str = "Basic YWRtaW46c2VjcmV0";

/// The gateway. It asks for a password, and knows the flows `upload` and `single`, and the functions `odd`, which has the key
/// of the flows, and `plain`.
pub(super) struct OpenFaas {
    pub(super) host: String,
    got: Arc<Mutex<Vec<(Method, ReceivedRequest)>>>,
    pub(super) refuses: Arc<AtomicBool>,
    _serving: AbortOnDropHandle<()>,
}

impl OpenFaas {
    pub(super) async fn listen() -> OpenFaas {
        let got = Arc::<Mutex<Vec<(Method, ReceivedRequest)>>>::default();
        let refuses = Arc::<AtomicBool>::default();
        let app = axum::Router::new().fallback({
            let (got, refuses) = (got.clone(), refuses.clone());
            async move |request: Request<Body>| {
                let (parts, body) = request.into_parts();
                let body = read_body(body, 1 << 20, PATIENCE).await.unwrap();
                let path = parts.uri.path_and_query().unwrap().to_string();
                let received = ReceivedRequest { path, headers: parts.headers, body };
                got.lock().unwrap().push((parts.method.clone(), received.clone()));
                let denied = refuses.load(Ordering::SeqCst) || received.header("authorization") != Some(AUTHORIZATION);
                if received.path.starts_with("/system/") && denied {
                    return answer(401, &[("www-authenticate", "Basic realm=\"Restricted\"")], "invalid credentials");
                }
                answered(&parts.method, &received)
            }
        });
        let (address, _serving) = listen(app).await;
        OpenFaas { host: address.to_string(), got, refuses, _serving }
    }

    pub(super) fn url(&self) -> String {
        format!("http://admin:secret@{}", self.host)
    }

    /// What came for paths that begin so.
    fn got(&self, below: &str) -> Vec<ReceivedRequest> {
        let got = self.got.lock().unwrap();
        got.iter().filter(|(_, request)| request.path.starts_with(below)).map(|(_, request)| request.clone()).collect()
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

fn functions() -> Value {
    let one = |name: &str, secrets: &[&str]| json!({ "name": name, "image": "i", "secrets": secrets, "replicas": 1, "availableReplicas": 1 });
    let mut plain = one("plain", &["other"]);
    // OpenFaaS leaves out numbers that are 0.
    plain.as_object_mut().unwrap().retain(|name, _| !["replicas", "availableReplicas"].contains(&name.as_str()));
    plain["envVars"] = json!({ "PASSWORD": "hidden" });
    let key = &["faasflow-hmac-secret"];
    json!([one("upload", key), one("single", key), one("odd", key), plain])
}

fn answered(method: &Method, request: &ReceivedRequest) -> Response<Body> {
    let json = |value: Value| answer(200, &[("content-type", "application/json")], value.to_string());
    match request.path.as_str() {
        "/system/functions" => json(functions()),
        path if path.starts_with("/system/logs?") && !path.contains("name=upload") => answer(500, &[], "no provider"),
        path if path.starts_with("/system/logs?") => {
            let line = json!({ "name": "upload", "instance": "upload-1", "text": "a line", "timestamp": "2026-01-01T00:00:00Z" });
            answer(200, &[("content-type", "application/x-ndjson")], format!("{line}\n"))
        }
        "/function/upload/_/flow" => json(json!({
            "name": "upload", "fingerprint": "9b2d", "state": "envelope", "on_failure": false, "finally": false,
            "phases": [{ "number": 1, "steps": [
                { "number": 1, "name": "function `resize`", "kind": "call", "function": "resize", "sync": false },
            ] }],
        })),
        path if path.starts_with("/function/single/_/") => {
            let problem = json!({ "reason": "the flow does not remember its requests", "code": "FF0420" });
            answer(501, &[(CODE, "FF0420")], problem.to_string())
        }
        path if path.starts_with("/function/upload/_/") => of_flow(method, path, request),
        path if path.starts_with("/function/upload") => {
            let headers = [("x-faasflow-request-id", "new-1"), ("set-cookie", "a=b"), ("content-type", "text/html")];
            answer(202, &headers, "<script>steal()</script>")
        }
        // These run for every request, whatever its path.
        path if path.starts_with("/function/odd") || path.starts_with("/function/plain") => answer(200, &[], "it ran"),
        _ => answer(404, &[("content-type", "text/plain")], "404 page not found\n"),
    }
}

/// The API of the flow `upload`.
fn of_flow(method: &Method, path: &str, request: &ReceivedRequest) -> Response<Body> {
    let target = path.strip_prefix("/function/upload").unwrap();
    let keys = Keys::parse(KEY).unwrap();
    let at = request.header("x-faasflow-signed-at").and_then(|at| at.parse().ok());
    let signed =
        at.map(|at| [api_request("upload", method.as_str(), target, at).as_bytes(), &request.body[..]].concat());
    let signature = request.headers.get("x-hub-signature").map(HeaderValue::as_bytes);
    if signed.is_none_or(|signed| keys.verify(signature, &signed).is_err()) {
        let problem = json!({ "reason": "the request is not signed", "code": "FF0407" });
        return answer(401, &[(CODE, "FF0407")], problem.to_string());
    }
    let body = match (method.as_str(), target) {
        ("GET", "/_/requests/a/result") => {
            return answer(
                401,
                &[("x-faasflow-outcome", "success"), ("content-type", "text/html")],
                "<b>own words</b>",
            );
        }
        ("GET", target) if target.starts_with("/_/requests?") => {
            json!({ "version": 1, "requests": [{ "id": "a", "started_ms": 1 }] })
        }
        ("POST", "/_/requests/a/redrive?from=2") => json!({ "version": 1, "id": "a", "status": "running" }),
        _ => json!({ "asked": target }),
    };
    answer(200, &[("content-type", "application/json"), ("etag", "\"1\"")], body.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_see_the_flows_of_openfaas_and_change_their_requests() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    assert_eq!(ui.get("/ui/").await.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(ui.get("/system/flows").await.json(), json!(["upload", "single"]));
    let list = ui.get("/system/flows/upload/requests?status=running&limit=7").await;
    assert_eq!(list.json()["requests"][0]["id"], "a");
    assert_eq!(ui.get("/system/flows/single/requests?limit=7").await.refused(), (501, Some("FF0420")));
    let drawing = ui.get("/system/flows/upload/drawing").await.json();
    assert!(drawing["shapes"].as_array().unwrap().iter().any(|shape| shape["name"] == "resize"), "{drawing}");

    let redriven = ui.change(Method::POST, "/system/flows/upload/requests/a/redrive?from=2", "").await;
    assert_eq!((redriven.json()["status"].as_str(), redriven.header("etag")), (Some("running"), Some("\"1\"")));
    // The result of a request may have any status and any content.
    let result = ui.get("/system/flows/upload/requests/a/result").await;
    assert_eq!((result.status.as_u16(), result.text.as_str()), (401, "<b>own words</b>"));
    assert_eq!(result.header("content-security-policy"), Some("sandbox; default-src 'none'"));

    // The gateway's own credentials go to its admin API only, and what browsers send goes nowhere.
    for request in gateway.got("/function/upload") {
        for name in ["authorization", "origin", super::TOKEN, "cookie"] {
            assert_eq!(request.header(name), None, "{name}: {request:?}");
        }
    }
    assert_eq!(ui.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_started_and_its_answer_is_not_executed() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    let headers = [
        ("origin", ui.url.as_str()),
        ("sec-fetch-site", "same-origin"),
        ("cookie", "a=b"),
        ("prefer", "wait=10"),
        ("x-own", "kept"),
        ("authorization", "Bearer of-the-function"),
        ("referer", "http://127.0.0.1/ui/"),
        (super::TOKEN, "0000"),
    ];
    let started = ui.send(Method::POST, "/function/upload?width=3", &headers, "a photo").await;
    assert_eq!((started.status.as_u16(), started.header("x-faasflow-request-id")), (202, Some("new-1")));
    assert_eq!(started.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!((started.header("set-cookie"), started.header("x-content-type-options")), (None, Some("nosniff")));
    let got = gateway.got("/function/upload?");
    assert_eq!((got.len(), &got[0].body[..]), (1, &b"a photo"[..]));
    let kept = [("prefer", "wait=10"), ("x-own", "kept"), ("authorization", "Bearer of-the-function")];
    for (name, value) in kept {
        assert_eq!(got[0].header(name), Some(value), "{name}");
    }
    for name in ["origin", "sec-fetch-site", "cookie", "referer", super::TOKEN] {
        assert_eq!(got[0].header(name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_are_no_flows_are_not_run() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    for path in ["/system/flows/plain/requests", "/system/flows/plain/requests/a", "/system/flows/plain/drawing"] {
        assert_eq!(ui.get(path).await.refused(), (404, Some("FF0737")), "{path}");
    }
    assert_eq!(ui.send(Method::POST, "/function/plain", &[], "x").await.refused(), (404, Some("FF0737")));
    assert!(gateway.got("/function/plain").is_empty());
    // One that has the key is asked once whether it is a flow.
    for _ in 0..3 {
        ui.get("/system/flows").await.json();
        assert_eq!(ui.get("/system/flows/odd/requests").await.refused(), (404, Some("FF0737")));
    }
    let asked: Vec<String> = gateway.got("/function/odd").into_iter().map(|request| request.path).collect();
    assert_eq!(asked, ["/function/odd/_/requests?limit=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_openfaas_does_not_have_is_said_in_a_sentence() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    for path in
        ["/system/queue", "/system/queue/calls?limit=9", "/system/queue/dead-letters", "/system/queue/dead-letters/7"]
    {
        let got = ui.get(path).await;
        assert_eq!(got.refused(), (501, Some("FF0933")), "{path}");
        assert_eq!(
            got.text,
            "This gateway does not tell what is in its queue. Only the gateway of faasflow up does.\n"
        );
    }
    assert_eq!(ui.change(Method::POST, "/system/queue/redrive", "{}").await.refused(), (501, Some("FF0933")));
    assert!(gateway.got("/system/queue").is_empty());
    let lines = ui.get("/system/logs?name=upload&tail=5").await;
    assert!(lines.text.contains("a line"), "{lines:?}");
    for path in ["/system/logs?name=plain", "/system/logs?request=a"] {
        assert_eq!(ui.get(path).await.refused(), (501, Some("FF0933")), "{path}");
    }
    let functions = ui.get("/system/functions").await;
    assert!(!functions.text.contains("hidden"), "variables may be secret");
    let plain = functions.json().as_array().unwrap().iter().find(|one| one["name"] == "plain").unwrap().clone();
    for number in ["replicas", "availableReplicas", "invocationCount"] {
        assert_eq!(plain[number], 0, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_the_pages_say_what_is_missing() {
    let gateway = OpenFaas::listen().await;
    let mut ui = Ui::start(&gateway.url(), &[]);
    ui.until_printed("Warning: there is no key to sign with");
    assert_eq!(ui.get("/system/flows").await.json(), json!(["upload", "single"]));
    let got = ui.get("/system/flows/upload/requests").await;
    assert_eq!(got.refused(), (403, Some("FF0908")));
    assert!(got.text.starts_with("`faasflow ui` has no key to sign with: start it again"), "{got:?}");
    let other = Ui::start(&gateway.url(), &["--key", "another"]);
    let got = other.get("/system/flows/upload/requests").await;
    assert_eq!(got.refused(), (403, Some("FF0908")));
    assert!(got.text.contains("does not accept the signature: the request is not signed; check the key"), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_later_are_reported_without_a_dialog() {
    let gateway = OpenFaas::listen().await;
    let ui = Ui::start(&gateway.url(), &["--key", KEY]);
    assert_eq!(ui.get("/system/functions").await.status, StatusCode::OK);
    gateway.refuses.store(true, Ordering::SeqCst);
    for path in ["/system/functions", "/system/flows", "/system/logs?name=upload"] {
        let got = ui.get(path).await;
        assert_eq!(got.refused(), (502, Some("FF0903")), "{path}");
        // A browser would ask for a password, and send it here.
        assert_eq!(got.header("www-authenticate"), None, "{path}");
        assert!(!got.text.contains("secret"), "{got:?}");
    }
    gateway.refuses.store(false, Ordering::SeqCst);
    assert_eq!(ui.get("/system/functions").await.status, StatusCode::OK);
}
