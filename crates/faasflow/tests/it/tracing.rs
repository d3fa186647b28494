//! The trace of a request, as a trace server receives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use faasflow::{Call, Context, Error, Failure, Flow, FlowBuilder, Result, Retry};
use faasflow_testkit::{Fake, RecordedCall, Running, TestKit};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const UUID: &str = "0194e3a1-7c3b-7def-8123-456789abcdef";

/// A flow and its functions, which answer what they are sent unless a test says otherwise.
fn surrounded(kit: TestKit) -> TestKit {
    ["a", "b", "c"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

/// A flow whose trace server is a callback URL of the kit.
fn traced(flow: FlowBuilder) -> TestKit {
    let mut url = String::new();
    let kit = TestKit::define(|kit| {
        url = format!("{kit}/callback/traces");
        flow.build().unwrap()
    });
    surrounded(kit).setting("enable_tracing", "true").setting("trace_server", url)
}

/// The spans that have arrived, in the order of their starts.
fn spans(kit: &Running) -> Vec<Span> {
    let mut spans: Vec<Span> = kit.calls("callback/traces").iter().flat_map(decode).collect();
    spans.sort_by_key(|span| (span.start_time_unix_nano, std::cmp::Reverse(span.end_time_unix_nano)));
    spans
}

fn decode(call: &RecordedCall) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(call.body.clone()).unwrap();
    request.resource_spans.into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
}

/// The spans, once so many are there.
async fn until(kit: &Running, count: usize) -> Vec<Span> {
    let mut batches = 1;
    loop {
        kit.until_called("callback/traces", batches).await;
        let spans = spans(kit);
        if spans.len() >= count {
            return spans;
        }
        batches = kit.calls("callback/traces").len() + 1;
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    match found[..] {
        [span] => span,
        _ => panic!("{} of `{name}` in {:?}", found.len(), names(spans)),
    }
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        value => format!("{value:?}"),
    })
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == 2)
}

/// The trace context that a call was pointed with: its trace, its span, its flags.
fn pointed(call: &RecordedCall) -> (String, String, String) {
    let text = call.header("traceparent").expect("a call has a traceparent");
    let parts: Vec<&str> = text.split('-').collect();
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}

fn quickly(attempts: u32) -> Retry {
    Retry::attempts(attempts).initial_delay(Duration::from_millis(2))
}

#[tokio::test]
async fn a_request_of_one_phase_is_a_tree_of_three_levels() {
    let flow = Flow::builder()
        .apply(Call::new("a").sync().query("token", "s3cret"))
        .modify(async |_: Context, text: String| text + "!");
    let kit = traced(flow).start().await;
    kit.request("hello").header("x-faasflow-request-id", UUID).send().await;
    let spans = until(&kit, 4).await;
    assert_eq!(spans.len(), 4);
    let (request, phase) = (named(&spans, "flow"), named(&spans, "phase 1"));
    let call = named(&spans, "call a");
    let modifier = spans.iter().find(|span| span.name.starts_with("modifier at ")).unwrap();

    // The id of the request, being a UUID, is the id of the trace.
    assert!(spans.iter().all(|span| hex(&span.trace_id) == UUID.replace('-', "")));
    assert!(spans.iter().all(|span| attribute(span, "faasflow.request.id").as_deref() == Some(UUID)));
    assert!(request.parent_span_id.is_empty());
    assert_eq!(phase.parent_span_id, request.span_id);
    assert_eq!((&call.parent_span_id, &modifier.parent_span_id), (&phase.span_id, &phase.span_id));
    assert!(!spans.iter().any(is_error));
    // Each within its parent.
    for (inner, outer) in [(phase, request), (call, phase), (modifier, phase)] {
        assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano);
        assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano);
    }

    let text_of = |span, key| attribute(span, key).unwrap_or_default();
    assert_eq!(
        (text_of(request, "faasflow.outcome"), text_of(request, "faasflow.phases")),
        ("success".into(), "1".into())
    );
    assert_eq!(
        (text_of(phase, "faasflow.asynchronous"), text_of(phase, "faasflow.answer")),
        ("false".into(), "200".into())
    );
    assert_eq!((text_of(call, "faasflow.function"), text_of(call, "http.request.method")), ("a".into(), "POST".into()));
    assert_eq!(
        (text_of(call, "http.request.body.size"), text_of(call, "http.response.body.size")),
        ("5".into(), "5".into())
    );
    assert_eq!(
        (text_of(call, "http.response.status_code"), text_of(call, "faasflow.attempts")),
        ("200".into(), "1".into())
    );
    assert_eq!(text_of(call, "url.full"), format!("{}/function/a?token=REDACTED", kit.gateway_url()));
    assert_eq!(
        (text_of(modifier, "faasflow.bytes.in"), text_of(modifier, "faasflow.bytes.out")),
        ("5".into(), "6".into())
    );
    assert_eq!((text_of(call, "faasflow.step"), text_of(modifier, "faasflow.step")), ("1".into(), "2".into()));
    // The function was told which span it is called by.
    assert_eq!(pointed(&kit.calls("a")[0]), (hex(&call.trace_id), hex(&call.span_id), "01".into()));
}

