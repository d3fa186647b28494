//! What the gateway takes on at once.

use axum::body::Body;
use faasflow_gateway::queue::{NewCall, Queue, QueueOptions};
use http::Method;

use crate::support::{Fixture, Got, Recorder, folder, listen, start_in, start_with, until, url};

fn refused(got: &Got) {
    assert_eq!(got.status, 503, "{got:?}");
    assert!((1..=5).contains(&got.header("retry-after").unwrap().parse::<u64>().unwrap()));
    assert_eq!(got.header("x-faasflow-busy"), Some("true"));
}

/// A function that never answers, and how many requests have reached it.
async fn hanging() -> (crate::support::TestServer, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let came = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counting = came.clone();
    let listening = listen(axum::Router::new().fallback(move || {
        counting.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        std::future::pending::<()>()
    }));
    (listening.await, came)
}

#[tokio::test]
async fn r7_invocations_beyond_the_limit_are_refused_and_nothing_else_is() {
    let (slow, came) = hanging().await;
    let gateway = start_with(&url("slow", slow.address), |options| options.max_inflight_requests = Some(2)).await;
    let both = async { tokio::join!(gateway.post("/function/slow", "1"), gateway.post("/function/slow", "2")) };
    let more = async {
        let two = async || (came.load(std::sync::atomic::Ordering::SeqCst) == 2).then_some(());
        until("two are under way", two).await;
        refused(&gateway.post("/function/slow", "3").await);
        refused(&gateway.post("/async-function/slow", "3").await);
        for path in ["/healthz", "/metrics", "/system/functions", "/system/queue"] {
            assert_eq!(gateway.get(path).await.status, 200, "{path}");
        }
        let metrics = gateway.get("/metrics").await;
        assert!(metrics.text().contains("faasflow_gateway_inflight_requests 2"), "{}", metrics.text());
        // What a flow calls is part of a request that has its place.
        let step = [("x-faasflow-request-id", "r"), ("idempotency-key", "r-1-1")];
        let calling = gateway.send(Method::POST, "/function/slow", &step, Body::empty());
        let three = async || (came.load(std::sync::atomic::Ordering::SeqCst) == 3).then_some(());
        tokio::select! {
            got = calling => panic!("{got:?}"),
            () = until("the call of a flow is under way", three) => {}
        }
    };
    tokio::select! {
        got = both => panic!("{got:?}"),
        () = more => {}
    }
}

async fn with_bytes(functions: &str, bytes: u64) -> Fixture {
    start_with(functions, |options| {
        options.max_inflight_bytes = Some(bytes);
        options.queue.max_body = 8 << 20;
    })
    .await
}

#[tokio::test]
async fn r7_bodies_for_queue_and_commands_are_counted() {
    let recorder = Recorder::default();
    let listening = recorder.listen().await;
    let functions = url("f", listening.address) + "cat:\n  fprocess: cat\n";
    let gateway = with_bytes(&functions, 4 << 20).await;
    for path in ["/async-function/f", "/function/cat"] {
        let never = gateway.post(path, vec![7; 5 << 20]).await;
        assert_eq!(never.status, 413);
        assert!(never.text().contains("4194304 bytes") && !never.text().contains("--"), "{never:?}");
    }
    // One at a time, and all in the end.
    let posted = (0..6).map(|_| gateway.post("/async-function/f", vec![7; 1 << 20]));
    let answers = futures_util::future::join_all(posted).await;
    let accepted = answers.iter().filter(|got| got.status == 202).count();
    assert!(accepted > 0);
    answers.iter().filter(|got| got.status != 202).for_each(refused);
    let seen = recorder.until(accepted).await;
    assert!(seen.iter().all(|seen| seen.body.len() == 1 << 20));
    let answers = futures_util::future::join_all((0..6).map(|_| gateway.post("/function/cat", vec![7; 1 << 20]))).await;
    for got in answers {
        match got.status.as_u16() {
            200 => assert_eq!(got.body.len(), 1 << 20),
            _ => refused(&got),
        }
    }
    let nothing =
        async || gateway.get("/metrics").await.text().contains("faasflow_gateway_inflight_bytes 0").then_some(());
    until("nothing is held any more", nothing).await;
}

