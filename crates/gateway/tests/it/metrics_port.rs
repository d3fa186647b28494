//! Metrics of functions, each on a port of its own.

use crate::support::{Fixture, folder, free_port, nowhere, server, start_in, url};
use http::StatusCode;

/// What a variable of a function's process says.
async fn variable(fixture: &Fixture, function: &str, name: &str) -> String {
    let variables = fixture.get(&format!("/function/{function}/env")).await;
    let found = variables.text().lines().find_map(|line| line.strip_prefix(&format!("{name}=")).map(str::to_owned));
    found.unwrap_or_else(|| panic!("{name}: {}", variables.text()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_has_a_port_for_metrics_which_the_gateway_asks() {
    let chosen = free_port();
    let program = |name: &str, more: &str| {
        format!("{name}:\n  fprocess: ./server\n  environment:\n    mode: http\n    version: x\n{more}")
    };
    let serves = "    serves_metrics: 1\n    flow_metrics_port: 9\n";
    let function_with_port = format!("{serves}    metrics_port: {chosen}\n");
    let programs =
        program("a", serves) + &program("b", serves) + &program("said", &function_with_port) + &program("silent", "");
    let folder = folder(&(programs + "command:\n  fprocess: cat\n" + &url("there", nowhere())));
    server::put_into(folder.path());
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    let mut ports = Vec::new();
    for function in ["a", "b", "said", "silent"] {
        assert!(!fixture.get(&format!("/function/{function}/env")).await.text().contains("flow_metrics_port"));
        ports.push(variable(&fixture, function, "metrics_port").await);
        ports.push(variable(&fixture, function, "port").await);
    }
    let mut different = ports.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 8, "{ports:?}");
    for (function, port) in [("a", &ports[0]), ("b.openfaas-fn", &ports[2]), ("said", &chosen.to_string())] {
        let got = fixture.get(&format!("/system/metrics?name={function}")).await;
        assert_eq!((got.status, got.text()), (StatusCode::OK, format!("port {port}").as_str()), "{function}");
    }
    for (query, status, says) in [
        ("", StatusCode::BAD_REQUEST, "name the function: /system/metrics?name=NAME\n"),
        ("?name=absent", StatusCode::NOT_FOUND, "the function `absent` is not deployed\n"),
        ("?name=a&namespace=other", StatusCode::NOT_FOUND, "the namespace `other` does not exist"),
        ("?name=command", StatusCode::NOT_FOUND, "the function `command` has no metrics: "),
        ("?name=there", StatusCode::NOT_FOUND, "the function `there` has no metrics: "),
        ("?name=silent", StatusCode::NOT_FOUND, "the function `silent` serves no metrics at http://127.0.0.1:"),
    ] {
        let got = fixture.get(&format!("/system/metrics{query}")).await;
        assert!(got.status == status && got.text().starts_with(says), "{query}: {got:?}");
    }
    fixture.gateway.stop().await;
}

/// The new process starts while the old one has the port.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_not_given_to_another() {
    let chosen = free_port().to_string();
    let folder = folder("own:\n  fprocess: cat\n");
    server::put_into(folder.path());
    let fixture = start_in(folder, |_| {}).await.unwrap();
    let deploy = async |method: http::Method, version: &str| {
        let variables = serde_json::json!({
            "mode": "http", "version": version, "serves_metrics": "1", "metrics_port": chosen
        });
        let body = serde_json::json!({ "service": "f", "envProcess": "./server", "envVars": variables });
        let got = fixture.send(method, "/system/functions", &[], body.to_string()).await;
        assert_eq!(got.status, StatusCode::ACCEPTED);
        crate::support::until(version, async || (fixture.get("/function/f").await.text() == version).then_some(()))
            .await;
        let port = variable(&fixture, "f", "metrics_port").await;
        let relayed = fixture.get("/system/metrics?name=f").await;
        assert_eq!(relayed.text(), format!("port {port}"));
        port
    };
    assert_eq!(deploy(http::Method::POST, "one").await, chosen);
    assert_ne!(deploy(http::Method::PUT, "two").await, chosen);
    fixture.gateway.stop().await;
}
