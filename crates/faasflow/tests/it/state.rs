//! State and payloads beyond the envelope, with the manager in memory and with one that has its troubles. The real ones
//! need servers: `cargo xtask e2e state`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use faasflow::BoxFuture;
use faasflow::{Context, Flow, Memory, Outcome, Result};
use faasflow::{Scope, StateError, StateManager};
use faasflow_core::envelope::{Carried, Envelope};
use faasflow_runtime::config::{Config, SettingValue};
use faasflow_runtime::{FlowFunction, StartError};
use faasflow_testkit::{Fake, TestKit};

fn two_phases() -> faasflow::FlowBuilder {
    Flow::builder().apply("one").apply("two")
}

fn with_functions(kit: TestKit) -> TestKit {
    kit.function("one", Fake::echo()).function("two", Fake::echo())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_over_the_limit_goes_through_the_manager_and_is_removed_at_the_end() {
    let memory = Memory::new();
    let flow = two_phases().state(memory.clone()).build().unwrap();
    let kit = with_functions(TestKit::new(flow)).setting("envelope_limit", "2000").start().await;
    kit.hold_queue();
    let sent = Bytes::from(vec![7; 100_000]);
    let (end, carried) = tokio::join!(kit.request(sent.clone()).header("content-type", "image/jpeg").send(), async {
        kit.until_queued(1).await;
        let body = kit.queued()[0].1.clone();
        kit.release_queue();
        Envelope::decode(&body).unwrap().payload
    });
    assert!(matches!(carried, Carried::Stored(_)), "{carried:?}");
    assert_eq!((end.outcome(), &end.body), (Some(Outcome::Success), &sent));
    assert_eq!(kit.calls("two")[0].header("content-type"), Some("image/jpeg"), "the content type comes along");
    kit.until_delivered(1).await;
    assert_eq!(memory.request_count(), 0);
}

fn reason(answer: &faasflow_testkit::Answer) -> String {
    answer.json::<serde_json::Value>()["reason"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_manager_it_fails_before_anything_is_posted_and_names_the_remedy() {
    let flow = two_phases().build().unwrap();
    let kit = with_functions(TestKit::new(flow)).setting("envelope_limit", "2000").start().await;
    let answer = kit.request(vec![7; 100_000]).answer().await;
    assert_eq!(answer.status, 500);
    let reason = reason(&answer);
    for part in ["100000 of them payload", "limit of 2000", "state manager", "`envelope_limit`"] {
        assert!(reason.contains(part), "{part} is not in: {reason}");
    }
    assert!(kit.queued().is_empty() && kit.calls("two").is_empty());
}

/// What is too large may be all but the payload: nothing can be moved then.
#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_too_large_without_its_payload_fails_clearly() {
    let flow = two_phases().state(Memory::new()).build().unwrap();
    let kit = with_functions(TestKit::new(flow)).setting("envelope_limit", "2000").start().await;
    let answer = kit.request("small").query("q", "x".repeat(3000)).answer().await;
    assert_eq!(answer.status, 500);
    let reason = reason(&answer);
    assert!(reason.contains("without payload and state, over the limit of 2000"), "{reason}");
}

fn start_error(flow: Flow, settings: &[(&str, &str)]) -> String {
    let lookup = |name: &str| {
        let mut given = settings.iter().chain(&[("workflow_name", "f"), ("enable_hmac", "false")]);
        let value = given.find(|(key, _)| *key == name)?.1.to_owned();
        Some(SettingValue { value, origin: "the test".to_owned() })
    };
    let config = Config::load(lookup).unwrap();
    let error: StartError = FlowFunction::new(flow, config).err().expect("it does not start");
    error.report().to_string()
}

#[test]
fn memory_is_refused_where_other_instances_would_not_see_it() {
    let flow = two_phases().state(Memory::new()).build().unwrap();
    let error = start_error(flow, &[]);
    assert!(error.contains("`memory`") && error.contains("`state_manager`"), "{error}");
    let one_phase = Flow::builder().state(Memory::new()).apply("one").build().unwrap();
    let error = start_error(one_phase, &[("enable_hmac", "true"), ("verify_request", "true")]);
    assert!(error.contains("there is no default key"), "it gets as far as the key: {error}");
}

#[test]
fn intermediate_storage_without_a_manager_is_refused() {
    let error = start_error(two_phases().build().unwrap(), &[("intermediate_storage", "true")]);
    assert!(error.contains("`intermediate_storage` is `true`") && error.contains("`state_manager`"), "{error}");
}

/// A manager that fails as long as it is told to, and then is a good one.
#[derive(Clone, Default)]
struct Moody {
    memory: Memory,
    failures: Arc<AtomicUsize>,
    permanent: bool,
}

impl Moody {
    fn trouble(&self) -> Result<(), StateError> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (left, self.permanent) {
            (Err(_), _) => Ok(()),
            (Ok(_), true) => Err(StateError::permanent("password=hunter2 is wrong")),
            (Ok(_), false) => Err(StateError::temporary("password=hunter2 is busy")),
        }
    }
}

impl StateManager for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(async move {
            self.trouble()?;
            self.memory.get(scope, key).await
        })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            self.trouble()?;
            self.memory.set(scope, key, value).await
        })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory.remove(scope, key)
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory.remove_request(scope)
    }
}

