//! How requests end: once, whatever happens on the way.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{
    BoxFuture, Call, CallResponse, Context, Error, Failure, Flow, FlowBuilder, FromContext, Json, Memory, Outcome,
    Resolution, Result, Scope, StateError, StateManager, StatusCode,
};
use faasflow_testkit::{Fake, Running, TestKit};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::{PATIENCE, until};

fn kit(flow: FlowBuilder) -> TestKit {
    let kit = TestKit::new(flow.build().unwrap()).function("broken", Fake::failing(500));
    ["a", "b", "c"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

/// What a flow's finaliser was told, run by run.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<Outcome>>>);

impl Ends {
    /// The flow with a finaliser that keeps account.
    fn observe(&self, flow: FlowBuilder) -> FlowBuilder {
        let ends = self.clone();
        flow.finally(move |context: Context, outcome: Outcome| {
            assert_eq!(context.outcome(), Some(outcome));
            ends.0.lock().unwrap().push(outcome);
            ready(())
        })
    }

    fn so_far(&self) -> Vec<Outcome> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for so many; the answer to a delivery comes after its finaliser, but a queue's answer is not seen here.
    async fn until(&self, count: usize) -> Vec<Outcome> {
        until(async || self.so_far().len() >= count).await;
        self.so_far()
    }
}

#[tokio::test]
async fn finally_runs_once_at_the_end_and_not_between_phases() {
    let ends = Ends::default();
    let kit = kit(ends.observe(Flow::builder().apply("a").apply("b").apply("c"))).start().await;
    kit.hold_queue();
    assert_eq!(kit.request("").answer().await.status, 202);
    assert!(ends.so_far().is_empty());
    kit.release_queue();
    kit.until_delivered(2).await;
    assert_eq!(ends.so_far(), [Outcome::Success]);
}

#[tokio::test]
async fn finally_gets_the_outcome_of_the_request() {
    let broken = || Flow::builder().apply("broken").apply("b");
    for (flow, outcome) in [
        (Flow::builder().apply("a"), Outcome::Success),
        (broken(), Outcome::Failure),
        (broken().on_failure(async |_: Context, failure: Failure| failure.decline()), Outcome::Failure),
        (broken().on_failure(async |_: Context, failure: Failure| failure.reply("")), Outcome::Failure),
        (broken().on_failure(async |_: Context, failure: Failure| failure.recover("")), Outcome::Recovered),
        (broken().on_failure(async |_: Context, _: Failure| Err(Error::msg("the handler itself"))), Outcome::Failure),
        (
            Flow::builder().apply(Call::new("broken").on_failure(async |_: Context, f: Failure| f.reply(""))),
            Outcome::Failure,
        ),
        (
            Flow::builder().apply(Call::new("broken").on_failure(async |_: Context, f: Failure| f.recover(""))),
            Outcome::Success,
        ),
    ] {
        let ends = Ends::default();
        let kit = kit(ends.observe(flow)).start().await;
        assert_eq!(kit.request("").answer().await.outcome(), Some(outcome));
        assert_eq!(ends.so_far(), [outcome]);
    }
}

/// Panics while it is made, before there is a future.
struct Panicking;

impl FromContext for Panicking {
    fn from_context(_: &Context) -> impl Future<Output = Result<Panicking>> + Send {
        panic!("in an extractor");
        #[expect(unreachable_code, reason = "a future is needed for its type")]
        ready(Ok(Panicking))
    }
}

/// Panics while it is written.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("while a value is written")
    }
}

