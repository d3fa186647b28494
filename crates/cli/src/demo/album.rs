//! The second part of the demo: sends all photos in one request to a flow with branches, which makes a contact sheet of them.

use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use faasflow_core::headers;
use http::{HeaderMap, HeaderValue, Method};

use super::lines::{Lines, logged, millis, text};
use super::reports::Reports;
use super::times;
use crate::client::{Client, refused};
use crate::error::Failure;
use crate::graph;

/// The same definition with synchronous and with asynchronous calls.
const FLOWS: [(&str, bool); 2] = [("photo-report", false), ("photo-report-async", true)];

/// Each photo with the number of faces that the report has to find in it.
const PHOTOS: [(&str, u64); 4] = [("portrait.jpg", 1), ("portrait-bw.jpg", 1), ("two-faces.jpg", 2), ("rocket.jpg", 0)];

/// How wide the drawing may be. It is indented by two more columns.
const WIDTH: usize = 78;

/// What this part of the demo needs from the first.
pub(super) struct Stage<'a> {
    pub(super) client: &'a Client,
    pub(super) reports: &'a Reports,
    /// The folder with the photos.
    pub(super) photos: &'a Path,
    /// The folder for the results.
    pub(super) output: &'a Path,
    /// What the flows logged.
    pub(super) lines: &'a Lines,
}

/// The end of a request: its outcome and its result.
struct End {
    id: String,
    outcome: String,
    body: Bytes,
}

/// Runs each flow and shows its report. Returns how many requests did not end as expected.
pub(super) async fn show(stage: &Stage<'_>) -> Result<usize, Failure> {
    let album = pack(stage.photos)?;
    say!("\nphoto-report: a flow with branches makes a contact sheet of the same photos");
    for line in drawn(stage.client).await?.lines() {
        say!("  {line}");
    }
    let mut wrong = 0;
    for (flow, asynchronous) in FLOWS {
        let how = if asynchronous { "with a phase for each branch" } else { "in one invocation" };
        say!("\n{flow}: four photos in one request, {how}");
        let begun = Instant::now();
        let end = match asynchronous {
            true => in_phases(stage, flow, album.clone()).await?,
            false => at_once(stage.client, flow, album.clone()).await?,
        };
        let took = millis(begun.elapsed());
        let found = unpack(&end);
        wrong += usize::from(found.is_err());
        let what = match &found {
            Ok(found) => format!("a contact sheet of {} bytes: 4 photos, 4 faces", found.sheet.len()),
            Err(fault) => format!("✗ {fault}"),
        };
        say!("  {:<16} {took:>6}  {:<8} {what}", "photos.tar", end.outcome);
        say!("    request {}", end.id);
        let lines = logged(&end.id, stage.lines).await;
        for (item, branches) in times::of_items(lines.iter().map(String::as_str)) {
            let photo = PHOTOS.get(item.wrapping_sub(1)).map_or("", |(photo, _)| photo);
            let branches: Vec<String> =
                branches.iter().map(|(branch, took)| format!("{branch} {:>4}ms", took.as_millis())).collect();
            say!("      {photo:<16} {}", branches.join("   "));
        }
        if let Ok(found) = found {
            let [sheet, report] = ["jpg", "json"].map(|kind| stage.output.join(format!("{flow}.{kind}")));
            std::fs::write(&sheet, found.sheet)?;
            std::fs::write(&report, found.report)?;
            say!("    sheet   {}\n    report  {}", sheet.display(), report.display());
        }
    }
    Ok(wrong)
}

/// The flow, as `faasflow graph photo-report` draws it.
async fn drawn(client: &Client) -> Result<String, Failure> {
    let [(flow, _), _] = FLOWS;
    let answer = client.send(Method::GET, &format!("/function/{flow}/_/flow"), HeaderMap::new(), Bytes::new()).await?;
    if !answer.status.is_success() {
        return Err(refused(answer.status, &answer.headers, &String::from_utf8_lossy(&answer.body)));
    }
    let description = graph::read(&answer.body, &format!("`{flow}`"), graph::EMPTY)?;
    Ok(faasflow_drawing::text(&description, WIDTH))
}

async fn at_once(client: &Client, flow: &str, album: Bytes) -> Result<End, Failure> {
    let answer = client.send(Method::POST, &format!("/function/{flow}"), tar(), album).await?;
    let header = |name| text(&answer.headers, name);
    Ok(End { id: header(headers::REQUEST_ID), outcome: header(headers::OUTCOME), body: answer.body })
}

