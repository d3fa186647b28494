//! The guide shows flows as this crate draws them.

use faasflow_core::{Choice, Flow, FlowBuilder, Graph};
use faasflow_drawing::text;

use crate::flows::{call, describe};

#[test]
fn the_drawings_in_the_guide_are_up_to_date() {
    let graph = Graph::new()
        .branch("thumb", call("resize"))
        .branch("tags", call("classify"))
        .branch("archive", call("compress").apply("store"))
        .branch("sheet", call("layout"))
        .after("sheet", ["thumb", "tags"]);
    let choice = Choice::new(async |_: String| "large")
        .branch("large", call("shrink").apply("sharpen"))
        .branch("small", Flow::builder());
    shows(include_str!("../../../../docs/guide/graphs.md"), Flow::builder().graph(graph).apply("notify"));
    shows(include_str!("../../../../docs/guide/choices.md"), Flow::builder().choose(choice).apply("publish"));
}

fn shows(page: &str, flow: FlowBuilder) {
    let drawn = text(&describe(flow, "photos"), 80);
    // The page leaves out the last line, which has the fingerprint.
    let (tree, _) = drawn.split_once("state: ").unwrap();
    assert!(page.contains(&format!("```text\n{tree}```")), "{drawn}");
}
