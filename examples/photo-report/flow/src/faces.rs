//! The branch of a photo that finds its faces, cuts them out and tints them.

use faasflow::bytes::Bytes;
use faasflow::{Branches, Call, Choice, Error, Flow, FlowBuilder, ForEach, Graph, IntoPayload, Items, Payload, Result};
use serde::{Deserialize, Serialize};

use crate::Calls;
use crate::archive::Archive;

/// The answer of `facedetect`.
#[derive(Debug, Deserialize)]
struct Found {
    faces: Vec<Face>,
}

/// The box around a face, in pixels.
#[derive(Debug, Deserialize, Serialize)]
struct Face {
    x: i32,
    y: i32,
    width: u32,
    height: u32,
}

/// Takes a photo and returns an archive of details: a portrait of a single face, a close-up of each of several faces, or the
/// whole photo in green if there is no face.
pub(crate) fn faces(calls: Calls) -> FlowBuilder {
    let cut = |margin, tone| {
        Flow::builder().apply(calls.call("crop").query("margin", margin)).apply(calls.call("tint").query("tone", tone))
    };
    Flow::builder().graph(photo_and_boxes()).choose(
        Choice::new(how_many)
            .branch(
                "none",
                Flow::builder().modify(photo).apply(calls.call("tint").query("tone", "green")).modify(whole),
            )
            .branch("one", Flow::builder().modify(only_face).flow("portrait", cut("60", "sepia")).modify(one))
            .branch(
                "several",
                Flow::builder().for_each(ForEach::new(cut("20", "blue")).split(each_face).collect(several)),
            ),
    )
}

/// Finds the boxes and keeps the photo beside them. The call is synchronous so that this takes one invocation.
fn photo_and_boxes() -> Graph {
    Graph::new()
        .branch("photo", Flow::builder())
        .branch("boxes", Flow::builder().apply(Call::new("facedetect").sync()))
        .join(async |mut branches: Branches| {
            let (photo, boxes) = (branches.take::<Bytes>("photo")?, branches.take::<Bytes>("boxes")?);
            Ok(Archive::default().with("picture", photo).with("boxes.json", boxes))
        })
}

async fn how_many(archive: Archive) -> Result<&'static str> {
    Ok(match boxes(&archive)?.len() {
        0 => "none",
        1 => "one",
        _ => "several",
    })
}

/// The boxes from left to right.
fn boxes(archive: &Archive) -> Result<Vec<Face>> {
    let mut found: Found = serde_json::from_slice(archive.file("boxes.json")?)?;
    found.faces.sort_by_key(|face| (face.x, face.y));
    Ok(found.faces)
}

async fn photo(archive: Archive) -> Result<Bytes> {
    archive.file("picture").cloned()
}

/// An archive of the photo and one box for each face, which `crop` expects.
async fn each_face(archive: Archive) -> Result<Vec<Payload>> {
    let photo = archive.file("picture")?;
    let with_box = |face: &Face| {
        let face = serde_json::to_vec(face)?;
        Archive::default().with("picture", photo.clone()).with("box.json", face).into_payload()
    };
    boxes(&archive)?.iter().map(with_box).collect()
}

/// The photo with its only box.
async fn only_face(archive: Archive) -> Result<Payload> {
    each_face(archive).await?.pop().ok_or_else(|| Error::msg("there is no box"))
}

async fn whole(photo: Bytes) -> Archive {
    Archive::default().with("whole.jpg", photo)
}

async fn one(face: Bytes) -> Archive {
    Archive::default().with("face-1.jpg", face)
}

async fn several(items: Items) -> Result<Archive> {
    let faces = items.take_all::<Bytes>()?.into_iter().zip(1..);
    Ok(faces.fold(Archive::default(), |all, (face, number)| all.with(format!("face-{number}.jpg"), face)))
}

/// The number of these files that show a face.
pub(crate) fn count<'a>(paths: impl Iterator<Item = &'a str>) -> usize {
    paths.filter(|path| path.contains("/face-")).count()
}

/// The caption of a photo with this many faces.
pub(crate) fn caption(faces: usize) -> String {
    match faces {
        0 => "no face, tinted as a whole".to_owned(),
        1 => "one face, as a portrait".to_owned(),
        several => format!("{several} faces, each close up"),
    }
}
