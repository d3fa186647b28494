//! `faasflow up` as a provider: without a stack, behind a password, and killed.

use crate::support::{PATIENCE, Up, faasflow, run};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faasflow_http::HttpClient;
use http::{Request, StatusCode};

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_behind_a_password_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let start = || Up::start_with(folder.path(), &state, &["--no-stack", "--basic-auth"]);
    let up = start();
    let password = std::fs::read_to_string(state.join("secrets/basic-auth-password")).unwrap();
    let printed = up.printed().join("\n");
    let login = format!("faas-cli login --gateway {} --username ", up.url);
    assert!(printed.contains("basic-auth-password") && printed.contains(&login), "{printed}");
    assert!(printed.contains("All functions are ready. None is deployed yet"), "{printed}");
    assert!(!printed.contains(&password), "{printed}");

    // As a client of HTTP sends it: with credentials, and on to the function without.
    let with = |url: &str, password: &str| url.replacen("://", &format!("://admin:{password}@"), 1);
    let coded = STANDARD.encode(format!("admin:{password}"));
    let deploy = Request::post(format!("{}/system/functions", up.url));
    let deploy = deploy.header("authorization", format!("Basic {coded}"));
    let body = Body::from(r#"{"service": "show", "envProcess": "env"}"#);
    let deployed = HttpClient::new(PATIENCE).send(deploy.body(body).unwrap()).await.unwrap();
    assert_eq!(deployed.status(), StatusCode::ACCEPTED);
    up.kill();

    let up = start();
    let faasflow = |arguments: &[&str], url: &str| {
        let mut command = faasflow();
        command.args(arguments).env("OPENFAAS_URL", url);
        let output = run(command, b"");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let url = with(&up.url, &password);
    let (code, shown) = faasflow(&["invoke", "show"], &url);
    assert!(code == Some(0) && shown.contains("OPENFAAS_NAME=show"), "{code:?} {shown}");
    assert!(!shown.contains("Http_Authorization"), "a function has no business with the password: {shown}");
    assert_eq!(faasflow(&["queue", "list"], &url), (Some(0), "0 in the queue, 0 in flight, 0 dead letters\n".into()));
    let (code, lines) = faasflow(&["logs", "--function", "show"], &url);
    assert_eq!((code, lines.as_str()), (Some(0), ""));
    let (code, printed) = faasflow(&["logs", "a-1"], &url);
    assert!(code == Some(1) && printed.contains("has no log lines of the request `a-1`"), "{printed}");
    let (code, printed) = faasflow(&["logs", "a-1"], &up.url);
    assert!(code == Some(1) && printed.contains("requires a user and a password"), "{printed}");
    let (code, printed) = faasflow(&["queue", "list"], &up.url);
    assert!(code == Some(1) && printed.contains("requires a user and a password"), "{printed}");
    let (code, printed) = faasflow(&["queue", "list"], &with(&up.url, "a%20guess"));
    assert!(code == Some(1) && printed.contains("does not accept this user and password"), "{printed}");
    assert!(!printed.contains("guess"), "{printed}");
    let (code, help) = faasflow(&["queue", "--help"], &url);
    assert!(code == Some(0) && !help.contains(&password), "{help}");
    assert_eq!(up.stop(), Some(0));
}
