//! Makes a picture small: POST a JPEG or PNG, get a JPEG of at most 320 by 320 pixels (`?size=` for another length).

use axum::body::Bytes;
use axum::extract::Query;
use axum::response::Response;
use function_server::Refusal;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::Deserialize;

use crate::jpeg;

#[derive(Deserialize)]
pub(crate) struct Options {
    /// The length of the longer side, in pixels.
    size: Option<u32>,
}

/// Shrinks a picture until it fits into a box. A smaller picture stays as it is.
pub(crate) fn fit(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let scale = (f64::from(width) / f64::from(picture.width())).min(f64::from(height) / f64::from(picture.height()));
    if scale >= 1.0 {
        return picture.clone();
    }
    let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    resize(picture, scaled(picture.width()), scaled(picture.height()), FilterType::CatmullRom)
}

pub(crate) async fn thumbnail(Query(options): Query<Options>, picture: Bytes) -> Result<Response, Refusal> {
    let size = options.size.unwrap_or(320);
    if !(1..=4096).contains(&size) {
        return Err(Refusal::bad(format!("`size` is {size}; it must be 1 to 4096")));
    }
    jpeg::respond(move || Ok(fit(&jpeg::decode(&picture)?, size, size))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::photo;

    #[test]
    fn the_longer_side_fits() {
        let small = |name| fit(&jpeg::decode(&photo(name)).unwrap(), 320, 320).dimensions();
        assert_eq!(small("portrait.jpg"), (320, 320));
        assert_eq!(small("two-faces.jpg"), (320, 160));
        assert_eq!(small("rocket.jpg"), (320, 214));
    }

    #[test]
    fn a_small_picture_is_not_enlarged() {
        assert_eq!(fit(&RgbImage::new(20, 10), 320, 320).dimensions(), (20, 10));
    }
}