#[tokio::test]
async fn r7_limits_that_are_not_set_fit_the_memory() {
    let gateway = start_with("cat:\n  fprocess: cat\n", |_| {}).await;
    let metrics = gateway.get("/metrics").await;
    let limit = |name: &str| -> f64 {
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    };
    // Half of the gateway's part, with one function beside it.
    let memory = faasflow_http::memory_limit() as f64;
    assert!((limit("faasflow_gateway_inflight_bytes_limit") - memory / 4.0).abs() < 2.0);
    assert!(limit("faasflow_gateway_inflight_requests_limit") >= 64.0);
}

#[tokio::test]
async fn r7_one_function_leaves_room_for_the_others() {
    let (slow, came) = hanging().await;
    let recorder = Recorder::default();
    let quick = recorder.listen().await;
    let functions = url("slow", slow.address) + &url("quick", quick.address);
    let gateway = start_with(&functions, |options| options.max_inflight_requests = Some(16)).await;
    let all = futures_util::future::join_all((0..14).map(|_| gateway.post("/function/slow", "x")));
    let more = async {
        let full = async || (came.load(std::sync::atomic::Ordering::SeqCst) == 14).then_some(());
        until("it has its share", full).await;
        let got = gateway.post("/function/slow", "x").await;
        refused(&got);
        assert!(got.text().starts_with("`slow` already handles 14 requests"), "{}", got.text());
        assert_eq!(gateway.post("/function/quick", "x").await.status, 200);
    };
    tokio::select! {
        got = all => panic!("{got:?}"),
        () = more => {}
    }
}

#[tokio::test]
async fn r2_a_command_whose_output_never_fits_beside_its_body_is_executed_once() {
    let command = "cat:\n  fprocess: sh -c 'echo x >> runs; cat'\n";
    let gateway = with_bytes(command, 3 << 20).await;
    let got = gateway.post("/function/cat", vec![7; 2 << 20]).await;
    assert_eq!(
        (got.status.as_u16(), got.header("x-faasflow-gateway-error")),
        (502, Some("unusable-answer")),
        "{got:?}"
    );
    let runs = || std::fs::read_to_string(gateway.folder.path().join("runs")).unwrap().lines().count();
    assert_eq!(runs(), 1);
}

/// Their deliveries need room as well, and the room must not be taken by those that wait.
#[tokio::test]
async fn r7_callbacks_that_wait_hold_no_room() {
    let function = listen(axum::Router::new().fallback(async || vec![7; 400 << 10])).await;
    let receiver = Recorder::default();
    let receiving = receiver.listen().await;
    let gateway = with_bytes(&url("f", function.address), 1 << 20).await;
    let callback = format!("http://{}/done", receiving.address);
    let headers = [("x-callback-url", callback.as_str())];
    for _ in 0..3 {
        assert_eq!(gateway.send(Method::POST, "/async-function/f", &headers, "x").await.status, 202);
    }
    let seen = receiver.until(3).await;
    assert!(seen.iter().all(|seen| seen.body.len() == 400 << 10));
}

#[tokio::test]
async fn r7_unread_output_takes_no_room() {
    let gateway = with_bytes("loud:\n  fprocess: sh -c 'head -c 20000000 /dev/zero; echo x >> runs'\n", 1 << 20).await;
    for _ in 0..4 {
        assert_eq!(gateway.post("/async-function/loud", "x").await.status, 202);
    }
    let runs = async || {
        let runs = std::fs::read_to_string(gateway.folder.path().join("runs")).unwrap_or_default();
        (runs.lines().count() == 4).then_some(())
    };
    until("each has run", runs).await;
    let queue = async || (gateway.get("/system/queue").await.json()["delivered"] == 4).then_some(());
    until("each is delivered", queue).await;
}

#[tokio::test]
async fn r7_a_limit_that_is_not_a_multiple_of_the_unit_works() {
    let recorder = Recorder::default();
    let listening = recorder.listen().await;
    let folder = folder(&url("f", listening.address));
    std::fs::create_dir(folder.path().join(".faasflow")).unwrap();
    // Accepted with more room than there is afterwards.
    let queue = Queue::open(&folder.path().join(".faasflow/queue.redb"), QueueOptions::default()).unwrap();
    let call = NewCall {
        call_id: "c".to_owned(),
        function: "f".to_owned(),
        path: String::new(),
        query: None,
        headers: http::HeaderMap::new(),
        body: vec![7; 100_000].into(),
        callback_url: None,
    };
    queue.enqueue(call).await.unwrap();
    queue.close().await;
    let gateway = start_in(folder, |options| options.max_inflight_bytes = Some(50_000)).await.unwrap();
    assert_eq!(recorder.until(1).await[0].body.len(), 100_000);
    gateway.gateway.stop().await;
}
