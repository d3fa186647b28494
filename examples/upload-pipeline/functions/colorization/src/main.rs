//! Tints a picture: POST a JPEG or PNG, get a JPEG in warm tones.

use std::io::Cursor;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use function_server::Refusal;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

/// The darkest and the brightest tone. The tones between are mixed from them.
const SHADOW: [f32; 3] = [36.0, 18.0, 52.0];
const LIGHT: [f32; 3] = [255.0, 226.0, 180.0];

fn colorize(picture: &[u8]) -> Result<Vec<u8>, Refusal> {
    let grey = image::load_from_memory(picture).map_err(Refusal::bad)?.into_luma8();
    let tinted = RgbImage::from_fn(grey.width(), grey.height(), |x, y| {
        let brightness = f32::from(grey.get_pixel(x, y).0[0]) / 255.0;
        Rgb([0, 1, 2].map(|channel: usize| (SHADOW[channel] + (LIGHT[channel] - SHADOW[channel]) * brightness) as u8))
    });
    let mut jpeg = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(&tinted).map_err(Refusal::bad)?;
    Ok(jpeg.into_inner())
}

async fn colorization(picture: Bytes) -> Result<impl IntoResponse, Refusal> {
    let jpeg = tokio::task::spawn_blocking(move || colorize(&picture)).await.map_err(Refusal::bad)??;
    Ok(([(CONTENT_TYPE, "image/jpeg")], jpeg))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    function_server::serve(axum::Router::new().route("/", post(colorization))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grey_picture_comes_out_warm_and_as_large() {
        let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../photos/portrait-bw.jpg");
        let tinted = colorize(&std::fs::read(photo).unwrap()).unwrap();
        let tinted = image::load_from_memory(&tinted).unwrap().into_rgb8();
        assert_eq!(tinted.dimensions(), (512, 512));
        let (mut red, mut blue) = (0u64, 0u64);
        for pixel in tinted.pixels() {
            red += u64::from(pixel.0[0]);
            blue += u64::from(pixel.0[2]);
        }
        assert!(red > blue + blue / 10, "{red} {blue}");
    }

    #[test]
    fn a_body_that_is_not_a_picture_is_refused() {
        assert!(colorize(b"no picture").is_err());
    }
}
