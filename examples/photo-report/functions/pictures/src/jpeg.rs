//! Decodes and encodes pictures.

use std::io::Cursor;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use function_server::Refusal;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

/// Decodes a JPEG or PNG.
pub(crate) fn decode(picture: &[u8]) -> Result<RgbImage, Refusal> {
    Ok(image::load_from_memory(picture).map_err(Refusal::bad)?.into_rgb8())
}

/// Encodes a picture as JPEG.
pub(crate) fn encode(picture: &RgbImage) -> Result<Vec<u8>, Refusal> {
    let mut jpeg = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(picture).map_err(Refusal::bad)?;
    Ok(jpeg.into_inner())
}

/// Makes a picture on a thread for long computations, and answers with it as JPEG.
pub(crate) async fn respond(
    make: impl FnOnce() -> Result<RgbImage, Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let jpeg = tokio::task::spawn_blocking(move || encode(&make()?)).await.map_err(Refusal::bad)??;
    Ok(([(CONTENT_TYPE, "image/jpeg")], jpeg).into_response())
}
