//! The upload pipeline in phases: each asynchronous call runs in a separate invocation. The result is posted to
//! file-storage, under the name in the query.

use faasflow::bytes::Bytes;
use faasflow::{Call, Context, DefinitionError, Error, Failure, Flow, Json, Outcome, Payload, Result};
use serde::Deserialize;

/// The answer of facedetect.
#[derive(Debug, Deserialize)]
pub struct Detection {
    faces: Vec<Face>,
}

#[derive(Debug, Deserialize)]
struct Face {}

/// The definition: three phases.
///
/// # Errors
///
/// If the definition is not valid.
pub fn define() -> Result<Flow, DefinitionError> {
    Flow::builder()
        .modify(keep_photo)
        .apply("facedetect")
        .modify(exactly_one_face)
        .apply("colorization")
        .apply("image-resizer")
        .apply(Call::new("file-storage").sync().query_with("file", |context| context.query("file")))
        .on_failure(explain)
        .finally(async |context: Context, _: Outcome| context.remove("raw-image").await)
        .build()
}

/// Keeps the photo for after the face detection. Refuses a request without a file name at once, because its picture could
/// not be stored in the end.
///
/// # Errors
///
/// If the query names no file, or the context cannot keep the photo.
pub async fn keep_photo(context: Context, photo: Bytes) -> Result<Bytes> {
    if context.query("file").is_none() {
        return Err(Error::refused("name the file to store the picture in: ?file=NAME.jpg"));
    }
    context.set_bytes("raw-image", photo.clone()).await?;
    Ok(photo)
}

/// Makes the photo the payload again if it shows one face, and removes it from the context.
///
/// # Errors
///
/// If the photo shows no face or several, or is no longer in the context.
pub async fn exactly_one_face(context: Context, Json(found): Json<Detection>) -> Result<Payload> {
    match found.faces.len() {
        1 => {}
        0 => return Err(Error::refused("the photo shows no face; exactly one is needed")),
        n => return Err(Error::refused(format!("the photo shows {n} faces; exactly one is needed"))),
    }
    let photo = context.get_bytes("raw-image").await?;
    let photo = photo.ok_or_else(|| Error::msg("the photo is not in the context"))?;
    context.remove("raw-image").await?;
    Ok(Payload::new(photo).with_content_type(context.header("content-type").as_deref().unwrap_or("image/jpeg")))
}

/// The report of a failure, which goes to `X-Faasflow-Callback-Url`.
async fn explain(context: Context, failure: Failure) -> faasflow::Resolution {
    failure.reply(Json(serde_json::json!({
        "request_id": context.request_id(),
        "file": context.query("file"),
        "phase": failure.phase(),
        "step": failure.step(),
        "reason": failure.reason(),
    })))
}
