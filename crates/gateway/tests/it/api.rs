//! The API's own matters: secrets, who may ask, and how much may be said.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Fixture, Got, start, start_in, start_with};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

const OWN: &str = "own:\n  fprocess: cat\n";

async fn secret(fixture: &Fixture, method: Method, body: &Value) -> Got {
    fixture.send(method, "/system/secrets", &[], body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_created_replaced_and_removed_and_never_shown() {
    let fixture = start(OWN).await;
    let file = fixture.folder.path().join(".faasflow/secrets/api-key");
    let value = |value: &str| json!({ "name": "api-key", "namespace": "openfaas-fn", "value": value });
    assert_eq!(secret(&fixture, Method::PUT, &value("x")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(secret(&fixture, Method::DELETE, &value("x")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(secret(&fixture, Method::POST, &value("first")).await.status, StatusCode::ACCEPTED);
    assert_eq!(std::fs::read(&file).unwrap(), b"first");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = secret(&fixture, Method::POST, &value("second")).await;
    assert_eq!(
        (again.status, again.text()),
        (StatusCode::CONFLICT, "the secret `api-key` exists already: PUT replaces it\n")
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"first");
    let raw = json!({ "name": "api-key", "value": "ignored", "rawValue": STANDARD.encode([0, 255, 10]) });
    assert_eq!(secret(&fixture, Method::PUT, &raw).await.status, StatusCode::ACCEPTED);
    assert_eq!(std::fs::read(&file).unwrap(), [0, 255, 10]);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let listed = fixture.get("/system/secrets").await;
    assert_eq!(listed.json(), json!([{ "name": "api-key", "namespace": "openfaas-fn" }]));
    // A function that names it may be deployed then, and reads it.
    let reader = json!({ "service": "f", "envProcess": "sh -c 'od -An -tu1 $secret_mount_path/api-key'", "secrets": ["api-key"] });
    let deployed = fixture.post("/system/functions", reader.to_string()).await;
    assert_eq!(deployed.status, StatusCode::ACCEPTED, "{}", deployed.text());
    assert_eq!(fixture.post("/function/f", "").await.text().split_whitespace().collect::<Vec<_>>(), ["0", "255", "10"]);

    let name = json!({ "name": "api-key", "namespace": "" });
    assert_eq!(secret(&fixture, Method::DELETE, &name).await.status, StatusCode::ACCEPTED);
    assert!(!file.exists());
    assert_eq!(fixture.get("/system/secrets").await.json(), json!([]));
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 0, "nothing is left behind");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_secrets_are_refused() {
    let fixture = start(OWN).await;
    let state = fixture.folder.path().join(".faasflow");
    let long = "a".repeat(254);
    for name in
        ["", "../x", "..", ".hidden", "a/b", "/x", "A", "a b", "a\0", &long, "basic-auth-user", "basic-auth-password"]
    {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let got = secret(&fixture, method.clone(), &json!({ "name": name, "value": "v" })).await;
            assert_eq!(got.status, StatusCode::BAD_REQUEST, "{method} {name}: {}", got.text());
        }
    }
    let longest = json!({ "name": "a".repeat(253), "value": "v" });
    assert_eq!(secret(&fixture, Method::POST, &longest).await.status, StatusCode::ACCEPTED);
    assert_eq!(secret(&fixture, Method::PUT, &longest).await.status, StatusCode::ACCEPTED);
    assert_eq!(secret(&fixture, Method::DELETE, &longest).await.status, StatusCode::ACCEPTED);
    for (body, reason) in [
        (json!({ "name": "a" }), "the secret has no value: give `value` or `rawValue`"),
        (json!({ "name": "a", "rawValue": "hidden?" }), "`rawValue` is not Base64"),
        (json!({ "name": "a", "value": "v", "namespace": "other" }), "the only one is `openfaas-fn`"),
        (json!({ "name": "a", "value": ["hidden"] }), "the body cannot be used: see line 1"),
        (json!("hidden"), "the body cannot be used: see line 1"),
    ] {
        let got = secret(&fixture, Method::POST, &body).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(got.text().contains(reason) && !got.text().contains("hidden"), "{body}: {}", got.text());
    }
    let large = json!({ "name": "a", "value": "v".repeat(1 << 20) });
    assert_eq!(secret(&fixture, Method::POST, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(std::fs::read_dir(state.join("secrets")).unwrap().count(), 0);
    assert!(!state.join("x").exists());
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_under_system_alone() {
    let fixture = start_with(OWN, |options| options.basic_auth = true).await;
    let secrets = fixture.folder.path().join(".faasflow/secrets");
    let read = |name: &str| std::fs::read_to_string(secrets.join(name)).unwrap();
    let (user, password) = (read("basic-auth-user"), read("basic-auth-password"));
    assert_eq!((user.as_str(), password.len()), ("admin", 64));
    let mode = std::fs::metadata(secrets.join("basic-auth-password")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let basic = |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let (right, wrong) = (basic(&user, &password), basic(&user, "guess"));
    for (method, path) in [
        (Method::GET, "/system/functions"),
        (Method::POST, "/system/functions"),
        (Method::PUT, "/system/functions"),
        (Method::DELETE, "/system/functions"),
        (Method::GET, "/system/function/own"),
        (Method::POST, "/system/scale-function/own"),
        (Method::GET, "/system/info"),
        (Method::GET, "/system/namespaces"),
        (Method::GET, "/system/secrets"),
        (Method::POST, "/system/secrets"),
        (Method::GET, "/system/logs?name=own"),
        (Method::GET, "/system/queue"),
        (Method::GET, "/system/queue/calls"),
        (Method::GET, "/system/queue/dead-letters"),
        (Method::DELETE, "/system/queue/dead-letters"),
        (Method::GET, "/system/queue/dead-letters/1"),
        (Method::POST, "/system/queue/redrive"),
    ] {
        for headers in [&[][..], &[("authorization", wrong.as_str())]] {
            let got = fixture.send(method.clone(), path, headers, "").await;
            assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(got.header("www-authenticate"), Some("Basic realm=\"faasflow\""));
        }
        let got = fixture.send(method.clone(), path, &[("authorization", &right)], "").await;
        assert_ne!(got.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    assert_eq!(fixture.post("/function/own", "x").await.text(), "x");
    assert_eq!(fixture.post("/async-function/own", "x").await.status, StatusCode::ACCEPTED);
    assert_eq!(fixture.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(fixture.get("/metrics").await.status, StatusCode::OK);
    let listed = fixture.send(Method::GET, "/system/secrets", &[("authorization", &right)], "").await;
    assert_eq!(listed.json(), json!([]), "those two are no function's");
    let folder = fixture.folder;
    fixture.gateway.stop().await;

    // They are kept, and may be one's own.
    std::fs::write(secrets.join("basic-auth-password"), "mine\n").unwrap();
    let fixture = start_in(folder, |options| options.basic_auth = true).await.unwrap();
    let got = fixture.send(Method::GET, "/system/info", &[("authorization", &basic("admin", "mine"))], "").await;
    assert_eq!(got.status, StatusCode::OK);
    let folder = fixture.folder;
    fixture.gateway.stop().await;
    std::fs::write(secrets.join("basic-auth-password"), "\n").unwrap();
    let refused = start_in(folder, |options| options.basic_auth = true).await.err().unwrap().to_string();
    assert!(refused.contains("basic-auth-password is empty"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_can_change_nothing() {
    let fixture = start(OWN).await;
    let deployment = json!({ "service": "f", "envProcess": "cat" }).to_string();
    let origin = [("origin", "http://elsewhere.example"), ("content-type", "text/plain")];
    for (method, path) in [
        (Method::POST, "/system/functions"),
        (Method::PUT, "/system/functions"),
        (Method::DELETE, "/system/functions"),
        (Method::POST, "/system/secrets"),
        (Method::POST, "/system/queue/redrive"),
        (Method::DELETE, "/system/queue/dead-letters"),
    ] {
        let got = fixture.send(method.clone(), path, &origin, deployment.clone()).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    assert_eq!(fixture.gateway.function_names(), ["own"]);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_the_queue_are_bounded() {
    let fixture = start(OWN).await;
    for (method, path) in [(Method::POST, "/system/queue/redrive"), (Method::DELETE, "/system/queue/dead-letters")] {
        let got = fixture.send(method.clone(), path, &[], vec![b' '; (1 << 20) + 1]).await;
        assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let got = fixture.send(method.clone(), path, &[], "{").await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(fixture.send(method, path, &[], "{}").await.status, StatusCode::OK, "{path}");
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certifier_fields_that_were_not_given_are_left_out() {
    let fixture = start("bare:\n  fprocess: cat\n").await;
    let status = fixture.get("/system/function/bare").await.json();
    for key in ["envVars", "secrets", "limits", "requests", "constraints"] {
        assert_eq!(status.get(key), None, "{key}");
    }
    assert_eq!(fixture.get("/system/functions").await.json()[0].get("envVars"), None);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certifier_gateway_and_provider_report_the_commit() {
    let fixture =
        crate::support::start_with("f:\n  fprocess: cat\n", |options| options.commit = "c0ffee".to_owned()).await;
    let info = fixture.get("/system/info").await.json();
    assert_eq!((&info["version"]["sha"], &info["provider"]["version"]["sha"]), (&"c0ffee".into(), &"c0ffee".into()));
    let headers = [("x-forwarded-host", "gateway:8080")];
    let provider = fixture.send(http::Method::GET, "/system/info", &headers, "").await.json();
    assert_eq!(provider["version"]["sha"], "c0ffee");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn y5_a_command_is_reported_as_it_is_written() {
    let fixture = start(
        "f:\n  fprocess: sh -c 'cat;  true'\nserver:\n  fprocess: ./serve \"a b\"\n  environment: { mode: http }\n",
    )
    .await;
    for (name, command) in [("f", "sh -c 'cat;  true'"), ("server", "./serve \"a b\"")] {
        assert_eq!(fixture.get(&format!("/system/function/{name}")).await.json()["envProcess"], command, "{name}");
    }
    fixture.gateway.stop().await;
}