#[tokio::test]
async fn all_phases_of_an_asynchronous_request_hang_under_it() {
    let kit = traced(Flow::builder().apply("a").apply("b").apply("c")).start().await;
    kit.request("x").header("x-faasflow-request-id", UUID).send().await;
    let spans = until(&kit, 7).await;
    assert_eq!(spans.len(), 7, "{:?}", names(&spans));
    let request = named(&spans, "flow");
    assert_eq!(attribute(request, "faasflow.phases").as_deref(), Some("3"));
    for (number, function) in [(1, "a"), (2, "b"), (3, "c")] {
        let phase = named(&spans, &format!("phase {number}"));
        assert_eq!(phase.parent_span_id, request.span_id);
        assert_eq!(named(&spans, &format!("call {function}")).parent_span_id, phase.span_id);
        let asynchronous = number > 1;
        assert_eq!(attribute(phase, "faasflow.asynchronous"), Some(asynchronous.to_string()));
        assert_eq!(attribute(phase, "faasflow.queue.seconds").is_some(), asynchronous);
        let forwarded = phase.events.iter().any(|event| event.name == "forwarded");
        assert_eq!(forwarded, number < 3);
        // It is over when its last phase is.
        assert!(request.end_time_unix_nano >= phase.end_time_unix_nano);
        assert!(request.start_time_unix_nano <= phase.start_time_unix_nano);
    }
}

#[tokio::test]
async fn a_phase_that_is_delivered_twice_stays_in_its_trace() {
    let kit = traced(Flow::builder().apply("a").apply("b")).start().await;
    kit.deliver_twice();
    kit.request("x").header("x-faasflow-request-id", "order-17").send().await;
    let spans = until(&kit, 7).await;
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
    let ends: Vec<&Span> = spans.iter().filter(|span| span.name == "flow").collect();
    assert!(ends.iter().all(|end| end.span_id == ends[0].span_id));
    let phases: Vec<&Span> = spans.iter().filter(|span| span.name == "phase 2").collect();
    assert_eq!(phases.len(), 2);
    assert_ne!(phases[0].span_id, phases[1].span_id);
}

#[tokio::test]
async fn attempts_and_failures_are_recorded_and_no_payload_is() {
    let call = Call::new("a").retry(quickly(3)).query("token", "s3cret");
    let flow = Flow::builder()
        .apply(call)
        .modify(async |_: Context, _: String| -> Result<String> { Err(Error::msg("there are two faces")) });
    let kit = traced(flow).function("a", Fake::answer("s3cret").after_failing(2, 503)).start().await;
    kit.request("s3cret").header("authorization", "s3cret").query("key", "s3cret").answer().await;
    let spans = until(&kit, 4).await;
    let (request, phase, call) = (named(&spans, "flow"), named(&spans, "phase 1"), named(&spans, "call a"));
    let attempts: Vec<&str> = call.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(attempts, ["attempt", "attempt"]);
    assert_eq!(attribute(call, "faasflow.attempts").as_deref(), Some("3"));
    assert!(!is_error(call));
    let modifier = spans.iter().find(|span| span.name.starts_with("modifier")).unwrap();
    assert!(is_error(modifier) && is_error(phase) && is_error(request));
    assert_eq!(attribute(modifier, "error.type").as_deref(), Some("handler"));
    assert_eq!(attribute(request, "faasflow.outcome").as_deref(), Some("failure"));
    let exception = modifier.events.iter().find(|event| event.name == "exception").unwrap();
    assert!(format!("{exception:?}").contains("there are two faces"));
    assert!(!format!("{spans:?}").contains("s3cret"));
}

#[tokio::test]
async fn spans_of_many_attempts_are_left_out_and_counted() {
    let often = Retry::attempts(150).initial_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(1));
    let kit = traced(Flow::builder().apply(Call::new("a").sync().retry(often)));
    let kit = kit.function("a", Fake::failing(503)).start().await;
    kit.request("x").answer().await;
    let spans = until(&kit, 3).await;
    let call = named(&spans, "call a");
    assert_eq!((call.events.len(), call.dropped_events_count), (128, 23));
    assert_eq!((call.events[126].name.as_str(), call.events[127].name.as_str()), ("attempt", "exception"));
    assert_eq!(attribute(call, "faasflow.attempts").as_deref(), Some("150"));
}