#[tokio::test]
async fn a_panic_in_user_code_is_a_failure_of_its_step_and_finally_runs() {
    let flow = Flow::builder;
    let answered = Call::new("a");
    let broken = Call::new("broken");
    let flows = [
        flow().modify(async |text: String| {
            assert!(text.is_empty(), "secret text");
            text
        }),
        flow().modify(|_: Bytes| -> Ready<Bytes> { panic!("before there is a future") }),
        flow().modify(async |_: Panicking, _: ()| ()),
        flow().modify(async |context: Context, _: ()| context.set("k", Unwritable).await),
        flow().modify(async |_: ()| Json(Unwritable)),
        flow().apply(answered.clone().header_with("x", |_| -> String { panic!("secret text") })),
        flow().apply(answered.clone().query_with("x", |_| -> String { panic!("secret text") })),
        flow().apply(
            answered.clone().on_response(|_: Context, _: CallResponse| -> Ready<Bytes> { panic!("secret text") }),
        ),
        flow()
            .apply(broken.clone().on_failure(|_: Context, _: Failure| -> Ready<Resolution> { panic!("secret text") })),
        flow().apply(broken.clone().on_failure(async |_: Context, failure: Failure| {
            assert!(failure.is_timeout(), "secret text");
            failure.decline()
        })),
        flow()
            .apply(broken.clone())
            .on_failure(|_: Context, _: Failure| -> Ready<Resolution> { panic!("secret text") }),
        flow().apply(broken).on_failure(async |_: Context, failure: Failure| failure.recover(Json(Unwritable))),
    ];
    for (index, flow) in flows.into_iter().enumerate() {
        let ends = Ends::default();
        let kit = kit(ends.observe(flow)).start().await;
        for count in 1..=2 {
            let answer = kit.request("text").answer().await;
            assert_eq!((answer.status.as_u16(), answer.outcome()), (500, Some(Outcome::Failure)), "flow {index}");
            let problem: serde_json::Value = answer.json();
            assert_eq!(problem["phase"], 1, "flow {index}: {problem}");
            assert!(!answer.text().contains("secret"), "flow {index}: {problem}");
            assert_eq!(ends.so_far(), vec![Outcome::Failure; count], "flow {index}");
        }
    }
}

#[tokio::test]
async fn a_finaliser_that_fails_or_panics_does_not_change_the_answer() {
    for flow in [
        Flow::builder().apply("a").finally(async |_: Context, _: Outcome| Err(Error::msg("itself"))),
        Flow::builder().apply("a").finally(|_: Context, _: Outcome| -> Ready<()> { panic!("itself") }),
        Flow::builder().apply("a").finally(async |_: Context, outcome: Outcome| assert_eq!(outcome, Outcome::Failure)),
    ] {
        let kit = kit(flow).start().await;
        for _ in 0..2 {
            let answer = kit.request("payload").answer().await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "payload"));
        }
    }
}

#[tokio::test]
async fn a_handler_that_hangs_is_cut_off_and_the_request_ends() {
    let ends = Ends::default();
    let hang = async |_: Context, _: Failure| std::future::pending::<Resolution>().await;
    let flow = Flow::builder().modify(async |_: ()| std::future::pending::<()>().await).on_failure(hang);
    let kit = kit(ends.observe(flow)).setting("write_timeout", "300ms").start().await;
    let answer = kit.request("").answer().await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json::<serde_json::Value>()["reason"], "the invocation took longer than 300ms");
    assert_eq!(ends.so_far(), [Outcome::Failure]);
}

#[tokio::test]
async fn a_manager_removes_the_state_of_a_request_however_it_ends() {
    let memory = Memory::new();
    let flow = Flow::builder()
        .state(memory.clone())
        .modify(async |context: Context, text: String| {
            context.set("kept", &text).await?;
            Ok(text)
        })
        .apply("a")
        .apply("b")
        .modify(async |context: Context, text: String| {
            assert_eq!(context.get::<String>("kept").await?, Some(text.clone()));
            if text == "fail" { Err(Error::refused("as asked")) } else { Ok(text) }
        });
    let kit = kit(flow).start().await;
    for text in ["succeed", "fail"] {
        kit.hold_queue();
        assert_eq!(kit.request(text).answer().await.status, 202);
        assert_eq!(memory.request_count(), 1);
        kit.release_queue();
        until(async || memory.request_count() == 0).await;
    }
}

/// A store that cannot be reached the first few times.
struct Flaky {
    memory: Memory,
    failures: AtomicUsize,
}

impl StateManager for Flaky {
    fn name(&self) -> &str {
        "flaky"
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        let fails = self.failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        match fails {
            true => Box::pin(async { Err(StateError::temporary("not now")) }),
            false => self.memory.get(scope, key),
        }
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory.set(scope, key, value)
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory.remove(scope, key)
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory.remove_request(scope)
    }
}

