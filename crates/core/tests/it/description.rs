//! The description of a flow, which `describe`, `GET /_/flow` and drawings are made of.

use std::time::Duration;

use faasflow_core::description::{Description, DescriptionError};
use faasflow_core::{
    Branches, Call, CallResponse, Callback, Choice, Complete, Context, Failure, Flow, ForEach, Graph, Items, Method,
    Outcome, Retry,
};

/// Every version of the format, as programs have written it. Command lines read the descriptions of older flows, so these
/// files never change.
const VERSION_1: &str = include_str!("../golden/description-1.json");
const VERSION_2: &str = include_str!("../golden/description-2.json");

#[test]
fn the_description_has_all_of_a_definition_but_the_values_of_headers_and_queries() {
    async fn check(text: String) -> String {
        text
    }
    let compress = Call::new("compress")
        .sync()
        .method(Method::PUT)
        .header("authorization", "secret")
        .query("token", "secret")
        .query_with("file", |context| context.query("file"))
        .timeout(Duration::from_millis(1500))
        .retry(Retry::attempts(3))
        .on_failure(async |_: Context, failure: Failure| failure.decline())
        .on_response(async |_: Context, response: CallResponse| response.into_payload());
    let flow = Flow::builder()
        .modify(check)
        .apply("facedetect")
        .apply(compress)
        .apply("colorify")
        .callback(Callback::new("storage.io/bucket?token=secret").header("x-key", "secret"))
        .on_failure(async |_: Context, failure: Failure| failure.decline())
        .finally(async |_: Context, _: Outcome| ())
        .build()
        .unwrap();
    let description = Description::new(&flow, "photos");
    let json = serde_json::to_string_pretty(&description).unwrap();
    assert!(!json.contains("secret"), "{json}");
    assert_eq!(json + "\n", VERSION_1);
    assert_eq!(Description::from_json(VERSION_1.as_bytes()).unwrap(), description, "it reads back");
}

#[test]
fn the_smallest_flow_has_the_smallest_description() {
    let flow = Flow::builder().apply("f").build().unwrap();
    let json = serde_json::to_string(&Description::new(&flow, "")).unwrap();
    insta::assert_snapshot!(json, @r#"{"name":"","fingerprint":"87d6544cd7218acb84db370d57ecc7cd","phases":[{"number":1,"steps":[{"number":1,"name":"function `f`","kind":"call","function":"f","sync":false}]}],"state":"envelope","on_failure":false,"finally":false}"#);
}

fn call(function: &str) -> faasflow_core::FlowBuilder {
    Flow::builder().apply(function)
}

/// A flow whose description has every field of version 2.
fn branched() -> Flow {
    let inline = [("x", Flow::builder().apply(Call::new("x").sync())), ("y", Flow::builder())];
    let graph = Graph::new()
        .branch("thumb", call("resize").apply("watermark"))
        .branch("tags", call("classify").on_failure(async |_: Context, failure: Failure| failure.decline()))
        .branch("sheet", call("layout"))
        .after("sheet", ["thumb", "tags"])
        .within("tags", Duration::from_secs(30))
        .complete(Complete::AtLeast(2))
        .join(async |_: Branches| "joined");
    let choice = Choice::new(async |_: String| "large")
        .branch("large", call("shrink"))
        .branch("small", Flow::builder())
        .otherwise(call("inspect"));
    let for_each = ForEach::new(call("ocr").on_failure(async |_: Context, failure: Failure| failure.decline()))
        .split(async |text: String| vec![text])
        .at_most(16)
        .within(Duration::from_millis(1500))
        .complete(Complete::Settled)
        .collect(async |_: Items| "collected");
    Flow::builder()
        .parallel(inline)
        .graph(graph)
        .choose(choice)
        .for_each(for_each)
        .flow("archive", call("compress").apply("store"))
        .on_failure(async |_: Context, failure: Failure| failure.decline())
        .build()
        .unwrap()
}

#[test]
fn a_flow_with_flows_inside_it_is_a_tree() {
    let description = Description::new(&branched(), "photos");
    let json = serde_json::to_string_pretty(&description).unwrap() + "\n";
    assert_eq!(json, VERSION_2, "{json}");
    assert_eq!(Description::from_json(VERSION_2.as_bytes()).unwrap(), description, "it reads back");
    let numbers: Vec<usize> = description.phases().map(|phase| phase.number).collect();
    assert_eq!(numbers, (1..=branched().plan().phase_count()).collect::<Vec<_>>());
    let numbers: Vec<usize> = description.steps().map(|step| step.number).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    assert!(!description.is_linear() && description.needs_store());
}

#[test]
fn a_description_agrees_with_the_plan() {
    let sync = || Flow::builder().apply(Call::new("f").sync());
    let choice = |body| Choice::new(async |_: String| "a").branch("a", body);
    for flow in [
        call("f"),
        Flow::builder().parallel([("a", sync())]),
        Flow::builder().parallel([("a", call("f"))]),
        Flow::builder().choose(choice(sync())),
        Flow::builder().choose(choice(call("f"))),
        Flow::builder().for_each(ForEach::new(sync())),
        Flow::builder().for_each(ForEach::new(call("f"))),
        Flow::builder().flow("a", call("f").apply("g")),
        Flow::builder().flow("a", Flow::builder().flow("b", call("f").parallel([("a", call("f"))]))),
    ] {
        let flow = flow.build().unwrap();
        let description = Description::new(&flow, "f");
        assert_eq!(description.needs_store(), flow.plan().needs_store(), "{flow:?}");
        assert_eq!(description.is_linear(), flow.plan().is_linear(), "{flow:?}");
        assert_eq!(description.phases().len(), flow.plan().phase_count(), "{flow:?}");
    }
}

/// Reads a description like programs that only knew version 1.
#[derive(Debug, serde::Deserialize)]
struct FirstReader {
    #[expect(dead_code, reason = "only read")]
    phases: Vec<serde_json::Value>,
}

#[test]
fn a_reader_of_version_1_reports_that_it_is_too_old() {
    let error = serde_json::from_str::<FirstReader>(VERSION_2).unwrap_err().to_string();
    let says = "invalid type: string \"this is version 2, which has `body` instead: update the program that reads it\", expected a sequence";
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn a_later_version_is_reported() {
    let later = r#"{"version": 3, "name": ["of", "another", "type"]}"#;
    let error = Description::from_json(later.as_bytes()).unwrap_err();
    assert!(matches!(error, DescriptionError::Newer { version: 3 }));
    assert_eq!(error.to_string(), "the description is version 3, and this program reads versions up to 2");
}

#[test]
fn an_unreadable_description_says_what_is_wrong() {
    let error = |json: &str| {
        let error = Description::from_json(json.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "it is not the description of a flow");
        std::error::Error::source(&error).unwrap().to_string()
    };
    let unknown = VERSION_2.replace(r#""kind": "choice""#, r#""kind": "loop""#);
    insta::assert_snapshot!(error(&unknown), @"an element is of the unknown kind `loop` at line 168 column 4");
    insta::assert_snapshot!(error(r#"{"name": "f"}"#), @"missing field `fingerprint` at line 1 column 13");
    insta::assert_snapshot!(error(""), @"EOF while parsing a value at line 1 column 0");
}
