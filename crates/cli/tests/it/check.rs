//! `faasflow check` against the local gateway, and against a stand-in for OpenFaaS's.

use std::net::Ipv4Addr;
use std::process::Output;
use std::sync::{Arc, Mutex};

use crate::support::{Up, faasflow, makeuserid, run, stack};
use axum::Router;
use axum::body::Body;
use faasflow_http::{ServerOptions, serve};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn check(arguments: &[&str]) -> Output {
    let mut command = faasflow();
    command.arg("check").args(arguments);
    run(command, b"")
}

/// Asserts that a line contains all of these.
#[track_caller]
fn line(output: &Output, says: &[&str]) {
    let found = text(&output.stdout).lines().any(|line| says.iter().all(|part| line.contains(part)));
    assert!(found, "{says:?}\n{}{}", text(&output.stdout), text(&output.stderr));
}

fn commands(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name}:\n  fprocess: cat\n")).collect()
}

#[test]
fn the_exit_code_says_whether_a_stack_would_work() {
    let all = commands(&["titleize", "to-xml", "format-xml"]);
    let folder = stack(&(all + &makeuserid()));
    let up = Up::start(folder.path(), &folder.path().join("state"));
    let at = folder.path().to_str().unwrap();
    let output = up.run(&["check", at], b"");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    line(&output, &["ok", "functions", "deployed: `titleize`, `to-xml`, `format-xml`"]);
    line(&output, &["ok", "secrets", "`faasflow-hmac-secret`"]);
    line(&output, &["ok", "queue"]);
    line(&output, &["ok", "definition", "the deployed definition is the same"]);
    assert_eq!(text(&output.stderr), "0 errors, 0 warnings, 1 note\n");

    // The gateway still runs the first stack; this is another one.
    let flow = makeuserid()
        .replace("secrets: [", "environment: {write_timeout: 10m, workflow_name: other}\n  secrets: [token, ");
    let another = stack(&(commands(&["beside"]) + &flow));
    let at = another.path().to_str().unwrap();
    let output = up.run(&["check", at, "--flow", "makeuserid"], b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    line(&output, &["error", "settings", "`workflow_name` is `other`", "set it to `makeuserid`"]);
    line(&output, &["error", "secrets", "`token` does not exist", "secrets/token"]);
    line(&output, &["timeouts", "a phase may take 10m", "--upstream-timeout"]);
    assert!(text(&output.stderr).starts_with("error[FF0910]: "), "{output:?}");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn functions_that_are_not_deployed_are_errors() {
    let running = stack(&commands(&["titleise", "other"]));
    let up = Up::start(running.path(), &running.path().join("state"));
    let folder = stack(&(commands(&["to-xml"]) + &makeuserid()));
    let at = folder.path().to_str().unwrap();
    let output = up.run(&["check", at], b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    line(&output, &["error", "functions", "step 2, function `titleize`", "did you mean `titleise`?"]);
    line(&output, &["note", "step 4, function `to-xml`", "this stack deploys it"]);
    line(&output, &["error", "step 5, function `format-xml`", "neither deployed nor in this stack"]);
    line(&output, &["warning", "secrets", "`faasflow-hmac-secret` does not exist yet", "faas-cli secret create"]);
    let output = up.run(&["check", at, "--format", "json"], b"");
    assert_eq!(output.status.code(), Some(1), "the same for programs");
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&read["errors"], &read["flows"][0]["flow"]), (&json!(2), &json!("makeuserid")));
    let findings = read["flows"][0]["findings"].as_array().unwrap();
    let typo = findings.iter().find(|finding| finding["function"] == "titleize").unwrap();
    assert_eq!((&typo["severity"], &typo["about"], &typo["step"]), (&json!("error"), &json!("functions"), &json!(2)));
    assert_eq!(up.stop(), Some(0));
}

/// A call to a function of another namespace, which the local gateway does not have.
#[test]
fn functions_of_other_namespaces_are_looked_up_there() {
    let running = stack(&commands(&["titleize"]));
    let up = Up::start(running.path(), &running.path().join("state"));
    let description = json!({ "name": "caller", "fingerprint": "0123456789", "state": "envelope", "on_failure": false,
        "finally": false, "phases": [{ "number": 1, "steps": [{ "number": 1, "name": "function `titleize.other`",
        "kind": "call", "function": "titleize.other", "sync": true }] }] });
    let folder = stack("caller:\n  lang: faasflow\n  handler: ./caller\n");
    let source = folder.path().join("caller/src");
    std::fs::create_dir_all(&source).unwrap();
    let manifest = "[package]\nname = \"caller\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    std::fs::write(folder.path().join("caller/Cargo.toml"), manifest).unwrap();
    std::fs::write(source.join("main.rs"), format!("fn main() {{ print!(\"{{}}\", r#\"{description}\"#); }}")).unwrap();
    let output = up.run(&["check", folder.path().to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    line(&output, &["error", "function `titleize.other`", "the function is not deployed in the namespace `other`"]);
    let output = up.run(&["invoke", "titleize.other"], b"");
    assert!(text(&output.stderr).contains("the function `titleize.other` is not deployed at "), "{output:?}");
    assert_eq!(up.stop(), Some(0));
}

/// A stand-in for OpenFaaS's gateway: it requires a password below `/system/` and does not report its limits.
struct OpenFaas {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl OpenFaas {
    /// `routes` are paths with their answers. Everything else is 404, as is the route of the queue if there is no queue.
    async fn listen(routes: &[(&'static str, u16, Value)]) -> OpenFaas {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (routes, log) = (Arc::new(routes.to_vec()), asked.clone());
        let app = Router::new().fallback(move |request: Request<Body>| {
            let (path, routes) = (request.uri().path().to_owned(), routes.clone());
            log.lock().unwrap().push(format!("{} {path}", request.method()));
            // `admin:secret`
            let authorized =
                request.headers().get("authorization").is_some_and(|value| value == "Basic YWRtaW46c2VjcmV0");
            let answer = match routes.iter().find(|(known, ..)| *known == path) {
                _ if path.starts_with("/system/") && !authorized => (401, Value::Null),
                Some((_, status, body)) => (*status, body.clone()),
                None => (404, Value::Null),
            };
            let response = Response::builder().status(answer.0).body(Body::from(answer.1.to_string())).unwrap();
            async move { response }
        });
        let serving = tokio::spawn(async move {
            let _ = serve(listener, app, ServerOptions::default(), std::future::pending()).await;
        });
        OpenFaas { url, asked, _serving: AbortOnDropHandle::new(serving) }
    }

    /// The check sent only GET requests.
    fn received_only_gets(&self) {
        let asked = self.asked.lock().unwrap();
        assert!(!asked.is_empty() && asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
    }
}

fn functions() -> Value {
    let function = |name: &str, available: u64| json!({ "name": name, "replicas": 1, "availableReplicas": available });
    let titleize = json!({ "name": "titleize", "availableReplicas": 1, "envVars": { "exec_timeout": "8s", "n": 1 } });
    json!([titleize, function("to-xml", 0), function("format-xml", 2), function("makeuserid", 1)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_reports_little_leaves_warnings() {
    let other = json!({ "name": "makeuserid", "fingerprint": "ffffffff00", "state": "envelope", "on_failure": false,
                        "finally": false, "phases": [{ "number": 1, "steps": [] }, { "number": 2, "steps": [] }] });
    let gateway = OpenFaas::listen(&[
        ("/system/info", 200, json!({ "provider": { "provider": "faas-netes" } })),
        ("/system/functions", 200, functions()),
        ("/system/secrets", 200, json!([{ "name": "unrelated" }])),
        ("/async-function/makeuserid", 405, Value::Null),
        ("/function/makeuserid/_/flow", 200, other),
    ])
    .await;
    let folder = stack(&makeuserid());
    let at = folder.path().to_str().unwrap();

    // Without a password, it does not list functions. That is a warning, and the rest is checked.
    let output = check(&[at, "--gateway", &gateway.url]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    line(&output, &["warning", "functions", "401 Unauthorized", "`titleize`, `to-xml`, `format-xml`", "USER:PASSWORD"]);
    line(&output, &["warning", "secrets", "401 Unauthorized", "`faasflow-hmac-secret`", "USER:PASSWORD"]);
    line(&output, &["ok", "queue", "the gateway has one"]);
    line(&output, &["warning", "queue", "delivers it again after 30s (assumed"]);
    line(&output, &["ok", "timeouts", "assumed"]);

    // A wrong password is an error.
    let wrong = gateway.url.replace("http://", "http://admin:wrong@");
    let output = check(&[at, "--gateway", &wrong, "--ack-wait", "2m"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    line(&output, &["error", "functions", "401 Unauthorized", "with this user and password"]);
    line(&output, &["error", "secrets", "401 Unauthorized"]);
    assert!(!text(&output.stdout).contains("delivers it again"), "{output:?}");
    assert!(!text(&output.stderr).contains("wrong@"), "{output:?}");

    let with_password = gateway.url.replace("http://", "http://admin:secret@");
    let output = check(&[at, "--gateway", &with_password]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    line(&output, &["ok", "functions", "`titleize`, `format-xml`"]);
    line(&output, &["warning", "step 4, function `to-xml`", "no available replica"]);
    line(&output, &["warning", "timeouts", "function `titleize`", "after 8s (its `exec_timeout`)"]);
    line(&output, &["error", "secrets", "openssl rand -hex 32 | faas-cli secret create faasflow-hmac-secret"]);
    line(&output, &["note", "definition", "ffffffff", "409"]);
    line(&output, &["ok", "envelopes", "at most 256000 bytes", "assumed"]);
    assert!(!text(&output.stderr).contains("admin:secret"), "{output:?}");
    assert!(!text(&output.stdout).contains("admin:secret") && !text(&output.stderr).contains("YWRtaW46"), "{output:?}");

    // Options count as if the gateway had reported the values.
    let limits = ["--gateway-timeout", "30s", "--queue-limit", "1000"];
    let output = check(&[&[at, "--gateway", &gateway.url][..], &limits].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    line(&output, &["error", "timeouts", "waits 30s (set by `--gateway-timeout`)"]);
    line(&output, &["error", "envelopes", "the queue accepts 1000 (set by `--queue-limit`)"]);
    gateway.received_only_gets();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_queue_is_an_error() {
    let gateway = OpenFaas::listen(&[("/system/functions", 200, functions())]).await;
    let folder = stack(&makeuserid());
    let output = check(&[folder.path().to_str().unwrap(), "--gateway", &gateway.url]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    line(&output, &["error", "queue", "no queue (no route /async-function/makeuserid)", "3 phases"]);
    gateway.received_only_gets();
}

/// The limits that a gateway may report.
#[tokio::test(flavor = "multi_thread")]
async fn limits_that_the_gateway_reports_are_used() {
    let info = json!({ "limits": { "asyncBody": 100_000, "upstreamTimeout": "30s" } });
    let gateway = OpenFaas::listen(&[("/system/info", 200, info)]).await;
    let folder = stack(&makeuserid());
    let with_password = gateway.url.replace("http://", "http://admin:secret@");
    let output = check(&[folder.path().to_str().unwrap(), "--gateway", &with_password]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    line(&output, &["error", "timeouts", "the gateway waits 30s:"]);
    line(&output, &["error", "envelopes", "the queue accepts 100000 "]);
    line(&output, &["warning", "functions", "GET /system/functions was answered with 404"]);
}
