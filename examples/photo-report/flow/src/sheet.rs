//! The end of the flow: the contact sheet and the report, made from the same files at the same time.

use std::collections::BTreeMap;

use faasflow::bytes::Bytes;
use faasflow::{Branches, Flow, Graph, Json, Result};
use serde::Serialize;

use crate::Calls;
use crate::archive::Archive;
use crate::faces;

/// The entry of a photo in the report.
#[derive(Debug, Default, Serialize)]
struct Photo {
    name: String,
    caption: String,
    faces: usize,
    palette: serde_json::Value,
}

/// Takes the archive of all photos and returns one of `sheet.jpg` and `report.json`.
pub(crate) fn sheet_and_report(calls: Calls) -> Graph {
    Graph::new()
        .branch("sheet", Flow::builder().apply(calls.call("contact-sheet")))
        .branch("report", Flow::builder().modify(report))
        .join(async |mut branches: Branches| {
            let (sheet, report) = (branches.take::<Bytes>("sheet")?, branches.take::<Bytes>("report")?);
            Ok::<_, faasflow::Error>(Archive::default().with("sheet.jpg", sheet).with("report.json", report))
        })
}

/// Describes each folder of the archive.
async fn report(archive: Archive) -> Result<Json<Vec<Photo>>> {
    let mut photos: BTreeMap<&str, Photo> = BTreeMap::new();
    for (path, bytes) in archive.files() {
        let Some((folder, file)) = path.split_once('/') else { continue };
        let photo = photos.entry(folder).or_default();
        match file {
            "caption.txt" => {
                let text = String::from_utf8_lossy(bytes);
                let (name, caption) = text.split_once('\n').unwrap_or((&text, ""));
                (photo.name, photo.caption) = (name.to_owned(), caption.to_owned());
            }
            "palette.json" => photo.palette = serde_json::from_slice(bytes)?,
            file => photo.faces += faces::count([file].into_iter()),
        }
    }
    Ok(Json(photos.into_values().collect()))
}
