//! Gateways that cannot be used, now or at all.

use axum::response::{IntoResponse as _, Redirect};
use http::StatusCode;
use tokio::net::TcpListener;

use super::openfaas::{KEY, OpenFaas};
use super::{Got, Ui};
use crate::support::{faasflow, listen, run, until};

/// Runs `faasflow ui` until it ends by itself; returns the exit code and what it printed.
fn failed(gateway: &str, options: &[&str]) -> (i32, String) {
    let mut command = faasflow();
    command.args(["ui", "--port", "0", "--gateway", gateway]).args(options);
    let output = run(command, b"");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_can_never_be_used_is_an_error_at_the_start() {
    let gateway = OpenFaas::listen().await;
    let (code, text) = failed(&format!("http://admin:wrong-password@{}", gateway.host), &[]);
    let says =
        format!("error[FF0903]: the gateway at http://{} does not accept this user and password\n", gateway.host);
    assert!(code == 1 && text.starts_with(&says), "{code}: {text}");
    assert!(!text.contains("wrong-password"), "{text}");
    let (code, text) = failed(&format!("http://{}", gateway.host), &[]);
    assert!(code == 1 && text.contains("requires a user and a password"), "{code}: {text}");

    let (pages, _serving) =
        listen(axum::Router::new().fallback(async || axum::response::Html("<h1>Welcome</h1>"))).await;
    let (code, text) = failed(&format!("http://{pages}"), &[]);
    let says = format!("error[FF0904]: the answer of the gateway at http://{pages} is not JSON\n");
    assert!(code == 1 && text.starts_with(&says), "{code}: {text}");

    let elsewhere =
        axum::Router::new().fallback(async || Redirect::permanent("https://gateway.example/").into_response());
    let (address, _serving) = listen(elsewhere).await;
    let (code, text) = failed(&format!("http://{address}"), &[]);
    let says = format!("error[FF0904]: the gateway at http://{address} redirects to another address\n");
    assert!(
        code == 1 && text.starts_with(&says) && text.contains("names `https://gateway.example/`"),
        "{code}: {text}"
    );

    let (code, text) = failed("ftp://admin:hidden@example", &[]);
    assert!(code == 4 && text.starts_with("error[FF0905]: ") && !text.contains("hidden"), "{code}: {text}");
    let (code, text) = failed(&gateway.url(), &["--key", "@absent"]);
    assert!(code == 4 && text.starts_with("error[FF0908]: "), "{code}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_an_error_only_if_it_was_asked_for() {
    let gateway = OpenFaas::listen().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = faasflow();
    command.args(["ui", "--key", KEY, "--port", &port, "--gateway", &gateway.url()]);
    let output = run(command, b"");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with(&format!("error[FF0701]: cannot listen on 127.0.0.1:{port}\n")), "{text}");
}

/// A transient outage is no failure, neither at the start nor later.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_away_is_reported_until_it_answers() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = away.local_addr().unwrap();
    drop(away);
    let mut ui = Ui::start(&format!("http://{address}"), &[]);
    ui.until_printed(
        "cannot be reached: nothing listens at this address (connection refused). The pages show when it answers.",
    );
    assert_eq!(ui.get("/ui/").await.status, StatusCode::OK);
    for path in ["/system/functions", "/system/flows", "/system/queue", "/system/flows/upload/drawing"] {
        let got = ui.get(path).await;
        assert_eq!(got.refused(), (502, Some("FF0901")), "{path}");
        assert!(got.text.starts_with(&format!("the gateway at http://{address} cannot be reached: ")), "{got:?}");
    }
    let listener = TcpListener::bind(address).await.unwrap();
    let app = axum::Router::new()
        .route("/system/flows", axum::routing::get(async || r#"["upload"]"#))
        .route("/system/functions", axum::routing::get(async || "[]"));
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let got: Got =
        until("it answers", async || Some(ui.get("/system/flows").await).filter(|got| got.status.is_success())).await;
    assert_eq!(got.text, r#"["upload"]"#);
    serving.abort();
}

/// An ingress answers so while the gateway behind it starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_ingress_has_no_server_is_away() {
    let app = axum::Router::new().fallback(async || {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            [("content-type", "text/html")],
            "<html><h1>503 Service Temporarily Unavailable</h1></html>",
        )
    });
    let (address, _serving) = listen(app).await;
    let mut ui = Ui::start(&format!("http://{address}"), &[]);
    ui.until_printed("Warning: the gateway answered 503 Service Unavailable");
    let got = ui.get("/system/functions").await;
    assert_eq!(got.refused(), (502, Some("FF0902")));
    assert!(!got.text.contains('<'), "{got:?}");
}
