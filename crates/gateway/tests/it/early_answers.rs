//! Functions that answer before they have read the request, and callers who are still sending it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{PATIENCE, nowhere, start, url};

/// A function that reads a little of each request, answers, and closes the connection.
async fn refusing() -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read_exact(&mut [0; 300]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 413 Payload Too Large\r\nx-own: 1\r\ncontent-length: 9\r\n\r\ntoo large")
                .await;
        }
    });
    (address, AbortOnDropHandle::new(serving))
}

/// A caller that sends all of a body before it reads, as many do; what it is answered.
async fn post(to: SocketAddr, path: &str, length: usize) -> Result<String, std::io::Error> {
    let mut stream = TcpStream::connect(to).await?;
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let part = vec![7; 1 << 20];
    let mut left = length;
    while left > 0 {
        let size = left.min(part.len());
        stream.write_all(&part[..size]).await?;
        left -= size;
        // Slower than the function is.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_an_answer_that_comes_early_is_passed_on() {
    let (function, _serving) = refusing().await;
    let fixture = start(&format!("{}{}", url("f", function), url("gone", nowhere()))).await;
    let gateway = fixture.gateway.address();
    for (path, status, text) in
        [("/function/f", "413 Payload Too Large", "too large"), ("/function/gone", "500 ", "Can't reach service")]
    {
        for length in [5_000_000, 20_000_000, 5_000_000] {
            let answer = tokio::time::timeout(PATIENCE, post(gateway, path, length)).await.unwrap();
            let answer = answer.unwrap_or_else(|error| panic!("{path} {length}: {error}"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(text), "{length}: {answer}");
        }
    }
    fixture.gateway.stop().await;
}
