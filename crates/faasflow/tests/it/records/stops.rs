//! Requests that are stopped.

use std::sync::Mutex;

use super::*;

/// A flow three levels down.
fn nested() -> FlowBuilder {
    let inner = Flow::builder().apply("one").apply("two");
    Flow::builder().flow("middle", Flow::builder().flow("inner", inner))
}

#[tokio::test]
async fn a_stop_reaches_every_level_of_sub_flows() {
    let branches = Flow::builder().parallel([("left", nested()), ("right", nested())]);
    for (flow, ones) in [(nested(), 1), (branches, 2)] {
        let flow = Flow::builder().state(Memory::new()).flow("outer", flow).apply("three");
        let kit = remembering(flow).start().await;
        kit.hold_function("one");
        let request = kit.request("1").header("x-faasflow-request-id", "s").answer();
        let (_, stopped) = tokio::join!(request, async {
            kit.until_called("one", ones).await;
            let stopped = did(&kit, "/_/requests/s/stop").await;
            kit.release_function("one");
            stopped
        });
        assert_eq!(stopped["status"], "stopped");
        // The calls in progress end, and nothing follows them.
        kit.until_idle().await;
        assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [ones, 0, 0]);
        assert_eq!(status(&kit, "s").await["status"], "stopped");
    }
}

#[tokio::test]
async fn a_stop_reaches_an_item_that_waits_for_its_next_attempt() {
    // The phase itself waits for some seconds. If it is to wait for an hour, the queue delivers it again.
    for pause in ["4", "3600"] {
        let items = ForEach::new(Flow::builder().apply("one"));
        let busy = Fake::with(move |_| Reply::new("").status(503).header("retry-after", pause));
        let kit = remembering(Flow::builder().state(Memory::new()).for_each(items).apply("two"));
        let kit = kit.function("one", busy).start().await;
        kit.request("[1]").header("x-faasflow-request-id", "s").answer().await;
        kit.until_called("one", 1).await;
        assert_eq!(did(&kit, "/_/requests/s/stop").await["status"], "stopped");
        let calls = kit.calls("one").len();
        until(async || kit.until_delivered(1).await.last().is_some_and(http::StatusCode::is_success)).await;
        // One may have been on its way.
        assert!(kit.calls("one").len() <= calls + 1, "{pause}");
        assert_eq!((kit.calls("one").len() == 1 || pause == "3600", kit.calls("two").len()), (true, 0));
    }
}

/// The pause that the policy of a call asks for is another place where a phase waits.
#[tokio::test]
async fn a_stop_reaches_a_call_that_waits_for_its_next_attempt() {
    let retry = faasflow::Retry::attempts(5).initial_delay(Duration::from_secs(4));
    let flow = Flow::builder().state(Memory::new()).apply("one").apply(Call::new("two").retry(retry));
    let kit = remembering(flow).function("two", Fake::failing(503)).start().await;
    kit.request("x").header("x-faasflow-request-id", "s").answer().await;
    kit.until_called("two", 1).await;
    assert_eq!(did(&kit, "/_/requests/s/stop").await["status"], "stopped");
    until(async || kit.until_delivered(1).await.last().is_some_and(http::StatusCode::is_success)).await;
    assert_eq!(kit.calls("two").len(), 1);
}

/// An outage in the first phase otherwise means that the request has not begun.
#[tokio::test]
async fn a_request_that_is_stopped_in_its_first_phase_keeps_its_record() {
    let later = Fake::with(|_| Reply::new("").status(503).header("retry-after", "3600"));
    let flow = Flow::builder().state(Memory::new()).apply(Call::new("one").sync());
    let kit = remembering(flow).function("one", later).start().await;
    kit.hold_function("one");
    let request = kit.request("x").header("x-faasflow-request-id", "s").answer();
    let (answer, ()) = tokio::join!(request, async {
        kit.until_called("one", 1).await;
        assert_eq!(did(&kit, "/_/requests/s/stop").await["status"], "stopped");
        kit.release_function("one");
    });
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(status(&kit, "s").await["status"], "stopped");
    assert_eq!(get(&kit, "/_/requests/s/result").await.outcome(), Some(Outcome::Stopped));
}

