//! Executes steps without HTTP.

use std::sync::Arc;
use std::time::Duration;

use faasflow_core::failure::FailureKind;
use faasflow_core::{
    Call, Callback, Complete, Context, Error, Failure, Flow, FlowBuilder, FromContext, Graph, Payload, RequestState,
    Resolution,
};

use super::execute::{Execution, SegmentResult};
use crate::deadline::Deadline;
use crate::first_outage::FirstOutage;
use crate::instance::Instance;
use crate::testing::{Queue, Shelf, context, instance, lines, observers, request};

/// Executes the first phase of a flow on the input `in`. Returns the result and the log lines.
pub(super) async fn executed(flow: FlowBuilder, settings: &[(&str, &str)]) -> (SegmentResult, Vec<String>) {
    execute(flow.build().unwrap(), settings, async |execution, flow, _| {
        let segment = flow.plan().segments().next().unwrap();
        let executed = execution.run(flow, segment, Payload::new("in")).await;
        (executed, lines(execution.observers))
    })
    .await
}

/// Does something with an execution of a flow.
pub(super) async fn execute<T>(
    flow: Flow,
    settings: &[(&str, &str)],
    work: impl AsyncFnOnce(&Execution<'_>, &Flow, &Instance) -> T,
) -> T {
    let instance = instance(flow, settings, &Arc::new(Queue::default()));
    let deadline = Deadline::starting_now(Duration::from_secs(10));
    let context = match instance.retrying_state(deadline.state_in_steps()) {
        Some(manager) => Context::external(request(), 1, Arc::new(manager)),
        None => context(1),
    };
    let observers = observers(&instance);
    let phase = instance.caller.phase_headers(&context, &observers);
    let execution = Execution {
        caller: &instance.caller,
        context: &context,
        phase: &phase,
        deadline: &deadline,
        observers: &observers,
        heartbeat: &instance.heartbeat,
        state: instance.flow.state_manager(),
        route: (&instance.flow).into(),
        stoppable: false,
        failures_handled: true,
        max_items: 3,
        branch: None,
        outage: FirstOutage::default(),
    };
    work(&execution, &instance.flow, &instance).await
}

async fn exclaim(text: String) -> String {
    text + "!"
}

async fn panics(_: String) -> String {
    panic!("oh dear")
}

fn failure(executed: SegmentResult) -> Failure {
    match executed {
        SegmentResult::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_step_gets_the_output_of_the_one_before() {
    let (executed, lines) = executed(Flow::builder().modify(exclaim).modify(exclaim), &[]).await;
    match executed {
        SegmentResult::Done(payload) => assert_eq!(payload.bytes(), "in!!"),
        other => panic!("{other:?}"),
    }
    assert_eq!(lines, ["Executing modifier `exclaim`", "Executing modifier `exclaim`"]);
}

#[tokio::test]
async fn a_panic_fails_the_step_and_keeps_its_input() {
    let (executed, lines) = executed(Flow::builder().modify(panics), &[]).await;
    let failure = failure(executed);
    assert!(matches!(failure.kind(), FailureKind::Panic(text) if text == "oh dear"), "{failure}");
    assert_eq!((failure.phase(), failure.step_number(), failure.payload().bytes().as_ref()), (1, 1, &b"in"[..]));
    // The flow's own handler is asked later, by the code that drives the delivery. That code also logs that the request
    // failed.
    assert_eq!(lines, ["Executing modifier `panics`"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_too_long_is_cut_off() {
    async fn dawdle(text: String) -> String {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        text
    }
    let begun = tokio::time::Instant::now();
    let (executed, _) = executed(Flow::builder().modify(dawdle), &[]).await;
    assert!(matches!(failure(executed).kind(), FailureKind::Deadline(after) if *after == Duration::from_secs(10)));
    // A tenth is reserved for the work after the steps.
    assert_eq!(begun.elapsed().as_secs(), 9);
}

#[tokio::test]
async fn a_temporary_error_of_the_state_manager_is_an_outage() {
    async fn remember(_: Context, _: String) -> Result<String, Error> {
        Err(Error::from(faasflow_core::state::StateError::temporary("it is away")))
    }
    let flow = Flow::builder().state(Shelf::default()).modify(remember);
    match executed(flow, &[]).await.0 {
        SegmentResult::Outage(outage) => assert_eq!(outage.reason, "the state manager cannot be reached"),
        other => panic!("{other:?}"),
    }
}

/// A call whose header is not valid. It fails before anything is sent, so its failure handler can be tested here.
fn unsendable() -> Call {
    Call::new("resize").header_with("x-bad", |_: &Context| "a\nb".to_owned())
}

#[tokio::test]
async fn a_step_s_failure_handler_is_asked_before_the_flow_s() {
    let mended = unsendable().on_failure(async |_: Context, failure: Failure| failure.recover("mended"));
    let (done, lines) = executed(Flow::builder().apply(mended), &[]).await;
    match done {
        SegmentResult::Done(payload) => assert_eq!(payload.bytes(), "mended"),
        other => panic!("{other:?}"),
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].ends_with("; asking its own failure handler"), "{lines:?}");
    assert_eq!(lines[2], "The failure handler of function `resize` recovered");

    let replied = unsendable().on_failure(async |_: Context, failure: Failure| failure.reply("sorry"));
    assert!(matches!(executed(Flow::builder().apply(replied), &[]).await.0, SegmentResult::Replied(_, _)));

    let declined = unsendable().on_failure(async |_: Context, failure: Failure| failure.decline());
    assert!(matches!(executed(Flow::builder().apply(declined), &[]).await.0, SegmentResult::Failed(_)));
}

#[tokio::test]
async fn a_failing_failure_handler_decides_nothing() {
    let broken =
        unsendable().on_failure(async |_: Context, _: Failure| -> faasflow_core::Resolution { panic!("again") });
    let (ended, lines) = executed(Flow::builder().apply(broken), &[]).await;
    assert!(matches!(ended, SegmentResult::Failed(_)));
    assert_eq!(lines.last().unwrap(), "The failure handler itself failed: it panicked: again");
}

#[tokio::test]
async fn a_failed_extractor_fails_the_step_unless_it_met_an_outage() {
    #[derive(serde::Deserialize)]
    struct Login {
        token: String,
    }
    let call = Call::new("resize").header_from("x-token", |RequestState(login): RequestState<Login>| login.token);
    let (ended, lines) = executed(Flow::builder().apply(call), &[]).await;
    let error = format!("{:#}", failure(ended).error().unwrap());
    assert!(error.ends_with("missing field `token`"), "{error}");
    assert_eq!(lines[0], "Executing function `resize`");

    struct Away;
    impl FromContext for Away {
        async fn from_context(_: &Context) -> Result<Away, Error> {
            Err(Error::from(faasflow_core::state::StateError::temporary("it is away")))
        }
    }
    let callback = Callback::new("storage.io").query_from("q", |_: Away| "never");
    match executed(Flow::builder().callback(callback), &[]).await.0 {
        SegmentResult::Outage(outage) => assert_eq!(outage.reason, "the state manager cannot be reached"),
        other => panic!("{other:?}"),
    }

    let panics = Call::new("resize").query_from("q", |_: Context| -> String { panic!("oh dear") });
    let failure = failure(executed(Flow::builder().apply(panics), &[]).await.0);
    assert!(matches!(failure.kind(), FailureKind::Panic(text) if text == "oh dear"), "{failure}");
}

/// The time of the steps is over then, and so is that of the state manager in their context.
#[tokio::test(start_paused = true)]
async fn a_failure_handler_that_is_asked_after_a_timeout_can_use_the_state() {
    async fn notes(context: Context, failure: Failure) -> Result<Resolution, Error> {
        context.set("failed", &true).await?;
        Ok(failure.recover("mended"))
    }
    struct Never;
    impl FromContext for Never {
        async fn from_context(_: &Context) -> Result<Never, Error> {
            std::future::pending().await
        }
    }
    let shelf = Shelf::default();
    shelf.takes(Duration::from_millis(5));
    let slow = Call::new("resize").header_from("x-never", |_: Never| "").on_failure(notes);
    let part = Flow::builder().modify(async |_: ()| std::future::pending::<()>().await).on_failure(notes);
    let graph = Graph::new().branch("x", part.clone()).branch("y", part.clone());
    for (what, flow) in [
        ("a step", Flow::builder().apply(slow)),
        ("a sub-flow", Flow::builder().flow("part", part)),
        ("a branch", Flow::builder().graph(graph.complete(Complete::First))),
    ] {
        match executed(flow.state(shelf.clone()), &[]).await.0 {
            SegmentResult::Done(payload) => assert_eq!(payload.bytes(), "mended", "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}
