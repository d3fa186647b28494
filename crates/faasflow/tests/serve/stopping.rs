//! How a flow stops so that nobody notices, and whether it says that it is ready.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::child::{Exchange, PATIENCE, Program};
use crate::tests;
use crate::watchdog::{self, Watchdog, image_settings};

tests![
    r4_a_flow_that_drains_serves_and_is_not_ready,
    kept_connections_are_given_up_while_a_flow_drains,
    r4_a_second_signal_stops_at_once,
    r4_sigint_does_not_drain,
    r4_two_sigterms_behind_a_watchdog_are_one,
    r4_a_rolling_restart_behind_the_watchdog_fails_no_request,
    i1_the_image_sets_what_the_flow_and_its_watchdog_read,
    i8_a_large_body_is_refused_while_it_is_still_sent,
    i8_large_and_slow_bodies_get_their_answers_behind_the_watchdog,
    r6_a_flow_whose_store_does_not_answer_is_not_ready,
    r6_readiness_behind_the_watchdog_is_the_flows,
];

fn r4_a_flow_that_drains_serves_and_is_not_ready() {
    let mut program = Program::new("hello").with("drain_time", "6s").start();
    assert!(program.request("GET /_/ready", "").0.starts_with("HTTP/1.1 200 OK"));
    let begun = Instant::now();
    program.signal("TERM");
    program.until_logged("Draining: still accepting requests for 6s");
    for _ in 0..10 {
        assert_eq!(program.request("POST /", "you").1, "Hello, you!");
    }
    let (head, body) = program.request("GET /_/ready", "");
    assert!(head.starts_with("HTTP/1.1 503 ") && body == "the flow function is stopping\n", "{head}");
    assert!(program.request("GET /_/health", "").0.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(program.wait().code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(6));
}

/// They would all be closed at the end of the drain. A request that the gateway sends on one just then is lost, and in a
/// rolling update on Kubernetes some callers got a 502.
fn kept_connections_are_given_up_while_a_flow_drains() {
    let mut program = Program::new("hello").with("drain_time", "6s").start();
    let connect = || {
        let stream = TcpStream::connect(&program.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let ask = |mut stream: &TcpStream, head: &str| {
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("Hello, you!") && !answer.ends_with("OK\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "it closed the connection: {answer}");
            answer.push(byte[0].into());
        }
        answer.to_ascii_lowercase()
    };
    for head in
        ["POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nyou", "GET /_/health HTTP/1.1\r\nhost: x\r\n\r\n"]
    {
        let kept_alive = connect();
        for _ in 0..2 {
            let answer = ask(&kept_alive, head);
            assert!(!answer.contains("connection: close"), "{answer}");
        }
    }
    let (kept_alive, idle) = (connect(), connect());
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nyou";
    ask(&kept_alive, head);
    program.signal("TERM");
    program.until_logged("Draining: ");
    for stream in [kept_alive, idle, connect()] {
        let answer = ask(&stream, head);
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!((&stream).read(&mut [0]).unwrap(), 0, "and it does");
    }
    assert_eq!(program.wait().code(), Some(0));
}

fn r4_a_second_signal_stops_at_once() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "TERM")] {
        let mut program = Program::new("blocking").with("drain_time", "1h").with("write_timeout", "1h").start();
        let _in_flight = program.begin("POST /", b"");
        program.until_logged("Executing modifier at");
        program.signal(first);
        program.until_logged(if first == "TERM" { "Draining: " } else { "Stopping: " });
        program.signal(second);
        assert_eq!(program.wait().code(), Some(1));
        assert_eq!(
            program.all_lines().last().unwrap(),
            "WARN A second signal arrived: cutting off the requests in flight"
        );
    }
}

fn r4_sigint_does_not_drain() {
    let mut program = Program::new("hello").with("drain_time", "1h").start();
    program.signal("INT");
    assert_eq!(program.wait().code(), Some(0));
}

fn r4_two_sigterms_behind_a_watchdog_are_one() {
    let program = Program::new("hello").with("upstream_url", "http://127.0.0.1").without("drain_time");
    let program = program.with("healthcheck_interval", "1h");
    let running = program.start();
    // Sent by one command, since the second counts as the first for a moment only.
    running.signal_twice("TERM");
    running.until_logged("Draining: still accepting requests for 1h1s");
    assert_eq!(running.request("POST /", "you").1, "Hello, you!");
}

