//! Deployments of another definition while requests are in progress.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use faasflow::{Branches, Call, Choice, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, Memory, Outcome};
use faasflow_core::envelope::Envelope;
use faasflow_core::graph::Segment;
use faasflow_testkit::{Answer, Fake, RecordedCall, Request, Running, TestKit};
use futures_util::FutureExt as _;
use http::Method;

use super::graph_troubles::deliver;
use super::support::{phases, until};

pub(crate) const NAMES: [&str; 7] = ["zero", "one", "two", "three", "four", "five", "six"];

/// A flow with another beginning in each version.
type Version = fn(&[&str]) -> FlowBuilder;

/// Two branches, a join, a for-each and a last phase, behind these phases.
fn forked(behind: &[&str]) -> FlowBuilder {
    let graph = Graph::new().branch("x", phases(&["two", "three"])).branch("y", phases(&["four"]));
    phases(behind).graph(graph).modify(async |_: String| "[1,2]").for_each(ForEach::new(phases(&["five"]))).apply("six")
}

const FORKED: &str = "[1,2]";

pub(crate) async fn start(flow: FlowBuilder, records: &str) -> Running {
    start_with(flow.state(Memory::new()), records).await
}

async fn start_with(flow: FlowBuilder, records: &str) -> Running {
    let kit = TestKit::new(flow.build().unwrap()).setting("records", records);
    NAMES.into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo())).start().await
}

pub(crate) async fn deploy(kit: &Running, flow: FlowBuilder) {
    kit.deploy(flow.build().unwrap()).await;
    // The client may still take a connection that was closed. It sends only such a request again.
    answered(kit.request("").method(Method::GET).path("/_/health")).await;
}

/// Sends a request that waits in the queue after its first phase.
async fn held(kit: &Running, input: &str, envelopes: usize) {
    kit.hold_queue();
    let callback = kit.callback_url("end");
    let sent = kit.request(input.to_owned()).header("x-faasflow-callback-url", callback).answer().await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    kit.until_queued(envelopes).await;
}

/// Lets the queue go on until the request has ended.
async fn end(kit: &Running) -> RecordedCall {
    kit.release_queue();
    kit.until_called("callback/end", 1).await.remove(0)
}

pub(crate) fn counts(kit: &Running) -> Vec<usize> {
    NAMES.iter().map(|name| kit.calls(name).len()).collect()
}

