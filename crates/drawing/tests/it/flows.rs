//! Flows of every shape, which the tests draw.

use std::time::Duration;

use faasflow_core::description::Description;
use faasflow_core::{
    Branches, Call, Callback, Choice, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, Outcome,
};

pub(crate) fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

fn sync(function: &str) -> Call {
    Call::new(function).sync()
}

async fn decline(_: Context, failure: Failure) -> faasflow_core::Resolution {
    failure.decline()
}

/// One flow of every shape, with its name.
pub(crate) fn all() -> Vec<(&'static str, Description)> {
    let flows = [
        ("linear", linear()),
        ("parallel", call("facedetect").graph(three()).apply("notify")),
        ("diamond", call("scan").graph(diamond()).apply("notify")),
        ("n-shaped", Flow::builder().graph(n_shaped())),
        ("skipping", call("scan").graph(skipping()).apply("notify")),
        ("nested", nested()),
        ("choice", choice()),
        ("choice-in-parallel", choice_in_parallel()),
        ("for-each", for_each()),
        ("sub-flow", sub_flow()),
        ("inline", inline()),
        ("wide", call("split").graph(wide())),
        ("wide-phase", wide_phase()),
        ("long-names", long_names()),
        ("hostile", hostile()),
    ];
    flows.map(|(name, flow)| (name, describe(flow, name))).into()
}

pub(crate) fn describe(flow: FlowBuilder, name: &str) -> Description {
    Description::new(&flow.build().unwrap(), name)
}

fn linear() -> FlowBuilder {
    async fn keep(text: String) -> String {
        text
    }
    Flow::builder()
        .modify(keep)
        .apply("facedetect")
        .apply("resize")
        .apply(sync("colorify"))
        .callback(Callback::new("http://storage/bucket"))
        .on_failure(decline)
        .finally(async |_: Context, _: Outcome| ())
}

fn three() -> Graph {
    Graph::new()
        .branch("thumb", call("resize").apply(sync("watermark")))
        .branch("tags", call("classify").on_failure(decline))
        .branch("text", call("ocr").apply("translate"))
        .within("text", Duration::from_secs(30))
        .complete(Complete::Settled)
        .join(async |_: Branches| "joined")
}

fn diamond() -> Graph {
    Graph::new()
        .branch("read", call("read"))
        .branch("left", call("resize"))
        .branch("right", call("classify"))
        .branch("sheet", call("layout"))
        .after("left", ["read"])
        .after("right", ["read"])
        .after("sheet", ["left", "right"])
}

fn n_shaped() -> Graph {
    let graph = Graph::new().branch("a", call("a")).branch("b", call("b")).branch("c", call("c"));
    graph.branch("d", call("d")).after("c", ["a", "b"]).after("d", ["b"])
}

/// A flow with edges that pass a layer, which no box may cover.
fn skipping() -> Graph {
    let names = ["a", "b", "c", "d", "e", "f"];
    let graph = names.into_iter().fold(Graph::new(), |graph, name| graph.branch(name, call(name)));
    graph.after("b", ["a"]).after("c", ["b"]).after("d", ["a", "c"]).after("f", ["e", "c"])
}

fn nested() -> FlowBuilder {
    let inner = Graph::new().branch("small", call("resize")).branch("large", call("upscale").apply("sharpen"));
    let outer = Graph::new()
        .branch("pictures", call("decode").graph(inner))
        .branch("faces", call("detect").for_each(ForEach::new(call("crop").apply("tint")).at_most(4)))
        .branch("archive", Flow::builder().flow("store", call("compress").apply("upload")));
    call("fetch").graph(outer).apply("notify")
}

fn three_ways() -> Choice {
    Choice::new(async |_: String| "large")
        .branch("large", call("shrink").apply("sharpen"))
        .branch("small", Flow::builder())
        .otherwise(call("inspect"))
}

fn choice() -> FlowBuilder {
    call("measure").choose(three_ways()).apply("store").choose(three_ways())
}

fn choice_in_parallel() -> FlowBuilder {
    let graph = Graph::new().branch("picture", Flow::builder().choose(three_ways())).branch("tags", call("classify"));
    call("measure").graph(graph)
}

fn for_each() -> FlowBuilder {
    let each = ForEach::new(call("ocr").apply("translate").on_failure(decline))
        .split(async |text: String| vec![text])
        .at_most(16)
        .within(Duration::from_secs(90))
        .complete(Complete::TolerateShare(10))
        .collect(async |_: Items| "collected");
    call("scan").for_each(each).apply("bind")
}

fn sub_flow() -> FlowBuilder {
    call("scan").flow("archive", call("compress").apply("store").on_failure(decline)).apply("notify")
}

fn inline() -> FlowBuilder {
    let quick = |name| Flow::builder().apply(sync(name));
    let graph = Graph::new()
        .branch("thumb", quick("resize").apply(sync("watermark")))
        .branch("tags", quick("classify"))
        .branch("original", Flow::builder());
    let choice = Choice::new(async |_: String| "a").branch("a", quick("a")).branch("b", Flow::builder());
    Flow::builder()
        .apply(sync("scan"))
        .graph(graph)
        .choose(choice)
        .for_each(ForEach::new(quick("ocr")))
        .apply(sync("notify"))
        .apply("store")
}

fn wide() -> Graph {
    let add = |graph: Graph, number: usize| graph.branch(format!("part-{number}"), call(&format!("work-{number}")));
    (1..=12).fold(Graph::new(), add)
}

/// One phase with branches, items and a sub-flow, each with more steps than fit into a row.
fn wide_phase() -> FlowBuilder {
    let many = |name: &str| {
        (1..=12).fold(Flow::builder(), |flow, number| flow.apply(sync(&format!("{name}-with-a-name-{number}"))))
    };
    let inner = Graph::new().branch("left", many("left")).branch("right", many("right")).after("right", ["left"]);
    let graph = Graph::new().branch("long", many("step")).branch("nested", Flow::builder().graph(inner));
    Flow::builder().apply(sync("scan")).graph(graph).for_each(ForEach::new(many("item"))).flow("sub", many("sub"))
}

fn long_names() -> FlowBuilder {
    let long = "a-function-with-a-very-long-name-that-somebody-generated-from-the-path-of-its-file-in-the-repository";
    let graph = Graph::new()
        .branch("the branch that makes a thumbnail of each picture in the archive of the year", call(long))
        .branch("b", call("b"))
        .branch("c", call("c"))
        .after("c", ["the branch that makes a thumbnail of each picture in the archive of the year", "b"]);
    call(long).graph(graph).callback(Callback::new(format!("http://storage/{long}/{long}")))
}

fn hostile() -> FlowBuilder {
    let script = r#"<script>alert("x")</script>"#;
    let graph = Graph::new()
        .branch(script, call("a"))
        .branch("]]> --> %%{init}%% \"; }\n&amp; #quot; \\", call("b"))
        .branch("\u{1b}[31mred\u{202e}", call("c"))
        .branch("end", call("d").apply("e"));
    Flow::builder().flow(script, Flow::builder().graph(graph))
}
