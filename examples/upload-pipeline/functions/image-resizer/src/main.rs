//! Makes a picture smaller: POST a JPEG or PNG, get a JPEG of 20 % of its width and height (`?percent=` for another).

use std::io::Cursor;

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use function_server::Refusal;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use serde::Deserialize;

#[derive(Deserialize)]
struct Size {
    percent: Option<u32>,
}

fn resize(picture: &[u8], percent: u32) -> Result<Vec<u8>, Refusal> {
    if !(1..=100).contains(&percent) {
        return Err(Refusal::bad(format!("percent is {percent}: 1 to 100")));
    }
    let picture = image::load_from_memory(picture).map_err(Refusal::bad)?;
    let scaled = |length: u32| (u64::from(length) * u64::from(percent) / 100).max(1) as u32;
    let small =
        picture.resize_exact(scaled(picture.width()), scaled(picture.height()), FilterType::Triangle).into_rgb8();
    let mut jpeg = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(&small).map_err(Refusal::bad)?;
    Ok(jpeg.into_inner())
}

async fn image_resizer(Query(size): Query<Size>, picture: Bytes) -> Result<impl IntoResponse, Refusal> {
    let percent = size.percent.unwrap_or(20);
    let jpeg = tokio::task::spawn_blocking(move || resize(&picture, percent)).await.map_err(Refusal::bad)??;
    Ok(([(CONTENT_TYPE, "image/jpeg")], jpeg))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    function_server::serve(axum::Router::new().route("/", post(image_resizer))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_is_reduced_to_a_fifth() {
        let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../photos/rocket.jpg");
        let small = resize(&std::fs::read(photo).unwrap(), 20).unwrap();
        let small = image::load_from_memory(&small).unwrap();
        assert_eq!((small.width(), small.height()), (128, 85));
    }

    #[test]
    fn bad_input_is_refused() {
        assert!(resize(b"no picture", 20).is_err());
        assert!(resize(b"", 0).is_err());
    }
}
