//! Checks which trace a request belongs to, and whether it is exported.

use std::sync::Arc;

use super::stand::{PATIENCE, Stand};
use crate::suite::{Suite, expect};

/// The trace of the callers in these checks.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e";
const PARENT: &str = "00f067aa0ba902b7";

/// The form in which a caller sends its trace.
#[derive(Clone, Copy)]
enum Way {
    TraceParent,
    B3,
    B3Short,
    B3Many,
    Uber,
}

const WAYS: [(&str, Way); 5] = [
    ("traceparent, with tracestate", Way::TraceParent),
    ("b3", Way::B3),
    ("b3 with a trace id of 64 bits", Way::B3Short),
    ("x-b3-traceid and the others", Way::B3Many),
    ("uber-trace-id", Way::Uber),
];

impl Way {
    fn headers(self, trace: &str, sampled: bool) -> Vec<(&'static str, String)> {
        let flag = u8::from(sampled);
        match self {
            Way::TraceParent => vec![
                ("traceparent", format!("00-{trace}-{PARENT}-0{flag}")),
                ("tracestate", "vendor=what-it-wants".to_owned()),
            ],
            Way::B3 => vec![("b3", format!("{trace}-{PARENT}-{flag}"))],
            Way::B3Short => vec![("b3", format!("{}-{PARENT}-{flag}", &trace[16..]))],
            Way::B3Many => vec![
                ("x-b3-traceid", trace.to_owned()),
                ("x-b3-spanid", PARENT.to_owned()),
                ("x-b3-sampled", flag.to_string()),
            ],
            Way::Uber => vec![("uber-trace-id", format!("{trace}:{PARENT}:0:{flag}"))],
        }
    }

    /// A unique id, as the trace of this caller.
    fn trace(self, sampled: bool) -> String {
        let number = 2 * self as u8 + u8::from(sampled);
        match self {
            Way::B3Short => format!("{}{}{number:04x}", "0".repeat(16), &TRACE[16..]),
            _ => format!("{TRACE}{number:04x}"),
        }
    }
}

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    for (name, way) in WAYS {
        suite.check(&format!("the caller's trace goes on: {name}"), continued(stand.clone(), way)).await;
    }
    suite.check("what callers do not sample is not exported, and functions are told", unsampled(stand.clone())).await;
    suite.check("samplers that take nothing: nothing is exported, and functions are told", off(stand.clone())).await;
    suite.check("a sampler that leaves it to the caller", parent_based(stand.clone())).await;
    suite.check("an id that is no UUID is found by its attribute", searched(stand.clone())).await;
    suite.check("OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES", resource(stand.clone())).await;
    suite.check("nothing came to any of these traces afterwards", no_more(stand.clone())).await;
}

/// Sends a request through all three phases of `relay`. Returns the trace contexts that its functions got.
async fn relay(stand: &Stand, headers: &[(&str, String)]) -> Result<Vec<(String, Option<String>)>, String> {
    stand.recorder.clear();
    let report = stand.recorder.url("report");
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(("x-faasflow-callback-url", &report));
    stand.invoke("function", "relay", &headers, "in a trace").await?.expect(202)?;
    stand.recorder.until("report", 1, PATIENCE).await?;
    let mut contexts = Vec::new();
    for function in ["one", "two", "three"] {
        for seen in stand.recorder.seen(function) {
            let text = |name| seen.header(name).map(str::to_owned);
            contexts.push((text("traceparent").unwrap_or_default(), text("tracestate")));
        }
    }
    expect(contexts.len() == 3, || format!("functions were called {} times", contexts.len()))?;
    Ok(contexts)
}

async fn continued(stand: Arc<Stand>, way: Way) -> Result<(), String> {
    let id = way.trace(true);
    let contexts = relay(&stand, &way.headers(&id, true)).await?;
    let trace = stand.jaeger.until(&id, 7).await?;
    let request = trace.request()?;
    expect(request.parent.as_deref() == Some(PARENT), || format!("the parent is {:?}", request.parent))?;
    expect(trace.spans.len() == 7, || format!("{} spans, not seven:\n{trace}", trace.spans.len()))?;
    let state = matches!(way, Way::TraceParent).then_some("vendor=what-it-wants");
    for (name, (parent, parent_state)) in ["one", "two", "three"].into_iter().zip(&contexts) {
        let expected = format!("00-{id}-{}-01", trace.span(&format!("call {name}"))?.id);
        expect(*parent == expected, || format!("`{name}` was told {parent}, not {expected}"))?;
        expect(parent_state.as_deref() == state, || format!("`{name}` was told tracestate {parent_state:?}"))?;
    }
    Ok(())
}

/// Checks that functions got a trace context that is not sampled.
fn expect_not_sampled(contexts: &[&str], trace: Option<&str>) -> Result<(), String> {
    for parent in contexts {
        let parts: Vec<&str> = parent.split('-').collect();
        let is_unsampled = matches!(parts.as_slice(), ["00", id, _, "00"] if trace.is_none_or(|trace| *id == trace));
        expect(is_unsampled, || format!("a function was told `{parent}`"))?;
    }
    Ok(())
}

