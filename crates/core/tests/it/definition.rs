//! Definitions as users write them: what compiles, how it is planned, and how mistakes are reported.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::{
    Call, Callback, Context, DefinitionError, Error, Failure, Flow, Json, Method, Outcome, Result, Retry,
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Faces {
    faces: Vec<serde_json::Value>,
}

async fn exactly_one_face(context: Context, Json(found): Json<Faces>) -> Result<Bytes> {
    match found.faces.len() {
        1 => context.get_bytes("raw-image").await?.ok_or_else(|| Error::msg("the photo is not in the context")),
        n => Err(Error::refused(format!("exactly one face is needed, found {n}"))),
    }
}

/// The example of the design, line by line.
fn photo_pipeline() -> Result<Flow, DefinitionError> {
    Flow::builder()
        .modify(async |context: Context, photo: Bytes| {
            context.set("raw-image", photo.clone()).await?;
            Ok(photo)
        })
        .apply("facedetect")
        .modify(exactly_one_face)
        .apply(Call::new("compress").method(Method::POST).query("quality", "80"))
        .apply(Call::new("colorify").sync().header("accept", "image/jpeg").timeout(Duration::from_secs(30)))
        .apply(
            Call::new("audit")
                .sync()
                .query_with("auth-token", |context| context.query("token"))
                .header_with("x-name", |context| format!("{}.jpg", context.request_id()))
                .retry(Retry::attempts(3))
                .on_failure(async |_: Context, failure: Failure| failure.recover("unaudited"))
                .on_response(async |_: Context, response: faasflow_core::CallResponse| response.into_payload()),
        )
        .callback(Callback::new("storage.io/bucket?id=3345612358265349126"))
        .on_failure(async |context: Context, failure: Failure| {
            failure.reply(Json(serde_json::json!({ "id": context.request_id() })))
        })
        .finally(async |context: Context, _: Outcome| context.remove("raw-image").await)
        .build()
}

#[test]
fn the_photo_pipeline_is_planned_in_two_phases() {
    let flow = photo_pipeline().unwrap();
    assert_eq!(
        flow.plan().shape(),
        "[modifier, call facedetect, modifier] [call compress, call colorify, call audit, callback]"
    );
}

/// All faults at once, each with its step: an author should not meet them one by one.
#[test]
fn every_fault_of_a_definition_is_said_at_once() {
    let error = Flow::builder()
        .apply("face detect")
        .modify(async |_: ()| ())
        .callback("ftp://example.com")
        .callback("http://user:secret@example.com/x")
        .apply(Call::new("f").header("bad name", "x").header("x-a", "line\nbreak").timeout(Duration::ZERO))
        .finally(async |_: Context, _: Outcome| ())
        .finally(async |_: Context, _: Outcome| ())
        .build()
        .unwrap_err();
    let steps: Vec<_> = error.faults().iter().map(faasflow_core::Fault::step).collect();
    assert_eq!(steps, [None, Some(1), Some(3), Some(4), Some(5), Some(5), Some(5)]);
    let codes: Vec<_> = error.faults().iter().map(|fault| fault.code().as_str()).collect();
    assert_eq!(codes, ["FF0103", "FF0102", "FF0104", "FF0105", "FF0106", "FF0107", "FF0109"]);
    let text = format!("{error:?}");
    for part in [
        "error[FF0103]: `finally` is set twice (again at ",
        "step 1 (function `face detect`, crates/core/tests/it/definition.rs:",
        "`face detect` is not a valid function name\n  help: use only letters, digits, `-`, `_` and `.`",
        "its URL has the scheme `ftp`; only `http` and `https` are supported",
        "its URL contains credentials, which would end up in logs\n  help: remove them from the URL and send them in a header",
        "`bad name` is not a valid header name",
        "the value of the header `x-a` contains control characters",
        "a timeout of 0 would make every call fail",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

/// The Go original took options as headers. A flow that is ported word for word is told what to write.
#[test]
fn i3_an_option_that_is_written_as_a_header_is_refused() {
    for (name, value, instead) in [
        ("method", "put", ".method(Method::PUT)"),
        ("Method", "POST", ".method(Method::POST)"),
        ("METHOD", " delete ", ".method(Method::DELETE)"),
        ("http-method", "get", ".method(Method::GET)"),
        ("method", "fetch", ".method(Method::POST)"),
        ("query", "a=b", ".query(\"key\", \"value\")"),
        ("timeout", "10s", ".timeout(Duration::from_secs(30))"),
        ("retry", "3", ".retry(Retry::attempts(3))"),
        ("sync", "true", ".sync()"),
        ("on_failure", "x", ".on_failure(…)"),
        ("OnResponse", "x", ".on_response(…)"),
    ] {
        let error = Flow::builder()
            .apply(Call::new("f").header(name, value))
            .callback(Callback::new("http://example.com").header_with(name, |_: &Context| "x"))
            .build()
            .unwrap_err();
        assert_eq!(error.faults().len(), 2, "{error}");
        let said = format!("`{name}` is an option of the step, not a header\n  help: write `{instead}`");
        assert!(error.report().problems()[0].to_string().ends_with(&said), "{error:?}");
        assert!(error.faults()[1].to_string().contains("is an option of the step, not a header"), "{error}");
    }
    // Headers that functions have reason to expect.
    for name in ["x-method", "x-http-method-override", "request-timeout", "retry-after", "x-query", "allow"] {
        Flow::builder().apply(Call::new("f").header(name, "x")).build().unwrap();
    }
}

/// Defect 14: an empty flow panicked.
#[test]
fn defect_14_an_empty_flow_is_refused() {
    let error = Flow::builder().build().unwrap_err();
    assert_eq!(error.to_string(), "the flow cannot be built:\n  - the flow has no step");
    assert_eq!(
        format!("{:?}", Error::from(error)),
        "\
the flow cannot be built

error[FF0101]: the flow has no step
  help: add one with `apply`, `modify` or `callback`

For more about this error, run `faasflow explain FF0101`."
    );
}