#[tokio::test]
async fn a_request_that_a_handler_mended_has_not_failed() {
    let flow = Flow::builder()
        .apply(Call::new("a").on_failure(async |_: Context, failure: Failure| failure.recover("mended")))
        .apply(Call::new("b").sync())
        .on_failure(async |_: Context, failure: Failure| failure.recover("mended, too"));
    let kit = traced(flow).function("a", Fake::failing(500)).function("b", Fake::failing(404)).start().await;
    kit.request("x").answer().await;
    let spans = until(&kit, 4).await;
    let (request, a, b) = (named(&spans, "flow"), named(&spans, "call a"), named(&spans, "call b"));
    assert_eq!((attribute(a, "faasflow.recovered").as_deref(), is_error(a)), (Some("true"), false));
    assert_eq!((attribute(b, "http.response.status_code").as_deref(), is_error(b)), (Some("404"), true));
    assert_eq!((attribute(request, "faasflow.outcome").as_deref(), is_error(request)), (Some("recovered"), false));
}

#[tokio::test]
async fn the_trace_of_the_caller_is_continued() {
    for (name, value) in [
        ("traceparent", format!("00-{TRACE}-{PARENT}-01")),
        ("b3", format!("{TRACE}-{PARENT}-1")),
        ("uber-trace-id", format!("{TRACE}:{PARENT}:0:1")),
    ] {
        let kit = traced(Flow::builder().apply("a").apply("b")).start().await;
        kit.request("x").header(name, &value).send().await;
        let spans = until(&kit, 5).await;
        assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{name}");
        assert_eq!(hex(&named(&spans, "flow").parent_span_id), PARENT, "{name}");
        for function in ["a", "b"] {
            let call = &kit.calls(function)[0];
            let span = hex(&named(&spans, &format!("call {function}")).span_id);
            assert_eq!(pointed(call), (TRACE.to_owned(), span.clone(), "01".to_owned()), "{name}");
            // Who speaks another form gets that too, and in it the same span.
            assert!(call.header(name).unwrap().contains(&span), "{name}");
        }
    }
}

#[tokio::test]
async fn unsampled_requests_are_not_exported_and_functions_learn_of_it() {
    let kit = traced(Flow::builder().apply("a")).start().await;
    kit.request("x").header("traceparent", format!("00-{TRACE}-{PARENT}-00")).send().await;
    let (trace, span, flags) = pointed(&kit.calls("a")[0]);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    assert_ne!(span, PARENT);
    // The next request is exported, and nothing came before it.
    kit.request("x").send().await;
    let spans = until(&kit, 3).await;
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| hex(&span.trace_id) != TRACE));

    let off = traced(Flow::builder().apply("a")).setting("OTEL_TRACES_SAMPLER", "always_off").start().await;
    off.request("x").send().await;
    assert_eq!(pointed(&off.calls("a")[0]).2, "00");
}

#[tokio::test]
async fn without_tracing_the_context_goes_on_as_it_came() {
    let kit = surrounded(TestKit::new(Flow::builder().apply("a").apply("b").build().unwrap())).start().await;
    kit.request("x").header("traceparent", format!("00-{TRACE}-{PARENT}-01")).send().await;
    for function in ["a", "b"] {
        assert_eq!(pointed(&kit.calls(function)[0]), (TRACE.into(), PARENT.into(), "01".into()));
    }
    kit.request("y").send().await;
    assert_eq!(kit.until_called("a", 2).await[1].header("traceparent"), None);
}

#[tokio::test]
async fn an_absent_trace_server_fails_no_request() {
    let kit = surrounded(TestKit::new(Flow::builder().apply("a").build().unwrap()))
        .setting("enable_tracing", "true")
        .setting("trace_server", "127.0.0.1:1")
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(kit.request("x").answer().await.status, 200);
    }
}

