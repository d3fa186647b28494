//! Finds the faces in a picture: POST a JPEG or PNG, get JSON.

use std::io::Cursor;
use std::sync::LazyLock;

use axum::Json;
use axum::body::Bytes;
use axum::routing::post;
use function_server::Refusal;
use rustface::{ImageData, Model};
use serde::Serialize;

/// The faces of a picture.
#[derive(Debug, Serialize)]
struct Detection {
    width: u32,
    height: u32,
    faces: Vec<Face>,
}

/// A face: its box in pixels, and how sure the detector is.
#[derive(Debug, Serialize)]
struct Face {
    x: i32,
    y: i32,
    width: u32,
    height: u32,
    score: f64,
}

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/model.bin"));
    rustface::read_model(Cursor::new(bytes)).expect("the model of the package is whole")
});

fn detect(picture: &[u8]) -> Result<Detection, Refusal> {
    let picture = image::load_from_memory(picture).map_err(Refusal::bad)?.into_luma8();
    let (width, height) = picture.dimensions();
    let mut detector = rustface::create_detector_with_model(MODEL.clone());
    detector.set_min_face_size(20);
    detector.set_score_thresh(2.0);
    detector.set_pyramid_scale_factor(0.8);
    detector.set_slide_window_step(4, 4);
    let faces = detector
        .detect(&ImageData::new(&picture, width, height))
        .iter()
        .map(|face| Face {
            x: face.bbox().x(),
            y: face.bbox().y(),
            width: face.bbox().width(),
            height: face.bbox().height(),
            score: face.score(),
        })
        .collect();
    Ok(Detection { width, height, faces })
}

async fn facedetect(picture: Bytes) -> Result<Json<Detection>, Refusal> {
    tokio::task::spawn_blocking(move || detect(&picture)).await.map_err(Refusal::bad)?.map(Json)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    function_server::serve(axum::Router::new().route("/", post(facedetect))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_photos_have_as_many_faces_as_their_readme_says() {
        let photos = concat!(env!("CARGO_MANIFEST_DIR"), "/../../photos/");
        for (photo, faces) in [("portrait.jpg", 1), ("portrait-bw.jpg", 1), ("two-faces.jpg", 2), ("rocket.jpg", 0)] {
            let found = detect(&std::fs::read(format!("{photos}{photo}")).unwrap()).unwrap();
            assert_eq!(found.faces.len(), faces, "{photo}");
        }
    }

    #[test]
    fn a_body_that_is_not_a_picture_is_refused() {
        assert_eq!(detect(b"no picture").unwrap_err().0, axum::http::StatusCode::BAD_REQUEST);
    }
}
