//! Definitions as users write them: what compiles, how it is planned, and what is said about mistakes.

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
