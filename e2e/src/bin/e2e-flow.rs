//! The flow functions of the suites `openfaas`, `tracing` and `ui`. The variable `E2E_FLOW` selects one.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{
    Branches, Call, Callback, Complete, Context, DefinitionError, Error, Failure, Flow, FlowBuilder, ForEach, Graph,
    Items, Json, Payload, Redis, Result, Retry, StatusCode,
};

fn main() -> faasflow::Result<()> {
    faasflow::serve(define(&own("E2E_FLOW"))?)
}

fn own(variable: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a program chooses its flow here, which is no setting of Faasflow's")]
    std::env::var(variable).unwrap_or_default()
}

fn define(name: &str) -> Result<Flow> {
    let builder = Flow::builder();
    let flow: Result<Flow, DefinitionError> = match name {
        "relay" => relay(builder).build(),
        "relay-stored" => relay(builder.state(Redis::from_env().map_err(Error::from)?)).build(),
        "six-stored" => {
            let builder = builder.state(Redis::from_env().map_err(Error::from)?);
            (0..6).fold(builder, |builder, _| builder.apply("callee")).build()
        }
        "direct" => builder.apply(Call::new("one").sync()).apply(Call::new("two").sync()).build(),
        "gated" => builder
            .apply("one")
            .modify(gate)
            .apply("two")
            .on_failure(async |_: Context, failure: Failure| failure.reply(Json(failure.reason())))
            .build(),
        "graph" => graph(builder, Complete::All, Call::new).build(),
        "graph-direct" => graph(builder, Complete::All, |name| Call::new(name).sync()).build(),
        "graph-first" => graph(builder, Complete::First, Call::new).build(),
        "graph-stored" => {
            graph(builder.state(Redis::from_env().map_err(Error::from)?), Complete::All, Call::new).build()
        }
        "orders" => orders(builder).build(),
        "parcels" => {
            let weigh = ForEach::new(Flow::builder().apply("weigh")).complete(Complete::Settled);
            builder.for_each(weigh).apply("pass").build()
        }
        // One failed item ends the request with a reply.
        "scales" => {
            let weigh = Flow::builder().apply("weigh");
            let weigh = weigh.on_failure(async |_: Context, failure: Failure| failure.reply(Json(failure.reason())));
            builder.for_each(ForEach::new(weigh)).build()
        }
        "sift" => {
            let label = |Json(item): Json<String>| item;
            let sift = ForEach::new(Flow::builder().apply("sift-one")).label(label).complete(Complete::Settled);
            builder.for_each(sift).apply("pass").build()
        }
        "hostile" => hostile(builder, &own("E2E_NAMES"))?.build(),
        "mirror" => builder.modify(async |payload: Payload| payload).build(),
        // Its function is a flow.
        "outer" => builder.apply("mirror").apply("pass").build(),
        "brittle" => builder.modify(brittle).build(),
        "patient" => {
            let retry = Retry::attempts(3).initial_delay(Duration::from_millis(300));
            let waver = Call::new("waver").sync().retry(retry.on_only(&[StatusCode::INTERNAL_SERVER_ERROR]));
            let pass = || Call::new("pass").sync();
            builder
                .apply(waver)
                .apply(pass())
                .for_each(ForEach::new(Flow::builder().apply(pass())))
                .apply("pass")
                .build()
        }
        "stubborn" => {
            let retry = Retry::attempts(2).initial_delay(Duration::from_millis(300));
            let ship = Call::new("ship").sync().retry(retry.on_only(&[StatusCode::INTERNAL_SERVER_ERROR]));
            builder.apply(ship).build()
        }
        "fragile" => builder.apply("pass").apply("pass").callback(Callback::new(own("E2E_CALLBACK"))).build(),
        "frail" => builder.callback(Callback::new(own("E2E_CALLBACK"))).build(),
        "guarded" => guarded(builder, &own("E2E_SECRET"), &own("E2E_CALLBACK")).build(),
        _ => return Err(Error::msg(format!("E2E_FLOW is `{name}`, which is none of the flows here"))),
    };
    Ok(flow?)
}

