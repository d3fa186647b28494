//! The requests of flows, which the gateway forwards and signs.

use axum::body::Body;
use faasflow_core::code;
use faasflow_core::signature::{Keys, api_request};
use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::support::{Fixture, ReceivedRequest, Recorder, TestServer, listen, start, start_with, url};

/// A function that runs elsewhere and has the key for signing, as in a stack file.
fn flow(server: &TestServer) -> String {
    format!("{}  secrets: [faasflow-hmac-secret]\n", url("upload", server.address))
}

/// Whether the function can verify the signature of a request with the secret.
fn is_signed(fixture: &Fixture, request: &ReceivedRequest) -> bool {
    let secret = fixture.folder.path().join(".faasflow/secrets/faasflow-hmac-secret");
    let keys = Keys::parse(&std::fs::read_to_string(secret).unwrap()).unwrap();
    let signed_at = request.header("x-faasflow-signed-at").unwrap().parse().unwrap();
    let mut signed = api_request("upload", request.method.as_str(), &request.target, signed_at).into_bytes();
    signed.extend_from_slice(&request.body);
    keys.verify(request.header("x-hub-signature").map(str::as_bytes), &signed).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_about_requests_are_signed_and_forwarded() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start(&flow(&server)).await;
    for (method, path, target, body) in [
        (Method::GET, "requests", "/_/requests", ""),
        (Method::GET, "requests?limit=2&cursor=a%2Fb", "/_/requests?limit=2&cursor=a%2Fb", ""),
        (Method::GET, "requests/order-17", "/_/requests/order-17", ""),
        (Method::GET, "requests/order-17/result", "/_/requests/order-17/result", ""),
        (Method::POST, "requests/order-17/redrive?from=2", "/_/requests/order-17/redrive?from=2", "{\"a\":1}"),
        (Method::POST, "recover?older=60s", "/_/recover?older=60s", ""),
    ] {
        let headers =
            [("prefer", "wait=2"), ("if-none-match", "\"7\""), ("x-other", "1"), ("x-hub-signature", "forged")];
        let got = fixture.send(method.clone(), &format!("/system/flows/upload/{path}"), &headers, body).await;
        assert_eq!((got.status, got.text(), got.header("x-own")), (StatusCode::OK, "answer", Some("1")), "{path}");
        let seen = recorder.seen().pop().unwrap();
        assert_eq!((&seen.method, seen.target.as_str(), &seen.body[..]), (&method, target, body.as_bytes()));
        assert_eq!((seen.header("prefer"), seen.header("if-none-match")), (Some("wait=2"), Some("\"7\"")));
        assert_eq!(seen.header("x-other"), None);
        assert!(is_signed(&fixture, &seen), "{seen:?}");
    }
    assert_eq!(fixture.get("/system/flows").await.json(), json!(["upload"]));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_asked_for_and_not_passed_on() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start_with(&flow(&server), |options| options.basic_auth = true).await;
    let path = "/system/flows/upload/requests/a/stop";
    let refused = fixture.post(path, "").await;
    assert_eq!((refused.status, recorder.seen().len()), (StatusCode::UNAUTHORIZED, 0));
    let password =
        std::fs::read_to_string(fixture.folder.path().join(".faasflow/secrets/basic-auth-password")).unwrap();
    let authorization = {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("admin:{password}")))
    };
    let got = fixture.send(Method::POST, path, &[("authorization", &authorization)], "").await;
    let seen = recorder.seen();
    assert_eq!((got.status, seen.len(), seen[0].header("authorization")), (StatusCode::OK, 1, None));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_cannot_stop_requests() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start(&flow(&server)).await;
    let headers = [("origin", "http://elsewhere.example")];
    let got = fixture.send(Method::POST, "/system/flows/upload/requests/a/stop", &headers, "").await;
    assert_eq!((got.status, recorder.seen().len()), (StatusCode::FORBIDDEN, 0));
    fixture.gateway.stop().await;
}

/// A request to a function that is not a flow would run it.
#[tokio::test(flavor = "multi_thread")]
async fn functions_that_are_not_flows_are_not_called() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    let fixture = start(&url("resize", server.address)).await;
    let got = fixture.post("/system/flows/resize/requests/a/stop", "").await;
    let text =
        "the function `resize` is not a flow: it has neither `lang: faasflow` nor the secret `faasflow-hmac-secret`\n";
    assert_eq!((got.status, got.text()), (StatusCode::NOT_FOUND, text));
    assert_eq!(got.header("x-faasflow-error-code"), Some(code::NOT_A_FLOW.as_str()));
    let absent = fixture.get("/system/flows/absent/requests").await;
    assert_eq!(absent.header("x-faasflow-error-code"), Some(code::UNKNOWN_FUNCTION.as_str()));
    assert!(recorder.seen().is_empty());
    assert_eq!(fixture.get("/system/flows").await.json(), json!([]));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_of_an_old_flow_becomes_a_clear_error_and_one_about_a_request_stays() {
    let server = listen(axum::Router::new().fallback(|request: Request<Body>| async move {
        let response = Response::builder().status(StatusCode::NOT_FOUND);
        let is_known = request.uri().path() != "/_/requests/a";
        let response = if is_known { response.header("x-faasflow-error-code", "FF0001") } else { response };
        response.body(Body::from("own words")).unwrap()
    }))
    .await;
    let fixture = start(&flow(&server)).await;
    let got = fixture.get("/system/flows/upload/requests/a").await;
    assert_eq!(
        (got.status, got.text(), got.header("x-faasflow-error-code")),
        (
            StatusCode::NOT_FOUND,
            "the function `upload` does not answer about requests: it is not a flow, or was built with an older version of Faasflow\n",
            Some("FF0737")
        )
    );
    let got = fixture.get("/system/flows/upload/requests/b").await;
    assert_eq!((got.text(), got.header("x-faasflow-error-code")), ("own words", Some("FF0001")));
    fixture.gateway.stop().await;
}