/// A finaliser of two parts, which counts them and takes a while.
fn in_two_parts(parts: &Arc<Mutex<Vec<String>>>) -> FlowBuilder {
    let parts = parts.clone();
    chain().finally(move |_: Context, outcome: Outcome| {
        let parts = parts.clone();
        async move {
            parts.lock().unwrap().push(format!("first, {outcome}"));
            tokio::time::sleep(Duration::from_millis(300)).await;
            parts.lock().unwrap().push(format!("second, {outcome}"));
            faasflow::Result::Ok(())
        }
    })
}

#[tokio::test]
async fn a_stop_does_not_interrupt_the_finaliser() {
    let parts = Arc::<Mutex<Vec<String>>>::default();
    let kit = remembering(in_two_parts(&parts)).start().await;
    kit.request("x").header("x-faasflow-request-id", "s").answer().await;
    until(async || !parts.lock().unwrap().is_empty()).await;
    let refused = asked(&kit, Method::POST, "/_/requests/s/stop").await;
    assert_eq!((refused.status.as_u16(), refused.json::<Value>()["status"].clone()), (409, json!("success")));
    until(async || parts.lock().unwrap().len() == 2).await;
    assert_eq!(status(&kit, "s").await["status"], "success");
    assert_eq!(*parts.lock().unwrap(), ["first, success", "second, success"]);
}

#[tokio::test]
async fn two_stops_at_the_same_moment_run_the_finaliser_once() {
    let parts = Arc::<Mutex<Vec<String>>>::default();
    let kit = remembering(in_two_parts(&parts)).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "s").answer().await;
    let (one, other) = tokio::join!(did(&kit, "/_/requests/s/stop"), did(&kit, "/_/requests/s/stop"));
    assert_eq!((&one["status"], &other["status"]), (&json!("stopped"), &json!("stopped")));
    assert_eq!(*parts.lock().unwrap(), ["first, stopped", "second, stopped"]);
}

/// Handlers are no members that could be left behind as running.
#[tokio::test]
async fn requests_that_are_stopped_at_any_moment_all_end() {
    const REQUESTS: usize = 100;
    let finals = Arc::new(AtomicUsize::new(0));
    let counting = finals.clone();
    let branches = ["one", "two"].map(|name| (name, Flow::builder().apply(name).apply("two")));
    let flow = Flow::builder().state(Memory::new()).parallel(branches).apply("three");
    let flow = flow.on_failure(async |_: Context, failure: faasflow::Failure| failure.recover("0"));
    let flow = flow.finally(move |_: Context, _: Outcome| {
        counting.fetch_add(1, SeqCst);
        async { faasflow::Result::Ok(()) }
    });
    // Without a stop, no request ends within the test.
    let kit = remembering(flow).function("three", Fake::hanging()).start().await;
    let requests = (0..REQUESTS).map(|number| {
        let kit = &kit;
        async move {
            let id = format!("s{number}");
            kit.request("1").header("x-faasflow-request-id", &id).answer().await;
            tokio::time::sleep(Duration::from_millis(number as u64 * 7 % 300)).await;
            did(kit, &format!("/_/requests/{id}/stop")).await["status"].clone()
        }
    });
    let told = futures_util::future::join_all(requests).await;
    assert!(told.iter().all(|status| status == "stopped"), "{told:?}");
    let listed = async |status: &str| {
        let target = format!("/_/requests?status={status}&limit=1000");
        asked(&kit, Method::GET, &target).await.json::<Value>()["requests"].as_array().unwrap().len()
    };
    assert_eq!((listed("stopped").await, listed("running").await), (REQUESTS, 0));
    assert_eq!(finals.load(SeqCst), REQUESTS);
}