fn keeping(moody: &Moody) -> Flow {
    let keep = async |context: Context, payload: Bytes| {
        context.set_bytes("kept", payload.clone()).await?;
        Result::Ok(payload)
    };
    Flow::builder().state(moody.clone()).modify(keep).apply("one").apply("two").build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_error_of_the_manager_is_waited_out() {
    let moody = Moody { failures: Arc::new(3.into()), ..Moody::default() };
    let kit = with_functions(TestKit::new(keeping(&moody))).start().await;
    let end = kit.request("x").send().await;
    assert_eq!(end.outcome(), Some(Outcome::Success), "{}", end.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_error_of_the_manager_is_503_and_a_permanent_one_is_a_failure() {
    let busy = Moody { failures: Arc::new(usize::MAX.into()), ..Moody::default() };
    let kit = with_functions(TestKit::new(keeping(&busy))).setting("write_timeout", "1s").start().await;
    let answer = kit.request("x").answer().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some() && !answer.text().contains("hunter2"), "{}", answer.text());
    assert!(kit.calls("one").is_empty(), "no step after the one that failed is executed");

    let locked = Moody { failures: Arc::new(usize::MAX.into()), permanent: true, ..Moody::default() };
    let kit = with_functions(TestKit::new(keeping(&locked))).start().await;
    let answer = kit.request("x").answer().await;
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("hunter2"), "{}", answer.text());
}

/// The first phase stores its payload, the second cannot fetch it for a while: the queue delivers again until it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_cannot_be_fetched_now_is_fetched_by_a_later_delivery() {
    let moody = Moody::default();
    let flow = two_phases().state(moody.clone()).build().unwrap();
    let kit = with_functions(TestKit::new(flow))
        .setting("intermediate_storage", "true")
        .setting("write_timeout", "1s")
        .start()
        .await;
    kit.hold_queue();
    let (end, ()) = tokio::join!(kit.request("x").send(), async {
        kit.until_queued(1).await;
        moody.failures.store(usize::MAX, Ordering::SeqCst);
        kit.release_queue();
        kit.until_delivered(1).await;
        moody.failures.store(0, Ordering::SeqCst);
    });
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "x"));
    assert_eq!(kit.calls("two").len(), 1, "nothing is executed without its payload");
    assert!(kit.until_delivered(2).await.contains(&http::StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_from_a_manager_as_the_requested_type() {
    let check = async |context: Context, _: ()| {
        context.set("big", u64::MAX).await?;
        context.set("raw", Bytes::from_static(b"\xff\0")).await?;
        assert_eq!(context.get::<u64>("big").await?, Some(u64::MAX));
        assert_eq!(context.get_bytes("raw").await?.unwrap(), &b"\xff\0"[..]);
        let wrong = context.get::<String>("big").await.unwrap_err().to_string();
        assert!(wrong.starts_with("state `big` holds a JSON number"), "{wrong}");
        assert_eq!(context.get::<u8>("none").await?, None);
        Result::Ok(())
    };
    let flow = Flow::builder().state(Memory::new()).modify(check).build().unwrap();
    let kit = TestKit::new(flow).start().await;
    assert_eq!(kit.request("").answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_state_keeps_what_was_stored() {
    let memory = Memory::new();
    let flow = two_phases().state(memory.clone()).build().unwrap();
    let kit = with_functions(TestKit::new(flow))
        .setting("intermediate_storage", "true")
        .setting("keep_state", "true")
        .start()
        .await;
    kit.request("x").send().await;
    kit.until_delivered(1).await;
    assert_eq!(memory.request_count(), 1);
}

/// Callers choose ids, and two may choose the same: neither sees what the other has stored, and both end.
#[tokio::test(flavor = "multi_thread")]
async fn two_requests_with_the_same_id_have_separate_state() {
    let memory = Memory::new();
    let keep = async |context: Context, text: String| {
        context.set("text", &text).await?;
        Result::Ok(text)
    };
    let compare = async |context: Context, text: String| {
        let stored: Option<String> = context.get("text").await?;
        Result::Ok(format!("{} {text}", stored.unwrap_or_default()))
    };
    let flow = Flow::builder().state(memory.clone()).modify(keep).apply("one").apply("two").modify(compare);
    let kit = with_functions(TestKit::new(flow.build().unwrap())).setting("intermediate_storage", "true").start().await;
    kit.hold_queue();
    let send = |text: &'static str| {
        kit.request(text)
            .header("x-faasflow-request-id", "chosen")
            .header("x-faasflow-callback-url", kit.callback_url(text))
            .answer()
    };
    let (one, two) = (send("1").await, send("2").await);
    assert_eq!((one.status, one.request_id(), two.request_id()), (http::StatusCode::ACCEPTED, "chosen", "chosen"));
    let ids: Vec<_> = kit.queued().into_iter().map(|(headers, _)| headers["x-call-id"].clone()).collect();
    assert_ne!(ids[0], ids[1], "a queue that drops duplicates takes both");
    kit.release_queue();
    for text in ["1", "2"] {
        assert_eq!(kit.until_called(&format!("callback/{text}"), 1).await[0].text(), format!("{text} {text}"));
    }
    kit.until_delivered(2).await;
    assert_eq!(memory.request_count(), 0);
}
