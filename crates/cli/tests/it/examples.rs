//! Every example runs under `faasflow up`.

use crate::support::{Recorder, Up, post, repository, until};
use faasflow_http::HttpClient;
use http::StatusCode;

#[test]
fn hello_world() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(&repository("examples/hello-world"), state.path());
    let output = up.run(&["invoke", "hello-world"], b"Ada");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"Hello, Ada!".as_slice()));
    assert_eq!(up.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn makeuserid() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(&repository("examples/makeuserid"), state.path());
    let recorder = Recorder::listen().await;
    recorder.allow(10);
    let results = format!("http://{}/results", recorder.address);
    let client = HttpClient::new(crate::support::PATIENCE);
    let headers = [("content-type", "application/json"), ("x-faasflow-callback-url", results.as_str())];
    // Synchronous for its first phase, and asynchronous from the start.
    for (route, body, outcome) in [
        ("function", r#"{"name":"aDA lovelace","email":"ada@example.org"}"#, "success"),
        ("async-function", r#"{"name":"aDA lovelace","email":"ada@example.org"}"#, "success"),
        ("async-function", r#"{"name":"aDA lovelace","email":"none"}"#, "failure"),
    ] {
        let before = recorder.seen().len();
        let answer = post(&client, format!("{}/{route}/makeuserid", up.url), &headers, body.to_owned()).await;
        assert_eq!(answer.0, StatusCode::ACCEPTED);
        let result = until("the result", async || recorder.seen().get(before).cloned()).await;
        assert_eq!(result.header("x-faasflow-outcome"), Some(outcome));
        assert_eq!(result.header("x-faasflow-request-id"), Some(answer.1.as_str()));
        let text = std::str::from_utf8(&result.body).unwrap();
        if outcome == "success" {
            for line in ["  <id>ada.lovelace</id>", "  <name>Ada Lovelace</name>", "  <email>ada@example.org</email>"] {
                assert!(text.lines().any(|found| found == line), "{line}\n{text}");
            }
        } else {
            assert!(text.contains("`email` is not a valid address"), "{text}");
        }
    }
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn upload_pipeline() {
    let state = tempfile::tempdir().unwrap();
    let example = repository("examples/upload-pipeline");
    let up = Up::start(&example, state.path());
    let photo = |name: &str| std::fs::read(example.join("photos").join(name)).unwrap();
    let output = up.run(&["invoke", "upload-pipeline"], &photo("portrait.jpg"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.starts_with(&[0xff, 0xd8, 0xff]), "it answers a JPEG picture");
    let output = up.run(&["invoke", "upload-pipeline"], &photo("two-faces.jpg"));
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("the photo shows 2 faces; exactly one is needed"), "{errors}");
    assert_eq!(up.stop(), Some(0));
}