#[tokio::test]
async fn a_store_that_is_down_for_a_while_only_delays_the_end() {
    let ends = Ends::default();
    let flow = Flow::builder()
        .state(Flaky { memory: Memory::new(), failures: AtomicUsize::new(3) })
        .modify(async |context: Context, text: String| {
            context.set("kept", &text).await?;
            Ok("")
        })
        .apply("a")
        .apply("b")
        .modify(async |context: Context, _: ()| {
            let stored: Option<String> = context.get("kept").await?;
            stored.ok_or_else(|| Error::msg("it is gone"))
        })
        .on_failure(async |_: Context, failure: Failure| failure.recover("the handler is not asked"));
    let kit = kit(ends.observe(flow)).start().await;
    assert_eq!(kit.request("payload").send().await.text(), "payload");
    assert_eq!(kit.until_delivered(1).await, [200], "it is asked again within the delivery");
    assert_eq!(ends.so_far(), [Outcome::Success]);
}

#[tokio::test]
async fn finally_sees_the_state_of_all_phases() {
    let seen = Arc::new(Mutex::new(None));
    let finaliser = {
        let seen = seen.clone();
        move |context: Context, _| {
            let seen = seen.clone();
            async move {
                *seen.lock().unwrap() = context.get_bytes("photo").await?;
                context.remove("photo").await
            }
        }
    };
    let flow = Flow::builder()
        .modify(async |context: Context, photo: Bytes| {
            context.set_bytes("photo", photo).await?;
            Ok("small")
        })
        .apply("a")
        .apply("broken")
        .finally(finaliser);
    let kit = kit(flow).start().await;
    kit.request("large").send().await;
    until(async || seen.lock().unwrap().is_some()).await;
    assert_eq!(seen.lock().unwrap().as_deref(), Some(b"large".as_slice()));
}

#[tokio::test]
async fn an_envelope_delivered_twice_ends_twice_with_the_same_result() {
    let ends = Ends::default();
    let kit = kit(ends.observe(Flow::builder().apply("a").apply("b"))).start().await;
    kit.deliver_twice();
    let end = kit.request("payload").send().await;
    assert_eq!((end.text().as_str(), end.outcome()), ("payload", Some(Outcome::Success)));
    assert_eq!(kit.until_delivered(2).await, [200, 200]);
    assert_eq!(ends.so_far(), [Outcome::Success; 2], "once for each delivery that ends the request");
    assert_eq!((kit.calls("a").len(), kit.calls("b").len()), (1, 2));
}

#[tokio::test]
async fn the_queue_repeats_a_later_phase_after_a_crash_between_two_steps() {
    let ends = Ends::default();
    let flow = Flow::builder().apply("a").apply("b").apply(Call::new("c").sync()).modify(async |text: String| text);
    let kit = kit(ends.observe(flow)).start().await;
    kit.crash_at("c");
    let end = kit.request("payload").send().await;
    assert_eq!((end.text().as_str(), end.outcome()), ("payload", Some(Outcome::Success)));
    assert_eq!(ends.until(1).await, [Outcome::Success]);
    // The phase ran again from its beginning, the one before did not.
    assert_eq!((kit.calls("a").len(), kit.calls("b").len(), kit.calls("c").len()), (1, 2, 2));
    let key = |call: usize| kit.calls("c")[call].header("idempotency-key").map(str::to_owned);
    assert_eq!(key(0), key(1), "the function can know the repetition");
}

#[tokio::test]
async fn many_crashes_on_the_way_only_delay_the_end() {
    let kit = kit(Flow::builder().apply("a").apply("b").apply("c")).start().await;
    kit.hold_queue();
    let answer = kit.request("payload").header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
    assert_eq!(answer.status, 202);
    for (function, calls) in [("b", 2), ("c", 2)] {
        kit.crash_at(function);
        kit.release_queue();
        kit.until_called(function, calls).await;
    }
    let report = kit.until_called("callback/end", 1).await.remove(0);
    assert_eq!(report.text(), "payload");
}

#[tokio::test]
async fn a_queue_that_is_down_for_a_while_is_waited_for() {
    let kit = kit(Flow::builder().apply("a").apply("b")).start().await;
    kit.stop_queue();
    let (end, ()) = tokio::join!(kit.request("payload").send(), async {
        kit.until_called("a", 1).await;
        kit.start_queue();
    });
    assert_eq!((end.status, end.text().as_str()), (StatusCode::ACCEPTED, "payload"));
    assert_eq!(kit.calls("a").len(), 1, "only the forwarding is tried again");
}

