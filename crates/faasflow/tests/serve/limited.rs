//! A flow with little memory and much to do.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier};

use super::child::{PATIENCE, Program};

super::tests! {
    r7_forty_bodies_of_60_mb_fit_into_512_mb_of_memory,
    r7_thousands_of_slow_requests_are_bounded,
}

const BODY: usize = 60_000_000;

/// A function that gives back what it gets, for as many connections as come.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").as_bytes())
        .ok()?;
    stream.write_all(&body).ok()
}

fn r7_forty_bodies_of_60_mb_fit_into_512_mb_of_memory() {
    let mut program = Program::new("limited").with("gateway", echo()).start();
    let body = vec![7; BODY];
    let start = Barrier::new(40);
    let answers: Vec<(String, usize)> = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            let (head, body) = program.request("POST /", &body);
            (head, body.len())
        };
        let asking: Vec<_> = (0..40).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap_or_else(|_| panic!("{:#?}", program.lines()))).collect()
    });
    let (served, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(head, _)| head.starts_with("HTTP/1.1 200 "));
    assert!(!served.is_empty() && served.iter().all(|&(_, length)| length == BODY), "{served:?}");
    for (head, _) in &refused {
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: "), "{head}");
    }
    assert!(program.request("POST /", "small").0.starts_with("HTTP/1.1 200 "));
    let lines = program.stop();
    assert_eq!(lines.iter().filter(|line| line.contains("Refused with 503")).count(), refused.len());
}

fn r7_thousands_of_slow_requests_are_bounded() {
    let program = Program::new("limited").with("gateway", echo()).with("max_inflight_requests", "100");
    let program = program.with("read_timeout", "60s").start();
    // Each client and the flow have a file for it.
    let files = rlimit::increase_nofile_limit(8192).unwrap();
    let count = usize::try_from(files / 4).unwrap().min(1000);
    let head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\nslow";
    let mut clients: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut client = TcpStream::connect(&program.address).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(head).unwrap();
            client
        })
        .collect();
    // All but a hundred are told to come again, though none has sent its body.
    let answers = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for client in &clients {
        let (mut client, answers) = (client.try_clone().unwrap(), answers.clone());
        std::thread::spawn(move || {
            let mut answer = [0; 13];
            if client.read_exact(&mut answer).is_ok() && &answer == b"HTTP/1.1 503 " {
                answers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
    }
    let limit = std::time::Instant::now() + PATIENCE;
    while answers.load(std::sync::atomic::Ordering::SeqCst) < count - 100 {
        assert!(std::time::Instant::now() < limit, "{answers:?} of {count}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (head, text) = program.metrics("GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200 "));
    assert!(text.contains("faasflow_inflight_requests{flow=\"limited\"} 100"), "{text}");
    assert!(program.request("GET /_/health", "").0.starts_with("HTTP/1.1 200 "));
    clients.clear();
}
