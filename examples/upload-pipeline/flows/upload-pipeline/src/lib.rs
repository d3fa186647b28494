//! Turns a photo that shows exactly one face into a small tinted picture, in one invocation.

use faasflow::bytes::Bytes;
use faasflow::{Call, Context, DefinitionError, Error, Flow, Json, Payload, Result};
use serde::Deserialize;

/// The answer of facedetect.
#[derive(Debug, Deserialize)]
struct Detection {
    faces: Vec<Face>,
}

#[derive(Debug, Deserialize)]
struct Face {}

/// The definition: every call is synchronous, so there is one phase.
///
/// # Errors
///
/// If the definition is not valid.
pub fn define() -> Result<Flow, DefinitionError> {
    Flow::builder()
        .modify(keep_photo)
        .apply(Call::new("facedetect").sync())
        .modify(exactly_one_face)
        .apply(Call::new("colorization").sync())
        .apply(Call::new("image-resizer").sync())
        .finally(async |context: Context, _outcome| context.remove("raw-image").await)
        .build()
}

async fn keep_photo(context: Context, photo: Bytes) -> Result<Bytes> {
    context.set_bytes("raw-image", photo.clone()).await?;
    Ok(photo)
}

/// Returns the photo if it shows one face.
async fn exactly_one_face(context: Context, Json(found): Json<Detection>) -> Result<Payload> {
    match found.faces.len() {
        1 => {}
        0 => return Err(Error::refused("the photo shows no face; exactly one is needed")),
        n => return Err(Error::refused(format!("the photo shows {n} faces; exactly one is needed"))),
    }
    let photo = context.get_bytes("raw-image").await?;
    let photo = photo.ok_or_else(|| Error::msg("the photo is not in the context"))?;
    Ok(Payload::new(photo).with_content_type(context.header("content-type").as_deref().unwrap_or("image/jpeg")))
}