/// The number of distinct keys of the calls of all functions, which is the number of calls if none was repeated.
fn keys(kit: &Running) -> usize {
    let calls = NAMES.iter().flat_map(|name| kit.calls(name));
    let keys = calls.map(|call| call.header("idempotency-key").unwrap().to_owned());
    keys.collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn linear_requests_go_on_if_only_what_is_behind_them_has_changed() {
    for records in ["off", "on"] {
        for behind in [vec!["zero", "one"], vec!["zero", "zero", "one"], vec![], vec!["zero"]] {
            let kit = start(phases(&["one", "two", "three"]), records).await;
            held(&kit, "x", 1).await;
            deploy(&kit, phases(&[&behind[..], &["two", "three"]].concat())).await;
            let end = end(&kit).await;
            assert_eq!(end.header("x-faasflow-outcome"), Some("success"), "{records} {behind:?}: {}", end.text());
            assert_eq!((end.text().as_str(), counts(&kit)), ("x", vec![0, 1, 1, 1, 0, 0, 0]), "{records} {behind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_go_on_if_only_what_is_behind_them_has_changed() {
    for records in ["off", "on"] {
        for (behind, then) in
            [(vec!["one"], vec!["zero", "one"]), (vec!["one"], vec!["zero", "zero", "one"]), (vec!["one"], vec![])]
        {
            let kit = start(forked(&behind), records).await;
            held(&kit, "1", 2).await;
            deploy(&kit, forked(&then)).await;
            let end = end(&kit).await;
            assert_eq!(end.header("x-faasflow-outcome"), Some("success"), "{records} {then:?}: {}", end.text());
            assert_eq!((end.text().as_str(), counts(&kit)), (FORKED, vec![0, 1, 1, 1, 1, 2, 1]), "{records} {then:?}");
            assert_eq!(keys(&kit), 7, "{records} {then:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_added_behind_changes_no_idempotency_key() {
    let steps = |behind: &[&str]| {
        let flow = behind.iter().fold(Flow::builder(), |flow, name| flow.apply(Call::new(*name).sync()));
        flow.apply("one").apply("two").apply("three")
    };
    let kit = start(steps(&[]), "off").await;
    held(&kit, "x", 1).await;
    let (headers, _) = kit.queued().remove(0);
    deploy(&kit, steps(&["zero"])).await;
    let end = end(&kit).await;
    assert_eq!(end.header("x-faasflow-outcome"), Some(Outcome::Success.as_str()), "{}", end.text());
    let id = headers["x-faasflow-request-id"].to_str().unwrap();
    let key = |name: &str| kit.calls(name)[0].header("idempotency-key").unwrap().to_owned();
    assert_eq!(["two", "three"].map(key), [format!("{id}-2-2"), format!("{id}-3-3")]);
}

/// The answer to a request; `None` if the flow crashes, or closes the connection.
pub(crate) async fn answered(request: Request<'_>) -> Option<Answer> {
    AssertUnwindSafe(request.answer()).catch_unwind().await.ok()
}

/// Requests keep coming while a phase is added at the beginning and removed again. Deliveries that a deployment cuts off come again,
/// so functions may be called twice, but always under the same key.
async fn under_load(version: Version, input: &str, output: &str, calls: BTreeMap<&str, usize>) {
    const REQUESTS: usize = 40;
    for records in ["off", "on"] {
        let kit = TestKit::new(version(&["one"]).state(Memory::new()).build().unwrap()).setting("records", records);
        let slow = |kit: TestKit, name| kit.function(name, Fake::echo().slow(Duration::from_millis(20)));
        let kit = NAMES.into_iter().fold(kit, slow).start().await;
        let versions = [&["zero", "one"][..], &["one"]].into_iter().cycle();
        for (request, next) in (0..REQUESTS).zip(versions.flat_map(|version| [version; 5])) {
            // The first attempt may take a connection that the deployment has closed.
            let send = || {
                let sent = kit.request(input.to_owned()).header("x-faasflow-request-id", format!("r{request}"));
                answered(sent.header("x-faasflow-callback-url", kit.callback_url("end")))
            };
            let sent = match send().await {
                Some(sent) => sent,
                None => send().await.expect("the flow should answer"),
            };
            assert_eq!(sent.status, 202, "{}", sent.text());
            if request % 5 == 4 {
                deploy(&kit, version(next)).await;
            }
        }
        // An end is reported again if a deployment cut off its report.
        let ended = || {
            let ends = kit.calls("callback/end");
            ends.iter().map(|end| end.header("x-faasflow-request-id").unwrap().to_owned()).collect::<BTreeSet<_>>()
        };
        until(async || ended().len() == REQUESTS).await;
        for end in kit.calls("callback/end") {
            let is_right = end.header("x-faasflow-outcome") == Some("success") && end.text() == output;
            assert!(is_right, "{records}: {}", end.text());
        }
        for (name, calls) in &calls {
            let made = kit.calls(name);
            let keys: BTreeSet<&str> = made.iter().map(|call| call.header("idempotency-key").unwrap()).collect();
            assert_eq!(keys.len(), calls * REQUESTS, "{records} {name}");
        }
        assert!(!kit.calls("zero").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_and_removing_a_first_phase_breaks_no_linear_request() {
    let version = |behind: &[&str]| phases(&[behind, &["two", "three"]].concat());
    under_load(version, "x", "x", BTreeMap::from([("one", 1), ("two", 1), ("three", 1)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_and_removing_a_first_phase_breaks_no_graph() {
    let calls = BTreeMap::from([("one", 1), ("two", 1), ("three", 1), ("four", 1), ("five", 2), ("six", 1)]);
    under_load(forked, "1", FORKED, calls).await;
}

/// Something of each kind that contains flows, behind these steps.
fn everything(behind: FlowBuilder) -> FlowBuilder {
    let fails = phases(&["four", "three"])
        .modify(async |_: String| -> faasflow::Result<String> { Err(faasflow::Error::msg("refused")) });
    let recovers = fails.on_failure(async |_: Context, failure: Failure| failure.recover("2"));
    let graph = Graph::new().branch("x", phases(&["two"]).flow("part", recovers)).branch("y", phases(&["four"])).join(
        async |_: Context, mut branches: Branches| {
            Ok::<_, faasflow::Error>([branches.take::<String>("x")?, branches.take::<String>("y")?].concat())
        },
    );
    let items = ForEach::new(phases(&["five"]))
        .split(async |_: Context, text: String| text.chars().map(String::from).collect::<Vec<_>>())
        .collect(async |items: Items| -> faasflow::Result<String> { Ok(items.take_all::<String>()?.join("-")) });
    let choice = Choice::new(async |text: String| if text == "2-1" { "right" } else { "wrong" })
        .branch("wrong", phases(&["zero"]))
        .branch("right", phases(&["six"]));
    behind.graph(graph).for_each(items).choose(choice).apply("one")
}

/// Graphs and their branches have other numbers if there is another graph before them.
#[tokio::test(flavor = "multi_thread")]
async fn what_contains_flows_is_found_again_if_there_is_more_of_it_behind() {
    let sync = |name: &str| Flow::builder().apply(Call::new(name).sync());
    let more = || {
        let choice = Choice::new(async |_: String| "a").branch("a", sync("zero")).branch("b", sync("zero"));
        let behind = sync("zero").parallel([("a", sync("zero")), ("b", sync("zero"))]).choose(choice);
        everything(behind.parallel([("a", phases(&["zero"])), ("b", phases(&["zero"]))]))
    };
    for records in ["off", "on"] {
        let kit = start(everything(Flow::builder()), records).await;
        held(&kit, "1", 2).await;
        deploy(&kit, more()).await;
        let end = end(&kit).await;
        assert_eq!((end.header("x-faasflow-outcome"), &*end.text()), (Some("success"), "2-1"), "{records}");
        assert_eq!(counts(&kit), [0, 1, 1, 1, 2, 2, 1], "{records}");
    }
}

/// A failure handler of a sub-flow is found in a flow without a store too.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_handler_is_found_again_if_there_are_more_flows_behind_it() {
    let flow = |behind: FlowBuilder| {
        let part = phases(&["two", "three"]).on_failure(async |_: Context, failure: Failure| failure.recover("2"));
        behind.apply("one").flow("part", part).apply("four")
    };
    let kit = TestKit::new(flow(Flow::builder()).build().unwrap());
    let kit = NAMES.into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()));
    let kit = kit.function("three", Fake::failing(400)).start().await;
    held(&kit, "1", 1).await;
    let sync = || Flow::builder().apply(Call::new("zero").sync());
    deploy(&kit, flow(Flow::builder().parallel([("a", sync()), ("b", sync())]))).await;
    let end = end(&kit).await;
    assert_eq!((end.header("x-faasflow-outcome"), &*end.text()), (Some("success"), "2"));
    assert_eq!(counts(&kit), [0, 1, 1, 1, 1, 0, 0]);
}

/// The envelope at a place that waits in one flow, and the one that follows if another flow executes it.
async fn handed_on(from: &Running, to: &Running, place: &str) -> (Envelope, Envelope) {
    to.hold_queue();
    let queued = from.queued().into_iter().map(|(headers, body)| (Envelope::decode(&body).unwrap(), headers, body));
    let (first, headers, body) = queued.into_iter().find(|(first, ..)| first.place.to_string() == place).unwrap();
    let accepted = deliver(to, (headers, body)).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    to.until_queued(1).await;
    (first, Envelope::decode(&to.queued()[0].1).unwrap())
}

/// So a flow of the version before, which compares fingerprints and numbers only, accepts it too.
#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_keeps_the_definition_with_which_its_request_began() {
    let linear = |behind: &[&str]| phases(&[behind, &["two", "three"]].concat());
    let flows: [(Version, usize, [&str; 2]); 2] = [(linear, 1, ["2", "3"]), (forked, 2, ["1.0/2", "1.0/3"])];
    for (flow, envelopes, [place, expected]) in flows {
        let memory = Memory::new();
        let kit = |flow: FlowBuilder| start_with(flow.state(memory.clone()), "off");
        let (old, new) = (kit(flow(&["one"])).await, kit(flow(&["zero", "one"])).await);
        held(&old, "1", envelopes).await;
        let (first, next) = handed_on(&old, &new, place).await;
        let plan = flow(&["one"]).build().unwrap().plan().clone();
        assert_eq!(next.place.to_string(), expected);
        assert_eq!((next.fingerprint, &*next.shape), (plan.fingerprint(), plan.shape()));
        assert_eq!(next.ahead, plan.segment(&next.place).map(Segment::ahead));
        assert_eq!((first.fingerprint, first.shape), (next.fingerprint, next.shape));
    }
}

/// A phase is added in a branch, behind its token, so a for-each in another branch and the join have other numbers. Members that are in
/// progress and members that begin afterwards come together all the same.
#[tokio::test(flavor = "multi_thread")]
async fn members_come_together_if_a_phase_is_added_in_another_branch() {
    let flow = |x: &[&str]| {
        let items = Flow::builder().for_each(ForEach::new(phases(&["four", "five"])).at_most(1));
        phases(&["one"]).graph(Graph::new().branch("x", phases(x)).branch("y", items)).apply("six")
    };
    for records in ["off", "on"] {
        let kit = start(flow(&["two", "three"]), records).await;
        let sent = kit.request("[1,2]").header("x-faasflow-callback-url", kit.callback_url("end"));
        kit.hold_queue();
        assert_eq!(sent.answer().await.status, 202);
        kit.until_queued(2).await;
        for envelope in kit.queued() {
            assert_eq!(deliver(&kit, envelope).await.status, 200);
        }
        let places: BTreeSet<String> =
            kit.queued().iter().map(|(_, body)| Envelope::decode(body).unwrap().place.to_string()).collect();
        let expected = ["1.0/2", "1.0/3", "1.1/4", "1.1/4.0/5"].map(str::to_owned);
        assert_eq!(places, BTreeSet::from(expected));
        deploy(&kit, flow(&["zero", "two", "three"])).await;
        assert_eq!(end(&kit).await.text(), r#"{"x":[1,2],"y":[1,2]}"#, "{records}");
        assert_eq!(counts(&kit), [0, 1, 1, 1, 2, 2, 1], "{records}");
    }
}

/// A shape of more than 4,096 bytes is cut off. Then only the numbers and what is ahead are compared.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_shape_was_cut_off_goes_on_if_its_numbers_are_the_same() {
    let old = start(phases(&["one", "two", "three"]), "off").await;
    held(&old, "1", 1).await;
    let (mut headers, body) = old.queued().remove(0);
    let mut envelope = Envelope::decode(&body).unwrap();
    envelope.shape.truncate(20);
    let body = envelope.encode().into_parts().concat();
    let (name, signature) = old.sign(&body);
    headers.insert(name, signature);
    for (names, status) in [(&["zero", "two", "three"][..], 200), (&["zero", "one", "two", "three"], 409)] {
        let deployed = start(phases(names), "off").await;
        let answer = deliver(&deployed, (headers.clone(), body.clone().into())).await;
        assert_eq!(answer.status, status, "{names:?}: {}", answer.text());
    }
}

/// An envelope as the version before wrote it, which did not compare definitions.
const BEFORE: &str = r#"{"flow":"flow","request":"r","position":{"phase":PHASE,"path":[{"fork":1,"index":INDEX}]},"fingerprint":"b445f119ef09460bf09ed2d472fa1fae","ahead":"AHEAD","shape":"[] graph{x: [call two] [call three]; y: [call four]} [call six]","callback_url":"URL","started":1795966026416,"sent":1795966026419,"payload":{"inline":1},"origin":"token","joins":[{"members":2,"policy":{"failures":0},"at_most":2,"seen":0}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_of_the_version_before_go_on_in_another_definition() {
    let graph = Graph::new().branch("x", phases(&["two", "three"])).branch("y", phases(&["four"]));
    let kit = start(phases(&["zero", "one"]).graph(graph).apply("six"), "off").await;
    for (phase, index, ahead) in
        [("2", "0", "5e033748421f8045e19e77bd47966808"), ("4", "1", "d081c25bea424622a80b5654dc193177")]
    {
        let header = BEFORE.replace("PHASE", phase).replace("INDEX", index).replace("AHEAD", ahead);
        let header = header.replace("URL", &kit.callback_url("end"));
        let length = u32::try_from(header.len()).unwrap().to_be_bytes();
        let body = [b"FAASFLOW\0\x02", &length[..], header.as_bytes(), b"1"].concat();
        let (name, signature) = kit.sign(&body);
        let request = kit.request(body).header("content-type", faasflow_core::envelope::CONTENT_TYPE);
        let accepted = request.header(name, signature.to_str().unwrap()).answer().await;
        assert_eq!(accepted.status, 200, "{}", accepted.text());
    }
    assert_eq!(end(&kit).await.text(), r#"{"x":1,"y":1}"#);
    assert_eq!(counts(&kit), [0, 0, 1, 1, 1, 0, 1]);
}