fn r4_a_rolling_restart_behind_the_watchdog_fails_no_request() {
    let start = || Watchdog::start(Program::new("hello"), &image_settings());
    let old = start();
    let restarting = AtomicBool::new(true);
    // Clients notice only after a while that one of the two stops.
    let old_is_known = AtomicBool::new(true);
    let new = std::sync::OnceLock::<Watchdog>::new();
    let answered = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0;
                    for number in 0.. {
                        if !restarting.load(Ordering::SeqCst) {
                            break;
                        }
                        let to_old = old_is_known.load(Ordering::SeqCst) && (number % 2 == 0 || new.get().is_none());
                        let watchdog = if to_old { &old } else { new.get().unwrap() };
                        let (head, body) = Exchange::begin(watchdog.address(), "POST /", b"you").end();
                        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}\n{body}");
                        assert_eq!(body, "Hello, you!");
                        answered += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    answered
                })
            })
            .collect();
        let started = start();
        started.until_ready();
        assert!(new.set(started).is_ok());
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            old_is_known.store(false, Ordering::SeqCst);
        });
        old.stop();
        restarting.store(false, Ordering::SeqCst);
        let answered: u32 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        answered
    });
    assert!(answered > 20, "{answered}");
    let lines = old.flow_ended();
    assert!(lines.iter().any(|line| line.starts_with("Draining: ")), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), "Stopped", "the flow is done when the watchdog is, or soon after");
}

fn i1_the_image_sets_what_the_flow_and_its_watchdog_read() {
    let flow = faasflow_runtime::Config::settings(|_| None);
    let settings = image_settings();
    for name in settings.keys() {
        let known = watchdog::SETTINGS.contains(&name.as_str()) || flow.iter().any(|setting| setting.name == *name);
        assert!(known, "nobody reads `{name}`");
    }
    for name in ["healthcheck_interval", "ready_path", "log_buffer_size", "prefix_logs"] {
        assert!(settings.contains_key(name), "{settings:?}");
    }
    // Docker and others kill what has not stopped after ten seconds. Both stop after this time if nothing is in flight.
    let interval = faasflow_core::duration::parse(&settings["healthcheck_interval"]).unwrap();
    assert!(interval <= Duration::from_secs(8), "{interval:?}");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template/faasflow/Dockerfile");
    let image = std::fs::read_to_string(path).unwrap();
    assert!(image.contains("\nARG WATCHDOG_IMAGE=ghcr.io/openfaas/of-watchdog:0.11.6\n"), "the list is of 0.11.6");
}

fn r6_a_flow_whose_store_does_not_answer_is_not_ready() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    // One that takes connections and does not answer, and one that is not there.
    for url in [url.as_str(), "redis://127.0.0.1:1"] {
        let program = Program::new("hello").with("state_manager", "redis").with("redis_url", url).start();
        let (head, body) = program.request("GET /_/ready", "");
        assert!(
            head.starts_with("HTTP/1.1 503 ") && body == "the state manager `redis` does not answer\n",
            "{head}\n{body}"
        );
        assert!(program.request("GET /_/health", "").0.starts_with("HTTP/1.1 200 OK"));
        program.until_logged("WARN Not ready: the state manager `redis` does not answer: ");
    }
}

fn r6_readiness_behind_the_watchdog_is_the_flows() {
    let program = Program::new("hello").with("state_manager", "redis").with("redis_url", "redis://127.0.0.1:1");
    let watchdog = Watchdog::start(program, &image_settings());
    let ready = Exchange::begin(watchdog.address(), "GET /_/ready", b"").end().0;
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    let health = Exchange::begin(watchdog.address(), "GET /_/health", b"").end().0;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
}

fn i8_a_large_body_is_refused_while_it_is_still_sent() {
    // More is left than has to be sent: the forwarder has the answer before the connection closes.
    let program = Program::new("hello").with("max_body", "1MiB").start();
    for expect in ["", "expect: 100-continue\r\n"] {
        is_refused_while_it_is_sent(&program.address, expect);
    }
}

fn is_refused_while_it_is_sent(address: &str, expect: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{expect}transfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    if !expect.is_empty() {
        let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut go_on).unwrap();
    }
    let chunk = [b"100000\r\n", &[b'x'; 1 << 20][..], b"\r\n"].concat();
    stream.write_all(&chunk).unwrap();
    stream.write_all(&chunk).unwrap();
    // No more is sent before the answer is there.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
    // The connection is still open: it takes what was on its way.
    for _ in 0..8 {
        stream.write_all(&chunk).unwrap();
    }
}

fn i8_large_and_slow_bodies_get_their_answers_behind_the_watchdog() {
    let mut settings = image_settings();
    settings.insert("read_timeout".to_owned(), "2s".to_owned());
    let watchdog = Watchdog::start(Program::new("hello").with("max_body", "1MiB"), &settings);
    for _ in 0..10 {
        let (head, body) = Exchange::begin(watchdog.address(), "POST /", &vec![b'x'; 8 << 20]).end();
        assert!(head.starts_with("HTTP/1.1 413 ") && body.contains("`max_body`"), "{head}\n{body}");
    }
    let mut slow = TcpStream::connect(watchdog.address()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx").unwrap();
    let begun = Instant::now();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
}
