//! A gateway with too low a limit on open files.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;

use crate::support::{PATIENCE, listen, start_with, url};

const TEST: &str = "few_files::r7_a_lack_of_files_is_not_a_failure_of_the_function";
const FUNCTION: &str = "FAASFLOW_TEST_FUNCTION";
const CALLS: usize = 200;

/// The child process with the low limit: a gateway that runs until its input ends.
async fn gateway(function: &str) {
    let fixture = start_with(&url("slow", function.parse().unwrap()), |options| {
        options.max_inflight_requests = Some(1000);
        options.queue.workers = 1000;
        options.queue.max_attempts = 1;
    })
    .await;
    println!("\nLISTENS {}", fixture.gateway.address());
    let input = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    input.await.unwrap().unwrap();
    let dead = fixture.gateway.queue().dead_letters(usize::MAX).await.unwrap();
    println!("\nDEAD {:?}", dead.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_a_lack_of_files_is_not_a_failure_of_the_function() {
    #[allow(clippy::disallowed_methods, reason = "the test runs itself again, and says so in the environment")]
    if let Ok(function) = std::env::var(FUNCTION) {
        return gateway(&function).await;
    }
    let (release, released) = watch::channel(false);
    let (count, mut counted) = watch::channel(0);
    let (begin, mut begun) = watch::channel(0);
    let function = listen(axum::Router::new().fallback(move || {
        let mut released = released.clone();
        let count = count.clone();
        begin.send_modify(|begun| *begun += 1);
        async move {
            let _ = released.wait_for(|&released| released).await;
            count.send_modify(|count| *count += 1);
            "done"
        }
    }))
    .await;
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 150 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([TEST, "--exact", "--nocapture"])
        .env(FUNCTION, function.address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("it listens");
        if let Some(address) = line.strip_prefix("LISTENS ") {
            break address.to_owned();
        }
    };
    // Two connections that are opened before the limit is reached.
    let mut queueing = TcpStream::connect(&address).await.unwrap();
    let mut calling = TcpStream::connect(&address).await.unwrap();
    for _ in 0..CALLS {
        let call = "POST /async-function/slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx";
        queueing.write_all(call.as_bytes()).await.unwrap();
        let answer = answer(&mut queueing).await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        keep(&mut calling).await;
    }
    // Once no more connections succeed, the limit is reached.
    let mut quiet = 0;
    while quiet < 3 {
        let came = tokio::time::timeout(Duration::from_secs(1), begun.changed()).await.is_ok();
        quiet = if came { 0 } else { quiet + 1 };
        keep(&mut calling).await;
    }
    let come = *begun.borrow();
    assert!((50..CALLS).contains(&come), "{come}");
    let call = "POST /function/slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx";
    calling.write_all(call.as_bytes()).await.unwrap();
    let refused = answer(&mut calling).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: ") && refused.contains("x-faasflow-busy: true"), "{refused}");
    assert!(!refused.contains("x-faasflow-gateway-error"), "{refused}");
    release.send(true).unwrap();
    let all = tokio::time::timeout(PATIENCE, counted.wait_for(|&count| count >= CALLS));
    let executed = *all.await.unwrap_or_else(|_| panic!("not all were executed")).unwrap();
    assert_eq!(executed, CALLS);
    // The last answer is on its way.
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(child.stdin.take());
    let dead = loop {
        let line = lines.next_line().await.unwrap().expect("it ends");
        if let Some(dead) = line.strip_prefix("DEAD ") {
            break dead.to_owned();
        }
    };
    assert_eq!(dead, "None");
}

/// Uses a connection, so that the gateway does not close it as idle.
async fn keep(stream: &mut TcpStream) {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = answer(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// The head of one answer; all that matters is in it, and in what comes with it.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.expect("an answer comes").unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