async fn in_phases(stage: &Stage<'_>, flow: &str, album: Bytes) -> Result<End, Failure> {
    let mut sent = tar();
    sent.insert(headers::CALLBACK_URL, stage.reports.url()?);
    // The queue would refuse this album, because it is too large, so the request does not go to `/async-function`. Between the
    // phases, the gateway's store keeps payloads that are too large for the queue.
    let answer = stage.client.send(Method::POST, &format!("/function/{flow}"), sent, album).await?;
    if answer.status != http::StatusCode::ACCEPTED {
        return Err(refused(answer.status, &answer.headers, &String::from_utf8_lossy(&answer.body)));
    }
    let id = text(&answer.headers, headers::REQUEST_ID);
    let (outcome, body) = stage.reports.end_of(&id).await?;
    Ok(End { id, outcome, body })
}

fn tar() -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"))])
}

/// The photos as one archive.
fn pack(photos: &Path) -> Result<Bytes, Failure> {
    let mut archive = tar::Builder::new(Vec::new());
    for (photo, _) in PHOTOS {
        archive.append_path_with_name(photos.join(photo), photo)?;
    }
    Ok(archive.into_inner()?.into())
}

/// The files in the result of the flow.
#[derive(Debug, Default)]
struct Found {
    sheet: Vec<u8>,
    report: Vec<u8>,
}

/// Unpacks the result. The error says how it differs from the expected one.
fn unpack(end: &End) -> Result<Found, String> {
    if end.outcome != "success" {
        return Err(format!("a contact sheet was expected: {}", String::from_utf8_lossy(&end.body)));
    }
    let mut found = Found::default();
    let not_tar = |error: std::io::Error| format!("a tar archive was expected: {error}");
    for entry in tar::Archive::new(&end.body[..]).entries().map_err(not_tar)? {
        let mut entry = entry.map_err(not_tar)?;
        let file = match entry.path_bytes().as_ref() {
            b"sheet.jpg" => &mut found.sheet,
            b"report.json" => &mut found.report,
            other => return Err(format!("there is an unexpected file `{}`", String::from_utf8_lossy(other))),
        };
        entry.read_to_end(file).map_err(not_tar)?;
    }
    if !found.sheet.starts_with(&[0xff, 0xd8, 0xff]) {
        return Err("the contact sheet is not a JPEG".to_owned());
    }
    let report: serde_json::Value =
        serde_json::from_slice(&found.report).map_err(|error| format!("the report is not JSON: {error}"))?;
    let photos = report.as_array().map_or(&[][..], Vec::as_slice);
    let faces = photos.iter().map(|photo| (photo["name"].as_str(), photo["faces"].as_u64()));
    if faces.eq(PHOTOS.map(|(name, faces)| (Some(name), Some(faces)))) {
        Ok(found)
    } else {
        Err(format!("another report was expected: {report}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(files: &[(&str, &[u8])]) -> End {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, path, *bytes).unwrap();
        }
        End { id: String::new(), outcome: "success".to_owned(), body: archive.into_inner().unwrap().into() }
    }

    #[test]
    fn a_result_that_is_not_the_expected_one_is_a_fault() {
        let fault = |end: &End| unpack(end).err().unwrap();
        assert!(fault(&End { outcome: "failure".to_owned(), ..end(&[]) }).contains("a contact sheet was expected"));
        assert!(fault(&End { body: vec![7; 2000].into(), ..end(&[]) }).contains("a tar archive was expected"));
        assert!(fault(&end(&[("other", b"")])).contains("`other`"));
        assert!(fault(&end(&[("sheet.jpg", b"GIF89a"), ("report.json", b"[]")])).contains("not a JPEG"));
        let sheet = ("sheet.jpg", &[0xff, 0xd8, 0xff][..]);
        assert!(fault(&end(&[sheet, ("report.json", b"[]")])).contains("another report"));
        let photos = PHOTOS.map(|(name, faces)| serde_json::json!({ "name": name, "faces": faces }));
        let report = serde_json::to_vec(&photos).unwrap();
        assert_eq!(unpack(&end(&[sheet, ("report.json", &report)])).unwrap().report, report);
    }
}
