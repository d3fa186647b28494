//! The gateway of `faasflow up`, which has the whole admin API and signs for its users.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::json;

use super::Ui;
use crate::support::{Up, listen, stack, url};

#[tokio::test(flavor = "multi_thread")]
async fn pages_see_everything_of_another_local_gateway() {
    let asked = Arc::<Mutex<Vec<(String, bool)>>>::default();
    let flow = axum::Router::new().fallback({
        let asked = asked.clone();
        async move |request: Request<Body>| {
            let target = format!("{} {}", request.method(), request.uri().path_and_query().unwrap());
            asked.lock().unwrap().push((target, request.headers().contains_key("x-hub-signature")));
            axum::Json(json!({ "version": 1, "requests": [], "id": "a", "status": "stopped" }))
        }
    });
    let (address, _serving) = listen(flow).await;
    let functions = format!("{}  secrets: [faasflow-hmac-secret]\nplain:\n  fprocess: cat\n", url("upload", address));
    let (folder, state) = (stack(&functions), tempfile::tempdir().unwrap());
    let up = Up::start_with(folder.path(), state.path(), &["--basic-auth"]);
    let secret =
        |name: &str| std::fs::read_to_string(state.path().join("secrets").join(name)).unwrap().trim().to_owned();
    let credentials = format!("{}:{}", secret("basic-auth-user"), secret("basic-auth-password"));
    let ui = Ui::start(&up.url.replace("http://", &format!("http://{credentials}@")), &[]);

    assert_eq!(ui.get("/system/flows").await.json(), json!(["upload"]));
    let functions = ui.get("/system/functions").await.json();
    assert_eq!(functions.as_array().unwrap().len(), 2, "{functions}");
    assert_eq!(ui.get("/system/queue").await.json()["depth"], 0);
    assert_eq!(ui.get("/system/queue/calls?limit=5").await.json(), json!([]));
    assert_eq!(ui.get("/system/queue/dead-letters/7").await.refused(), (404, Some("FF0923")));
    let redriven = ui.change(Method::POST, "/system/queue/redrive", r#"{"ids":[7]}"#).await;
    assert_eq!(redriven.json(), json!({ "version": 1, "redriven": 0 }));
    let lines = ui.get("/system/logs?request=a&tail=5").await;
    assert_eq!((lines.status, lines.header("x-faasflow-log-dropped")), (StatusCode::OK, Some("")));
    let stopped = ui.change(Method::POST, "/system/flows/upload/requests/a/stop", "").await;
    assert_eq!(stopped.json()["status"], "stopped");
    let asked = asked.lock().unwrap().clone();
    // The path of the function is in front.
    let sent = asked.iter().find(|(target, _)| target.starts_with("POST ")).expect("the flow was asked");
    assert_eq!(sent, &("POST /upload/_/requests/a/stop".to_owned(), true));
    assert_eq!((ui.stop(), up.stop()), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_stay_when_a_local_gateway_stops() {
    let (folder, state) = (stack("plain:\n  fprocess: cat\n"), tempfile::tempdir().unwrap());
    let up = Up::start(folder.path(), state.path());
    let ui = Ui::start(&up.url, &[]);
    assert_eq!(ui.get("/system/queue").await.status, StatusCode::OK);
    assert_eq!(up.stop(), Some(0));
    assert_eq!(ui.get("/system/queue").await.refused(), (502, Some("FF0901")));
    assert_eq!(ui.get("/ui/").await.status, StatusCode::OK);
}
