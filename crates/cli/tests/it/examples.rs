//! Every example runs under `faasflow up`.

use std::io::Read as _;

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

#[tokio::test(flavor = "multi_thread")]
async fn photo_report() {
    let state = tempfile::tempdir().unwrap();
    let up = Up::start(&repository("examples/photo-report"), state.path());
    let photos = repository("examples/upload-pipeline/photos");
    let mut album = tar::Builder::new(Vec::new());
    for name in ["rocket.jpg", "two-faces.jpg"] {
        album.append_path_with_name(photos.join(name), name).unwrap();
    }
    let album = album.into_inner().unwrap();
    let check = |result: &[u8]| {
        let mut archive = tar::Archive::new(result);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut bytes = Vec::new();
            entry.unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let files: Vec<Vec<u8>> = archive.entries().unwrap().map(read).collect();
        assert!(files[0].starts_with(&[0xff, 0xd8, 0xff]), "the sheet is a JPEG picture");
        let report: serde_json::Value = serde_json::from_slice(&files[1]).unwrap();
        let faces = report.as_array().unwrap().iter().map(|photo| (photo["name"].as_str(), photo["faces"].as_u64()));
        let expected = [(Some("rocket.jpg"), Some(0)), (Some("two-faces.jpg"), Some(2))];
        assert_eq!(faces.collect::<Vec<_>>(), expected);
    };
    let output = up.run(&["invoke", "photo-report"], &album);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(&output.stdout);

    let output = up.run(&["invoke", "photo-report"], b"not an archive");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the payload is not a tar archive"), "{said}");

    let recorder = Recorder::listen().await;
    recorder.allow(1);
    let results = format!("X-Faasflow-Callback-Url=http://{}/results", recorder.address);
    let output = up.run(&["invoke", "photo-report-async", "--header", &results], &album);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result = until("the result", async || recorder.seen().first().cloned()).await;
    assert_eq!(result.header("x-faasflow-outcome"), Some("success"));
    check(&result.body);
    assert_eq!(up.stop(), Some(0));
}
