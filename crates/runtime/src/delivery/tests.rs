//! Whole deliveries without HTTP: the flows have only modifiers, and the queue is a fake.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use faasflow_core::{
    Call, Complete, Context, Error, Failure, Flow, FlowBuilder, Graph, Outcome, RequestId, envelope, headers,
};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;

use crate::deadline::Deadline;
use crate::forward::ForwardError;
use crate::instance::Instance;
use crate::testing::{Queue, Shelf, instance, series};

struct Answer {
    status: StatusCode,
    outcome: Option<String>,
    retry_after: bool,
    text: String,
}

async fn answer(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        outcome: parts.headers.get(headers::OUTCOME).map(|value| value.to_str().unwrap().to_owned()),
        retry_after: parts.headers.contains_key("retry-after"),
        text: String::from_utf8(text.to_vec()).unwrap(),
    }
}

async fn deliver(instance: &Instance, content_type: &str, body: Bytes) -> Answer {
    let request = Request::post("/").header(CONTENT_TYPE, content_type).body(()).unwrap();
    let deadline = Deadline::starting_now(instance.config.write_timeout);
    let id = RequestId::parse("r").unwrap();
    answer(instance.deliver(id, request.into_parts().0, body, deadline).await).await
}

async fn fresh(instance: &Instance) -> Answer {
    deliver(instance, "text/plain", "in".into()).await
}

/// Delivers the last envelope that the queue accepted.
async fn later(instance: &Instance, queue: &Queue) -> Answer {
    let body: Vec<u8> = queue.taken().last().unwrap().body.concat();
    deliver(instance, envelope::CONTENT_TYPE, body.into()).await
}

async fn exclaim(text: String) -> String {
    text + "!"
}

async fn fails(_: String) -> Result<String, Error> {
    Err(Error::msg("disk full"))
}

/// A call that fails before anything is sent, and whose failure handler returns its input.
fn unsent(name: &str) -> Call {
    Call::new(name)
        .header_with("x-bad", |_: &Context| "a\nb".to_owned())
        .on_failure(async |_: Context, failure: Failure| failure.recover(failure.payload().clone()))
}

/// Two phases, each of which appends a mark.
fn two_phases() -> FlowBuilder {
    Flow::builder().apply(unsent("one")).modify(exclaim).apply(unsent("two")).modify(exclaim)
}

