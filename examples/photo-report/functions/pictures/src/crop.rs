//! Cuts a part out of a picture: POST a tar archive with `picture` (a JPEG or PNG) and `box.json` (`x`, `y`, `width` and
//! `height` in pixels), get a JPEG. `?margin=` enlarges the box on each side, in percent of its size.

use axum::body::Bytes;
use axum::extract::Query;
use axum::response::Response;
use function_server::Refusal;
use image::RgbImage;
use image::imageops::crop_imm;
use serde::Deserialize;

use crate::files::Files;
use crate::jpeg;

#[derive(Deserialize)]
pub(crate) struct Options {
    /// In percent of the box's size.
    margin: Option<u32>,
}

/// A part of a picture, in pixels. It may reach beyond the picture's edge.
#[derive(Deserialize)]
struct Part {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

/// Cuts out the part and its margin, except where they reach beyond the picture's edge.
fn cut(picture: &RgbImage, part: &Part, margin: u32) -> Result<RgbImage, Refusal> {
    let range = |start: i64, length: i64, limit: u32| {
        let margin = length.saturating_mul(i64::from(margin)) / 100;
        let end = start.saturating_add(length).saturating_add(margin).clamp(0, i64::from(limit));
        let start = start.saturating_sub(margin).clamp(0, i64::from(limit));
        (start as u32, end.saturating_sub(start).max(0) as u32)
    };
    let (left, width) = range(part.x, part.width, picture.width());
    let (top, height) = range(part.y, part.height, picture.height());
    if width == 0 || height == 0 {
        return Err(Refusal::bad("the box is empty or lies outside the picture"));
    }
    Ok(crop_imm(picture, left, top, width, height).to_image())
}

pub(crate) async fn crop(Query(options): Query<Options>, archive: Bytes) -> Result<Response, Refusal> {
    let margin = options.margin.unwrap_or(0);
    if margin > 1000 {
        return Err(Refusal::bad(format!("`margin` is {margin}; it must be 0 to 1000")));
    }
    jpeg::respond(move || {
        let files = Files::read(&archive)?;
        let part: Part = serde_json::from_slice(files.require("box.json")?)
            .map_err(|error| Refusal::bad(format!("`box.json` is not a box: {error}")))?;
        cut(&jpeg::decode(files.require("picture")?)?, &part, margin)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::photo;

    fn cut_portrait(x: i64, y: i64, width: i64, height: i64, margin: u32) -> Result<(u32, u32), Refusal> {
        let picture = jpeg::decode(&photo("portrait.jpg")).unwrap();
        cut(&picture, &Part { x, y, width, height }, margin).map(|part| part.dimensions())
    }

    #[test]
    fn the_box_is_cut_out_with_its_margin() {
        assert_eq!(cut_portrait(100, 100, 80, 60, 0).unwrap(), (80, 60));
        assert_eq!(cut_portrait(100, 100, 80, 60, 25).unwrap(), (120, 90));
    }

    #[test]
    fn a_box_is_cut_off_at_the_edge() {
        assert_eq!(cut_portrait(-10, 500, 40, 40, 0).unwrap(), (30, 12));
        for (x, y, width, height) in [(600, 0, 10, 10), (0, 0, 0, 10), (0, 0, -5, 10), (i64::MAX, 0, i64::MAX, 10)] {
            assert!(cut_portrait(x, y, width, height, 10).is_err(), "{x} {y} {width} {height}");
        }
    }
}
