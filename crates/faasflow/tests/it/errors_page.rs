//! The examples in the reference of errors show what the program really prints.

use std::time::Duration;

use faasflow::code::{self, Code};
use faasflow::{Call, Complete, Context, DefinitionError, Flow, ForEach, Graph, Outcome, StateError};
use faasflow_core::envelope::EnvelopeError;
use faasflow_core::signature::SignatureError;

#[path = "../../../core/tests/support/errors_page.rs"]
mod page;

use page::example;

/// Removes the file and line of a definition: those of a test are not those of the page.
fn without_places(text: &str) -> String {
    let word = |word: &str| match word.split_once(".rs:") {
        Some((_, line)) => format!("FILE{}", line.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Fails unless the page shows exactly this error.
#[track_caller]
fn assert_shown(code: Code, error: &str) {
    assert_eq!(without_places(&example(code)), without_places(error), "the example of {code}");
}

/// Fails unless the page shows an answer or a log line with this text.
#[track_caller]
pub(crate) fn assert_quoted(code: Code, text: &str) {
    let example = example(code);
    assert!(example.contains(text), "the example of {code} does not contain `{text}`:\n{example}");
}

#[test]
fn examples_about_definitions_are_real() {
    let error = Flow::builder()
        .secret("card/number")
        .apply("face detect")
        .apply(Call::new("compress").header("method", "put"))
        .callback("ftp://example.com")
        .callback("https://user:password@example.com/")
        .apply(Call::new("audit").header("bad name", "x").header("x-a", "line\nbreak").timeout(Duration::ZERO))
        .finally(async |_: Context, _: Outcome| ())
        .finally(async |_: Context, _: Outcome| ())
        .build()
        .unwrap_err();
    let empty = Flow::builder().build().unwrap_err();
    let nested = faults_of_nested_flows();
    let reports = [empty.report(), error.report(), nested.report()];
    let mut shown = Vec::new();
    for problem in reports.iter().flat_map(faasflow_core::Report::problems) {
        assert_shown(problem.code(), &problem.to_string());
        shown.push(problem.code().as_str());
    }
    shown.sort_unstable();
    let all = Code::all().iter().map(|code| code.as_str()).filter(|code| code.starts_with("FF01"));
    assert!(all.eq(shown.iter().copied()), "only these codes are compared: {shown:?}");
}

/// One fault of each kind that a flow inside a flow can have.
fn faults_of_nested_flows() -> DefinitionError {
    let call = || Flow::builder().apply("resize");
    let three = || Graph::new().branch("thumb", call()).branch("tags", call()).branch("sheet", call());
    let deep = (0..9).fold(call(), |inner, _| Flow::builder().for_each(ForEach::new(inner)));
    Flow::builder()
        .graph(three().branch("tags", call()))
        .graph(three().after("sheet", ["thumbs"]))
        .graph(Graph::new().branch("a", call()).branch("b", call()).after("a", ["b"]).after("b", ["a"]))
        .graph(Graph::new())
        .parallel([("tags", call().finally(async |_: Context, _: Outcome| ()))])
        .for_each(ForEach::new(call()).at_most(0))
        .graph(three().complete(Complete::AtLeast(4)))
        .for_each(ForEach::new(call()).within(Duration::ZERO))
        .flow("a", Flow::builder().parallel([("b", deep)]))
        .build()
        .unwrap_err()
}

#[test]
fn examples_about_envelopes_and_signatures_are_real() {
    let error = EnvelopeError::Version(3);
    assert_quoted(error.code(), &error.to_string());
    assert_quoted(error.code(), error.help().unwrap());
    let error = EnvelopeError::Malformed("a section is longer than the envelope");
    assert_quoted(error.code(), &error.to_string());
    for error in [SignatureError::Missing, SignatureError::Malformed, SignatureError::Wrong] {
        assert_quoted(error.code(), &format!("{error}: {}", error.help()));
    }
}

#[test]
fn examples_about_state_are_real() {
    let error = StateError::unsupported("conditional writes");
    assert_eq!(error.code(), code::STATE_UNSUPPORTED);
    assert_shown(error.code(), &error.problem().to_string());
}
