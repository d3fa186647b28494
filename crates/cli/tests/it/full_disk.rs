//! A full disk, simulated by a limit on the size of files, which needs no separate disk: the system says
//! `EFBIG` then where it would say `ENOSPC`.

use std::process::Command;

use axum::body::Body;
use faasflow_http::{HttpClient, read_body};
use http::{Request, StatusCode};

use crate::support::{PATIENCE, Recorder, Up, stack, until, url};

#[tokio::test(flavor = "multi_thread")]
async fn r9_a_full_disk_answers_507_and_logs_once_why_and_when_to_try_again() {
    let recorder = Recorder::listen().await;
    let folder = stack(&url("record", recorder.address));
    let mut command = Command::new("bash");
    // 6 MiB. The signal would end the program.
    command.args(["-c", "trap '' XFSZ; ulimit -f 6144; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_faasflow")]);
    let up = Up::start_by(command, folder.path(), &folder.path().join("state"), &[]);
    let client = HttpClient::new(PATIENCE);
    let mut accepted = 0;
    let (parts, text) = loop {
        assert!(accepted < 1000, "the disk is never full");
        let request = Request::post(format!("{}/async-function/record", up.url));
        let response = client.send(request.body(Body::from(vec![7; 50_000])).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::ACCEPTED {
            let text = read_body(body, 4096, PATIENCE).await.unwrap();
            break (parts, String::from_utf8(text.to_vec()).unwrap());
        }
        accepted += 1;
    };
    assert!(accepted > 10, "{accepted}: {text}");
    assert_eq!(parts.status, StatusCode::INSUFFICIENT_STORAGE, "{text}");
    assert_eq!(parts.headers["retry-after"], "5");
    assert_eq!(text, "Error queuing request: the disk of the queue is full: File too large (os error 27)\n");
    // What was accepted is delivered all the same.
    recorder.allow(usize::MAX >> 8);
    until("all are delivered", async || (recorder.seen().len() >= accepted).then_some(())).await;
    assert_eq!(up.stop(), Some(0));
}