#[tokio::test]
async fn a_request_of_one_phase_is_answered_with_its_output() {
    let queue = Arc::new(Queue::default());
    let instance = instance(Flow::builder().modify(exclaim).build().unwrap(), &[], &queue);
    let answer = fresh(&instance).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "in!"));
    assert_eq!(answer.outcome.as_deref(), Some("success"));
    assert!(queue.given().is_empty());
    assert_eq!(series(&instance, r#"faasflow_requests_ended_total{outcome="success",flow="flow"}"#), "1");
    assert_eq!(series(&instance, r#"faasflow_deliveries_total{code="200",kind="request",flow="flow"}"#), "1");
    assert_eq!(series(&instance, r#"faasflow_deliveries_in_flight{flow="flow"}"#), "0");
}

#[tokio::test]
async fn a_request_of_two_phases_ends_when_its_envelope_is_delivered() {
    let (queue, ends) = (Arc::new(Queue::default()), Arc::new(Mutex::new(Vec::new())));
    let noted = ends.clone();
    let flow = two_phases().finally(move |_: Context, outcome: Outcome| {
        let noted = noted.clone();
        async move { noted.lock().unwrap().push(outcome) }
    });
    let instance = instance(flow.build().unwrap(), &[], &queue);
    assert_eq!(fresh(&instance).await.status, StatusCode::ACCEPTED);
    assert!(ends.lock().unwrap().is_empty(), "the request has not ended");
    let answer = later(&instance, &queue).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "in!!"));
    assert_eq!(*ends.lock().unwrap(), [Outcome::Success]);
    assert_eq!(series(&instance, r#"faasflow_requests_started_total{flow="flow"}"#), "1");
    assert_eq!(series(&instance, r#"faasflow_deliveries_total{code="200",kind="envelope",flow="flow"}"#), "1");
}

#[tokio::test]
async fn combine_output_puts_log_lines_before_the_output() {
    let flow = Flow::builder().modify(exclaim).build().unwrap();
    let instance = instance(flow, &[("combine_output", "true")], &Arc::new(Queue::default()));
    let lines = ["Created", "Executing phase 1", "Executing modifier `exclaim`", "Completed successfully"];
    let lines: String = lines.iter().map(|line| format!("[Request `r`] {line}\n")).collect();
    assert_eq!(fresh(&instance).await.text, lines + "in!");
}

#[tokio::test]
async fn the_failure_handler_is_asked_once_and_decides_the_outcome() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let flow = Flow::builder().modify(fails).on_failure(move |_: Context, failure: Failure| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { failure.recover("mended") }
    });
    let instance = instance(flow.build().unwrap(), &[], &Arc::new(Queue::default()));
    let answer = fresh(&instance).await;
    assert_eq!((answer.status, answer.outcome.as_deref()), (StatusCode::OK, Some("recovered")));
    assert_eq!(answer.text, "mended");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(series(&instance, r#"faasflow_failures_total{reason="handler",flow="flow"}"#), "1");
}

#[tokio::test]
async fn an_unhandled_failure_does_not_reveal_its_cause() {
    let flow = Flow::builder().modify(fails).build().unwrap();
    let answer = fresh(&instance(flow, &[], &Arc::new(Queue::default()))).await;
    assert_eq!((answer.status, answer.outcome.as_deref()), (StatusCode::INTERNAL_SERVER_ERROR, Some("failure")));
    assert!(answer.text.contains(r#""step":"modifier `fails`""#), "{}", answer.text);
    assert!(!answer.text.contains("disk"), "{}", answer.text);
}

#[tokio::test]
async fn a_permanent_refusal_of_the_queue_fails_the_request() {
    let queue = Arc::new(Queue::default());
    let instance = instance(two_phases().build().unwrap(), &[], &queue);
    queue.refuses(ForwardError::permanent("no such function"));
    let answer = fresh(&instance).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.text.contains("forwarding to phase 2"), "{}", answer.text);
    assert_eq!(series(&instance, r#"faasflow_failures_total{reason="forward",flow="flow"}"#), "1");
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_queue_makes_the_delivery_retry_without_asking_the_handler() {
    let queue = Arc::new(Queue::default());
    let flow = two_phases()
        .on_failure(async |_: Context, failure: Failure| failure.recover("mended"))
        .finally(async |_: Context, _: Outcome| -> () { panic!("the request has not ended") });
    let instance = instance(flow.build().unwrap(), &[], &queue);
    queue.refuses(ForwardError::temporary("busy", Some(Duration::from_secs(3600))));
    let answer = fresh(&instance).await;
    assert_eq!((answer.status, answer.retry_after), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(answer.outcome, None);
    assert_eq!(series(&instance, r#"faasflow_requests_ended_total{outcome="failure",flow="flow"}"#), "0");
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_the_finaliser_does_not_delay_a_waiting_caller() {
    async fn finaliser(context: Context, _: Outcome) -> Result<(), Error> {
        context.set("done", true).await
    }
    let (queue, shelf) = (Arc::new(Queue::default()), Shelf::default());
    let flow = two_phases().state(shelf.clone()).finally(finaliser).build().unwrap();
    let instance = instance(flow, &[], &queue);
    assert_eq!(fresh(&instance).await.status, StatusCode::ACCEPTED);
    shelf.is_away(true);
    assert_eq!(later(&instance, &queue).await.status, StatusCode::SERVICE_UNAVAILABLE);
    shelf.is_away(false);
    assert_eq!(later(&instance, &queue).await.status, StatusCode::OK);

    let flow = Flow::builder().modify(exclaim).state(shelf.clone()).finally(finaliser).build().unwrap();
    shelf.is_away(true);
    let instance = crate::testing::instance(flow, &[], &queue);
    assert_eq!(fresh(&instance).await.status, StatusCode::OK, "a caller that waits gets its answer");
}

#[tokio::test]
async fn an_envelope_of_another_definition_is_refused_and_nothing_is_executed() {
    let queue = Arc::new(Queue::default());
    assert_eq!(fresh(&instance(two_phases().build().unwrap(), &[], &queue)).await.status, StatusCode::ACCEPTED);
    let other =
        two_phases().modify(|_: String| async { panic!("a refused envelope was executed") as String }).build().unwrap();
    let other = instance(other, &[], &queue);
    assert_eq!(later(&other, &queue).await.status, StatusCode::CONFLICT);
    let damaged = deliver(&other, envelope::CONTENT_TYPE, Bytes::from_static(b"FAASFLOW?")).await;
    assert_eq!(damaged.status, StatusCode::BAD_REQUEST);
    assert_eq!(series(&other, r#"faasflow_refusals_total{code="409",flow="flow"}"#), "1");
    assert_eq!(series(&other, r#"faasflow_refusals_total{code="400",flow="flow"}"#), "1");
}

/// A request with branches does not fail because of its store, so somebody has to find out why it waits.
#[tokio::test]
async fn a_store_that_refuses_what_branches_write_delays_the_request_and_says_so() {
    let shelf = Shelf::default();
    let branch = || Flow::builder().modify(exclaim).apply("b");
    let flow = Flow::builder().modify(exclaim).parallel([("x", branch()), ("y", branch())]).state(shelf.clone());
    let queue = Arc::new(Queue::default());
    let instance = instance(flow.build().unwrap(), &[], &queue);
    shelf.is_locked(true);
    for _ in 0..2 {
        let refused = fresh(&instance).await;
        assert_eq!((refused.status.as_u16(), refused.retry_after, refused.outcome), (503, true, None));
        assert!(refused.text.contains("the state manager `shelf` refuses"), "{}", refused.text);
        assert!(refused.text.contains("FF0502") && !refused.text.contains("secret"), "{}", refused.text);
    }
    assert_eq!(instance.refusals.current().unwrap().0, "shelf");
    shelf.is_locked(false);
    assert_eq!(fresh(&instance).await.status, 202);
    assert_eq!(instance.refusals.current(), None);
}

/// One search finds all lines of a branch, whichever invocation wrote them.
#[tokio::test]
async fn lines_of_flows_with_branches_say_where_they_are() {
    let call = |function: &str| Flow::builder().apply(function);
    let sync = || Flow::builder().apply(Call::new("b").sync());
    let of = |flow: FlowBuilder, member: Option<u32>| {
        let instance = instance(flow.state(Shelf::default()).build().unwrap(), &[], &Arc::default());
        let plan = instance.flow.plan();
        let last = plan.segments().last().unwrap().place();
        let place = match member {
            Some(member) => plan.start().member(member, plan.segments().nth(1 + member as usize).unwrap().place()),
            None => last.clone(),
        };
        super::receive::lines(plan, RequestId::parse("r").unwrap(), &place, String::new(), None).suffix().to_owned()
    };
    assert_eq!(of(call("a").apply("b"), None), " phase=2");
    let branches = || Flow::builder().modify(exclaim).parallel([("x", call("a")), ("y", call("b"))]);
    assert_eq!(of(branches(), Some(1)), " phase=3 place=1.1/3 branch=y");
    assert_eq!(of(branches(), None), " phase=4 place=4");
    assert_eq!(of(Flow::builder().parallel([("x", sync()), ("y", sync())]), None), " phase=1 place=1");
}

#[tokio::test]
async fn a_branch_with_phases_of_its_own_is_counted_once() {
    let (works, breaks) = (Flow::builder().modify(exclaim), Flow::builder().modify(fails));
    let graph = Graph::new().branch("x", works).branch("y", breaks).branch("z", Flow::builder().apply("z"));
    let flow = Flow::builder().graph(graph.complete(Complete::Settled)).state(Shelf::default());
    let queue = Arc::new(Queue::default());
    let instance = instance(flow.build().unwrap(), &[], &queue);
    assert_eq!(fresh(&instance).await.status, 202);
    for forward in queue.taken().iter().filter(|forward| forward.place.path()[0].index < 2) {
        for _ in 0..2 {
            let answer = deliver(&instance, envelope::CONTENT_TYPE, forward.body.concat().into()).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    }
    for (branch, outcome, count) in [("x", "done", "1"), ("x", "failed", "0"), ("y", "failed", "1"), ("z", "done", "0")]
    {
        let name = format!(r#"faasflow_branches_total{{branch="1 {branch}",outcome="{outcome}",flow="flow"}}"#);
        assert_eq!(series(&instance, &name), count, "{name}");
    }
}
