//! `faasflow requests redrive` after an outage that many requests of a real flow have met.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faasflow_http::HttpClient;
use http::StatusCode;

use crate::support::{Up, faasflow, listen, makeuserid, post, signal, stack, until, url};

const REQUESTS: usize = 40;

/// The function in the last phase of the flow. It fails until it is mended.
#[derive(Clone, Default)]
struct Last {
    mended: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Last {
    fn call(&self, body: String) -> (StatusCode, String) {
        self.calls.lock().unwrap().push(body.clone());
        let status = if self.mended.load(SeqCst) { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        (status, body)
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_redriven_at_a_rate_and_an_interrupted_redrive_goes_on() {
    let last = Last::default();
    let called = last.clone();
    let functions = axum::Router::new().fallback(move |uri: http::Uri, body: String| async move {
        match uri.path().starts_with("/format-xml") {
            true => called.call(body),
            false => (StatusCode::OK, body),
        }
    });
    let (address, _serving) = listen(functions).await;
    let names = ["titleize", "to-xml", "format-xml"].map(|name| url(name, address)).concat();
    let folder = stack(&(names + &makeuserid()));
    let up = Up::start(folder.path(), &folder.path().join("state"));
    let client = HttpClient::new(crate::support::PATIENCE);
    for number in 0..REQUESTS {
        let user = format!(r#"{{"name":"User {number}","email":"u{number}@b.c"}}"#);
        let headers = [("content-type", "application/json"), ("x-faasflow-request-id", &format!("user-{number}"))];
        post(&client, format!("{}/async-function/makeuserid", up.url), &headers, user).await;
    }
    let redrive = ["requests", "redrive", "--failed", "--since", "1h", "--yes"];
    let dry = [&redrive[..4], &["1h", "--dry-run", "--json"]].concat();
    let would_redrive = || {
        let printed: serde_json::Value = serde_json::from_slice(&up.run(&dry, b"").stdout).unwrap();
        printed["would_redrive"].as_array().unwrap().len()
    };
    until("all have failed", async || (would_redrive() == REQUESTS).then_some(())).await;
    assert_eq!(last.calls().len(), REQUESTS, "a dry run starts nothing");

    last.mended.store(true, SeqCst);
    let mut command = faasflow();
    command.args(redrive).args(["--rate", "4", "--gateway", &up.url]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("some are called", async || (last.calls().len() >= REQUESTS + 8).then_some(())).await;
    signal("-INT", child.id());
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    until("what was started has ended", async || {
        let left = would_redrive();
        (left + last.calls().len() == 2 * REQUESTS).then_some(())
    })
    .await;
    let left = would_redrive();
    assert!((1..REQUESTS - 7).contains(&left), "{left} are left");

    let begun = Instant::now();
    let output = up.run(&[&redrive[..], &["--rate", "20"]].concat(), b"");
    let took = begun.elapsed();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.ends_with(&format!("\nStarted {left} of {left} requests\n")), "{printed}");
    until("all have ended", async || (last.calls().len() == 2 * REQUESTS).then_some(())).await;
    let calls = last.calls();
    let mut times = HashMap::<&str, usize>::new();
    calls.iter().for_each(|body| *times.entry(body).or_default() += 1);
    assert!(times.len() == REQUESTS && times.values().all(|times| *times == 2), "{times:?}");
    assert!(took >= Duration::from_millis(50) * (left as u32 - 1), "{left} requests were redriven within {took:?}");
    assert_eq!(up.stop(), Some(0));
}