#[tokio::test]
async fn branches_hang_side_by_side_under_their_phase() {
    let calls = |name: &str| Flow::builder().apply(Call::new(name).sync());
    let item = calls("b");
    let list = Flow::builder()
        .modify(async |_: ()| "[1,2]")
        .for_each(faasflow::ForEach::new(item).label(|page: String| format!("page {page}")));
    let flow = Flow::builder().parallel([("left", calls("a")), ("right", list)]).apply(Call::new("c").sync());
    let kit = traced(flow).start().await;
    kit.request("7").send().await;
    // The request, its phase, two branches, the modifier, two items and four calls.
    let spans = until(&kit, 11).await;
    assert_eq!(spans.len(), 11, "{:?}", names(&spans));
    let (phase, left, right) = (named(&spans, "phase 1"), named(&spans, "branch left"), named(&spans, "branch right"));
    let (first, second) = (named(&spans, "item 1"), named(&spans, "item 2"));
    let parents = [(left, phase), (right, phase), (named(&spans, "call a"), left), (first, right), (second, right)];
    for (inner, outer) in parents.into_iter().chain([(named(&spans, "call c"), phase)]) {
        assert_eq!(inner.parent_span_id, outer.span_id, "{} in {}", inner.name, outer.name);
        assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano);
        assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano);
    }
    let of_items: Vec<_> = spans.iter().filter(|span| span.name == "call b").map(|span| &span.parent_span_id).collect();
    assert!(of_items.contains(&&first.span_id) && of_items.contains(&&second.span_id));
    assert_eq!(attribute(second, "faasflow.branch").as_deref(), Some("right/item-2"));
    assert_eq!(attribute(second, "faasflow.branch.outcome").as_deref(), Some("done"));
    assert_eq!(attribute(second, "faasflow.item.label").as_deref(), Some("page 2"));
    assert_eq!(attribute(left, "faasflow.item.label"), None);
    assert_eq!(pointed(&kit.calls("a")[0]).1, hex(&named(&spans, "call a").span_id));
}

#[tokio::test]
async fn a_join_links_to_the_spans_in_which_its_branches_ended() {
    let branch = |name: &str| Flow::builder().apply(name);
    let graph = faasflow::Graph::new()
        .branch("first", branch("a"))
        .branch("beside", branch("b"))
        .branch("second", branch("c"))
        .after("second", ["first"]);
    let flow = Flow::builder().graph(graph);
    let kit = traced(flow).start().await;
    kit.request("7").send().await;
    // The request, five phases and three calls.
    let spans = until(&kit, 9).await;
    let [first, beside, second, join] =
        ["phase 1.0/2", "phase 1.1/3", "phase 1.2/4", "phase 5"].map(|name| named(&spans, name));
    let linked = |span: &Span| span.links.iter().map(|link| link.span_id.clone()).collect::<Vec<_>>();
    assert_eq!(linked(join), [first, beside, second].map(|span| span.span_id.clone()));
    assert_eq!(linked(second), [first].map(|span| span.span_id.clone()));
    assert!(linked(first).is_empty() && linked(beside).is_empty());
    assert!(join.links.iter().all(|link| link.trace_id == join.trace_id && link.flags == 0x301));
    // They are side by side, under the request.
    let request = named(&spans, "flow");
    assert!([first, beside, second, join].iter().all(|span| span.parent_span_id == request.span_id));
}

#[tokio::test]
async fn the_span_of_a_delivery_that_was_not_needed_says_so() {
    let branch = |name: &str| Flow::builder().apply(name);
    let kit = traced(Flow::builder().parallel([("first", branch("a")), ("second", branch("b"))])).start().await;
    kit.deliver_twice();
    kit.request("7").send().await;
    // The request, the first phase, two deliveries of each branch and of the join, and two calls.
    let spans = until(&kit, 10).await;
    for name in ["phase 1.0/2", "phase 1.1/3", "phase 4"] {
        let deliveries: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        let events = |span: &Span| span.events.iter().map(|event| event.name.clone()).collect::<Vec<_>>();
        let idle: Vec<&&Span> = deliveries.iter().filter(|span| events(span) == ["not needed"]).collect();
        assert_eq!((deliveries.len(), idle.len()), (2, 1), "{name}");
        assert!(spans.iter().all(|span| span.parent_span_id != idle[0].span_id), "{name}");
    }
}

#[tokio::test]
async fn a_cancelled_branch_has_a_span_that_says_so() {
    let calls = |name: &str| Flow::builder().apply(Call::new(name).sync());
    let called = Arc::new(AtomicBool::new(false));
    let waits = called.clone();
    let fails = Flow::builder().modify(move |_: ()| {
        let waits = waits.clone();
        async move {
            super::support::until_seen(|| waits.load(SeqCst)).await;
            Err::<(), _>(Error::refused("no"))
        }
    });
    let flow = Flow::builder().parallel([("hangs", calls("a")), ("fails", fails)]);
    let kit = traced(flow).function("a", Fake::hanging()).start().await;
    tokio::join!(kit.request("7").send(), async {
        kit.until_called("a", 1).await;
        called.store(true, SeqCst);
    });
    let spans = until(&kit, 6).await;
    let (hangs, fails) = (named(&spans, "branch hangs"), named(&spans, "branch fails"));
    assert_eq!(attribute(hangs, "faasflow.branch.outcome").as_deref(), Some("dropped"));
    assert_eq!(attribute(named(&spans, "call a"), "faasflow.cancelled").as_deref(), Some("true"));
    assert_eq!(named(&spans, "call a").parent_span_id, hangs.span_id);
    assert!(is_error(fails) && !is_error(hangs));
    assert_eq!(attribute(fails, "error.type").as_deref(), Some("handler"));
}