#[tokio::test]
async fn a_later_phase_that_cannot_be_forwarded_is_delivered_again() {
    let ends = Ends::default();
    let flow = ends.observe(Flow::builder().apply("a").apply("b").apply("c"));
    let kit = kit(flow).setting("write_timeout", "2s").start().await;
    kit.hold_queue();
    let answer = kit.request("payload").header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
    assert_eq!(answer.status, 202);
    kit.stop_queue();
    kit.release_queue();
    assert_eq!(kit.until_delivered(1).await, [503]);
    assert!(ends.so_far().is_empty(), "the request has not ended");
    kit.start_queue();
    assert_eq!(kit.until_called("callback/end", 1).await[0].text(), "payload");
    assert_eq!(ends.until(1).await, [Outcome::Success]);
}

fn address(kit: &Running) -> String {
    kit.flow_url().replace("http://", "").replace('/', "")
}

/// Sends a request named `id` whose answer is not waited for.
async fn begin(kit: &Running) -> TcpStream {
    let mut client = TcpStream::connect(address(kit)).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nx-faasflow-request-id: id\r\ncontent-length: 2\r\n\r\n";
    client.write_all(format!("{head}hi").as_bytes()).await.unwrap();
    client
}

#[tokio::test]
async fn a_crash_in_the_first_phase_is_visible_to_the_caller_and_the_request_can_be_sent_again() {
    let ends = Ends::default();
    let kit = kit(ends.observe(Flow::builder().apply("a").apply("b"))).start().await;
    kit.crash_at("a");
    let mut client = begin(&kit).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("it is cut off");
    assert!(answer.is_empty());
    until(async || std::net::TcpStream::connect(address(&kit)).is_ok()).await;
    let end = kit.request("hi").header("x-faasflow-request-id", "id").send().await;
    assert_eq!((end.status, end.text().as_str()), (StatusCode::ACCEPTED, "hi"));
    assert_eq!(ends.until(1).await, [Outcome::Success]);
    let keys: Vec<_> = kit.calls("a").iter().map(|call| call.headers["idempotency-key"].clone()).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
}

/// Sends a request and goes away as soon as `function` is called.
async fn go_away_at(kit: &Running, function: &str) {
    kit.hold_function(function);
    let mut client = begin(kit).await;
    kit.until_called(function, 1).await;
    let nothing_yet = tokio::time::timeout(Duration::from_millis(1), client.read_u8()).await;
    assert!(nothing_yet.is_err());
    drop(client);
    kit.release_function(function);
}

#[tokio::test]
async fn a_request_continues_after_its_caller_went_away() {
    let ends = Ends::default();
    let flow = Flow::builder().apply("slow").apply(Call::new("b").sync());
    let kit = kit(ends.observe(flow)).function("slow", Fake::echo()).start().await;
    go_away_at(&kit, "slow").await;
    assert_eq!(kit.until_called("b", 1).await[0].text(), "hi");
    assert_eq!(ends.until(1).await, [Outcome::Success]);
}

#[tokio::test]
async fn a_request_over_http_2_continues_after_its_caller_went_away() {
    // It takes back its request, or closes the connection with it.
    for closes in [false, true] {
        let ends = Ends::default();
        let flow = Flow::builder().apply("slow").apply(Call::new("b").sync());
        let kit = kit(ends.observe(flow)).function("slow", Fake::echo()).start().await;
        kit.hold_function("slow");
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
        let request = http::Request::post(kit.flow_url()).body(Full::from("hi")).unwrap();
        let mut asking = Box::pin(client.request(request));
        let called = kit.until_called("slow", 1);
        tokio::select! {
            _ = &mut asking => panic!("the function is slow"),
            _ = called => {}
        }
        if closes {
            // The request holds the connection, as the client does.
            drop((asking, client));
        } else {
            drop(asking);
            let health = http::Request::get(kit.flow_url() + "_/health").body(Full::default()).unwrap();
            assert_eq!(client.request(health).await.unwrap().status(), StatusCode::OK);
        }
        kit.release_function("slow");
        assert_eq!(kit.until_called("b", 1).await[0].text(), "hi");
        assert_eq!(ends.until(1).await, [Outcome::Success]);
    }
}