/// Three phases.
fn relay(builder: FlowBuilder) -> FlowBuilder {
    builder
        .apply(Call::new("one").header("x-step", "first").query("note", "a b&c"))
        .apply("two")
        .apply(Call::new("three").query_with("name", |context: &Context| context.query("name")))
}

/// Two branches, and a call after their join.
fn graph(builder: FlowBuilder, complete: Complete, call: fn(&'static str) -> Call) -> FlowBuilder {
    let branch = |function| Flow::builder().apply(call(function));
    let graph = Graph::new().branch("one", branch("one")).branch("two", branch("two"));
    builder.graph(graph.complete(complete)).apply(call("three"))
}

/// A graph between calls, as the dashboard shows it.
fn orders(builder: FlowBuilder) -> FlowBuilder {
    let branch = |function| Flow::builder().apply(function);
    let graph = Graph::new().branch("stock", branch("stock")).branch("price", branch("price"));
    builder.graph(graph).apply("pack").apply("ship")
}

/// A phase that sends a secret everywhere it can, makes calls that may be retried, and sends a callback.
fn guarded(builder: FlowBuilder, secret: &str, callback: &str) -> FlowBuilder {
    builder
        .apply(Call::new("one").sync().header("x-token", secret).query("token", secret))
        .apply(Call::new("two").sync().retry(Retry::attempts(3)))
        .callback(Callback::new(callback).query("token", secret).header("x-token", secret))
}

/// Fails with what it is given if that begins with `no `, until there is the file `mended`.
async fn brittle(text: String) -> Result<String> {
    match text.strip_prefix("no ") {
        Some(missing) if !Path::new("mended").exists() => Err(Error::refused(format!("there is no {missing}"))),
        _ => Ok(text),
    }
}

/// A flow whose branches have these names, in JSON. Its input is a list of texts, which become search keys, labels, payloads, log lines
/// and the reason of its failure.
fn hostile(builder: FlowBuilder, names: &str) -> Result<FlowBuilder> {
    let names: Vec<String> = serde_json::from_str(names)?;
    let first = names.first().cloned().unwrap_or_default();
    let graph = names.iter().fold(Graph::new(), |graph, name| graph.branch(name, Flow::builder().apply("pass")));
    let graph = graph.join(move |mut branches: Branches| {
        let taken = branches.take::<Bytes>(&first);
        async move { taken }
    });
    let items = ForEach::new(Flow::builder().apply("spiteful"));
    let items = items.label(|Json(item): Json<String>| item).complete(Complete::Settled).collect(together);
    let last = names.last().cloned().unwrap_or_default();
    let builder = builder.search_key(|Json(texts): Json<Vec<String>>| keys(texts));
    Ok(builder.graph(graph).flow(last, Flow::builder().for_each(items)).modify(complain))
}

/// The texts that can be search keys.
fn keys(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().filter(|text| text.is_ascii() && text.len() <= 128).collect()
}

async fn together(items: Items) -> Payload {
    Payload::new(items.outputs().flat_map(|output| output.bytes().to_vec()).collect::<Vec<u8>>())
}

/// Logs what it gets, and then as much again in one line, and fails with it.
async fn complain(context: Context, payload: Bytes) -> Result<Bytes> {
    let id = context.request_id();
    let text = String::from_utf8_lossy(&payload).into_owned();
    let mut lines = format!("{id}: {text}\n{id}: {}\n{id}: ", "long".repeat(1 << 18)).into_bytes();
    lines.extend_from_slice(b"\xff\xfe is not UTF-8\n");
    std::io::stderr().write_all(&lines)?;
    Err(Error::refused(text))
}

/// Creates a file in the folder that the query names, and waits for another file before it continues.
async fn gate(context: Context, payload: Bytes) -> Result<Bytes> {
    if let Some(folder) = context.query("gate") {
        let folder = Path::new(&folder);
        std::fs::write(folder.join("reached"), "")?;
        while !folder.join("open").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(payload)
}