async fn unsampled(stand: Arc<Stand>) -> Result<(), String> {
    for (name, way) in WAYS {
        let id = way.trace(false);
        let contexts = relay(&stand, &way.headers(&id, false)).await?;
        let parents: Vec<&str> = contexts.iter().map(|(parent, _)| parent.as_str()).collect();
        expect_not_sampled(&parents, Some(&id)).map_err(|why| format!("{name}: {why}"))?;
    }
    // Spans are exported in order, so earlier ones would be there too.
    let (id, trace) = stand.id();
    relay(&stand, &[("x-faasflow-request-id", id)]).await?;
    stand.jaeger.until(&trace, 7).await?;
    for (name, way) in WAYS {
        let found = stand.jaeger.trace(&way.trace(false)).await?;
        expect(found.is_none(), || {
            format!("{name}: it was exported:\n{}", found.map_or_else(String::new, |t| t.to_string()))
        })?;
    }
    Ok(())
}

async fn off(stand: Arc<Stand>) -> Result<(), String> {
    for (name, sampler, argument) in [
        ("direct-off", "always_off", ""),
        ("direct-zero", "traceidratio", "0"),
        ("direct-parent-zero", "parentbased_traceidratio", "0.0"),
    ] {
        let settings = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        let mut process = stand.process(name, stand.jaeger.grpc(), &settings).await?;
        stand.recorder.clear();
        process.request(&[], "not sampled").await?.expect(200)?;
        let seen = [stand.recorder.seen("one"), stand.recorder.seen("two")].concat();
        let contexts: Vec<&str> = seen.iter().map(|seen| seen.header("traceparent").unwrap_or_default()).collect();
        expect(contexts.len() == 2, || format!("functions were called {} times", contexts.len()))?;
        expect_not_sampled(&contexts, None).map_err(|why| format!("{sampler}: {why}"))?;
        // It exports all its spans when it stops.
        process.stop().await?;
        let services = stand.jaeger.services().await?;
        expect(!services.iter().any(|service| service == name), || format!("{sampler}: something was exported"))?;
    }
    Ok(())
}

async fn parent_based(stand: Arc<Stand>) -> Result<(), String> {
    let settings = [("OTEL_TRACES_SAMPLER", "parentbased_always_off")];
    let mut process = stand.process("direct-parent", stand.jaeger.grpc(), &settings).await?;
    let ((own, own_trace), (_, callers)) = (stand.id(), stand.id());
    process.request(&[("x-faasflow-request-id", &own)], "nobody asks").await?.expect(200)?;
    let parent = format!("00-{callers}-{PARENT}-01");
    process.request(&[("traceparent", &parent)], "the caller asks").await?.expect(200)?;
    process.stop().await?;
    stand.jaeger.until(&callers, 4).await?;
    let found = stand.jaeger.trace(&own_trace).await?;
    expect(found.is_none(), || "what no caller sampled was exported".to_owned())
}

async fn searched(stand: Arc<Stand>) -> Result<(), String> {
    let id = "order-4711";
    let contexts = relay(&stand, &[("x-faasflow-request-id", id.to_owned())]).await?;
    let found = stand.jaeger.search("relay", "faasflow.request.id", id).await?;
    let [trace] = found.as_slice() else { return Err(format!("{} traces are found, not one", found.len())) };
    let parent = &contexts[0].0;
    let trace_id = parent.split('-').nth(1).unwrap_or_default();
    let trace = match trace.spans.len() {
        7 => trace.clone(),
        _ => stand.jaeger.until(trace_id, 7).await?,
    };
    let expected = format!("00-{trace_id}-{}-01", trace.span("call one")?.id);
    expect(*parent == expected, || format!("the first function was told {parent}, not {expected}"))?;
    let named = trace.spans.iter().all(|span| span.attributes.get("faasflow.request.id").is_some_and(|of| of == id));
    expect(named, || format!("not all spans name the request:\n{trace}"))
}

async fn resource(stand: Arc<Stand>) -> Result<(), String> {
    let settings = [
        ("OTEL_SERVICE_NAME", "direct-renamed"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=e2e,service.namespace=suites"),
    ];
    let mut process = stand.process("direct-named", stand.jaeger.grpc(), &settings).await?;
    let (id, trace) = stand.id();
    process.request(&[("x-faasflow-request-id", &id)], "under a name of its own").await?.expect(200)?;
    process.stop().await?;
    let trace = stand.jaeger.until(&trace, 4).await?;
    trace.expect_service("direct-renamed")?;
    for (key, value) in [("deployment.environment.name", "e2e"), ("service.namespace", "suites")] {
        let there = trace.raw.contains(&format!(r#""key":"{key}","type":"string","value":"{value}""#));
        expect(there, || format!("the resource has no {key}={value}: {}", trace.raw))?;
    }
    Ok(())
}

async fn no_more(stand: Arc<Stand>) -> Result<(), String> {
    stand.jaeger.expect_no_more().await
}
