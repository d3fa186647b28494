//! `faasflow demo`: builds two examples, the photo pipeline and the photo report, sends them photos, and shows the results.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Instant;

use bytes::Bytes;
use faasflow_core::code;
use faasflow_core::headers;
use faasflow_gateway::{GatewayOptions, RunningGateway, Stack};
use faasflow_runtime::StopSignals;
use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::mpsc::unbounded_channel;

use crate::args::{Demo, Gateway};
use crate::checkout::BUILT_FROM;
use crate::client::{Client, refused};
use crate::error::Failure;
use crate::progress::Progress;
use crate::up::log_line;

mod album;
mod lines;
mod reports;
mod times;

use album::Stage;
use lines::{Lines, logged, millis, text};
use reports::{RUN_AGAIN, Reports};

/// Each photo with its expected result: a picture, or a refusal with this reason.
const PHOTOS: [(&str, Option<&str>); 4] = [
    ("portrait.jpg", None),
    ("portrait-bw.jpg", None),
    ("two-faces.jpg", Some("the photo shows 2 faces; exactly one is needed")),
    ("rocket.jpg", Some("the photo shows no face; exactly one is needed")),
];

pub(crate) async fn run(demo: Demo) -> Result<(), Failure> {
    let mut stop = StopSignals::new()?;
    let example = example(&demo)?;
    let output = demo.output.clone().unwrap_or_else(|| example.join("../../target/demo"));
    std::fs::create_dir_all(output.join("pictures"))?;
    let output = output.canonicalize()?;

    let mut stack = Stack::read(&example)?;
    let with_report = add_report(&mut stack, &example)?;
    let storage = output.join("storage");
    if let Some(spec) = stack.functions.get_mut("file-storage") {
        spec.environment.insert("storage_dir".to_owned(), storage.to_string_lossy().into_owned());
    }
    let mut options = GatewayOptions::new(stack);
    options.listen = SocketAddr::from(([127, 0, 0, 1], demo.port));
    options.state_dir = output.join("state");
    options.release = true;
    options.watch = false;
    let (events, mut happened) = unbounded_channel();
    let gateway = options.start(events).await?;
    say!("Running the photo pipeline of {} on a local gateway at {}.", example.display(), gateway.url());
    if !with_report {
        say!("There is no folder `{REPORT}` beside it, so the photo report is not run.");
    }
    say!("First, it builds and starts the functions, which takes a few minutes the first time.");
    let lines = Lines::default();
    let showing = tokio::spawn({
        let lines = lines.clone();
        async move {
            let mut progress = Progress::new(false);
            while let Some(event) = happened.recv().await {
                if let Some((_, line)) = log_line(&event) {
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
                }
                progress.show(&event);
            }
        }
    });
    let shown = tokio::select! {
        _ = stop.recv() => Err(Failure::failed(code::STOPPED, "the demo was interrupted before it was finished")
            .help("run it again to see its end")),
        shown = show(&gateway, &example, &output, &lines, with_report) => shown,
    };
    if demo.keep && shown.is_ok() {
        invite(&gateway, &example, with_report)?;
        stop.recv().await;
    }
    eprintln!("Stopping: finishing requests in flight. Press Ctrl-C again to stop at once");
    let shown = tokio::select! {
        () = gateway.stop() => shown,
        _ = stop.recv() => {
            Err(Failure::failed(code::STOPPED, "the demo was stopped at once, and requests in flight were cut off")
                .help("run it again to see its end"))
        }
    };
    showing.abort();
    shown
}

fn example(demo: &Demo) -> Result<PathBuf, Failure> {
    let help = "get a checkout of faasflow, and name its folder examples/upload-pipeline with `--example`";
    let built_from = || Some(Path::new(BUILT_FROM?).join("examples/upload-pipeline"));
    let Some(example) = demo.example.clone().or_else(built_from) else {
        return Err(Failure::unusable(code::NO_CHECKOUT, "the folder of the photo pipeline is not given")
            .because_text("the demo runs an example of the faasflow sources")
            .help(help));
    };
    example
        .canonicalize()
        .ok()
        .filter(|found| found.join("stack.yml").is_file() && found.join("photos").is_dir())
        .ok_or_else(|| {
            Failure::unusable(code::NO_CHECKOUT, format!("the photo pipeline is not in `{}`", example.display()))
                .because_text("the demo runs an example of the faasflow sources, which are not there")
                .help(help)
        })
}

/// The folder of the photo report, beside that of the photo pipeline.
const REPORT: &str = "photo-report";

/// Adds the functions of the photo report. Returns whether its folder is there.
fn add_report(stack: &mut Stack, example: &Path) -> Result<bool, Failure> {
    let folder = example.join("..").join(REPORT);
    if !folder.join("stack.yml").is_file() {
        return Ok(false);
    }
    let report = Stack::read(&folder.canonicalize()?)?;
    for (name, function) in report.functions {
        // Both use `facedetect`.
        stack.functions.entry(name).or_insert(function);
    }
    stack.environment_files.extend(report.environment_files);
    Ok(true)
}

async fn show(
    gateway: &RunningGateway,
    example: &Path,
    output: &Path,
    lines: &Lines,
    with_report: bool,
) -> Result<(), Failure> {
    gateway.ready().await?;
    let client = Client::new(&Gateway { gateway: gateway.url() })?;
    let reports = Reports::listen().await?;
    let mut wrong = 0;
    for (flow, asynchronous) in [("upload-pipeline", false), ("upload-pipeline-async", true)] {
        let how = if asynchronous { "asynchronously, in phases through the queue" } else { "synchronously" };
        say!("\n{flow}: four photos, {how}");
        for (photo, refusal) in PHOTOS {
            let body = Bytes::from(std::fs::read(example.join("photos").join(photo))?);
            let begun = Instant::now();
            let end = if asynchronous {
                in_phases(&client, &reports, flow, photo, body).await?
            } else {
                at_once(&client, flow, body).await?
            };
            let fault = judge(&end, refusal);
            wrong += usize::from(fault.is_some());
            say!("  {photo:<16} {:>6}  {}", millis(begun.elapsed()), describe(&end, fault.as_deref()));
            say!("    request {}", end.id);
            for line in steps(&end.id, lines).await {
                say!("      {line}");
            }
            if let Some(picture) = end.picture {
                let path = output.join("pictures").join(format!("{flow}-{photo}"));
                std::fs::write(&path, picture)?;
                say!("    picture {}", path.display());
            }
        }
    }
    let (photos, pictures) = (example.join("photos"), output.join("pictures"));
    if with_report {
        let (photos, output) = (&photos, &pictures);
        wrong += album::show(&Stage { client: &client, reports: &reports, photos, output, lines }).await?;
    }
    say!("\nThe pictures are in {}", pictures.display());
    if wrong > 0 {
        let requests = if with_report { "ten" } else { "eight" };
        return Err(Failure::failed(
            code::DEMO_FAILED,
            format!("{wrong} of {requests} requests did not end as expected"),
        )
        .help(RUN_AGAIN));
    }
    say!("All eight requests ended as expected: four pictures, and four refusals of photos without exactly one face.");
    if with_report {
        say!("Both reports did too: a contact sheet each, with one face, one face, two faces and none.");
    }
    Ok(())
}

/// The end of a request.
pub(crate) struct End {
    id: String,
    outcome: String,
    picture: Option<Bytes>,
    reason: Option<String>,
}

async fn at_once(client: &Client, flow: &str, photo: Bytes) -> Result<End, Failure> {
    let answer = client.send(Method::POST, &format!("/function/{flow}"), jpeg(), photo).await?;
    let reason = reason(&answer.body);
    Ok(End {
        id: text(&answer.headers, headers::REQUEST_ID),
        outcome: text(&answer.headers, headers::OUTCOME),
        picture: answer.status.is_success().then_some(answer.body),
        reason,
    })
}

async fn in_phases(client: &Client, reports: &Reports, flow: &str, photo: &str, body: Bytes) -> Result<End, Failure> {
    let mut sent = jpeg();
    sent.insert(headers::CALLBACK_URL, reports.url()?);
    let answer = client.send(Method::POST, &format!("/async-function/{flow}?file={photo}"), sent, body).await?;
    let id = text(&answer.headers, headers::CALL_ID);
    if answer.status != http::StatusCode::ACCEPTED {
        let text = String::from_utf8_lossy(&answer.body);
        return Err(refused(answer.status, &answer.headers, &text));
    }
    let (outcome, body) = reports.end_of(&id).await?;
    let mut end = End { id, reason: reason(&body), outcome, picture: None };
    if end.outcome == "success" {
        let path = format!("/function/file-storage/{photo}");
        let stored = client.send(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
        end.picture = stored.status.is_success().then_some(stored.body);
    }
    Ok(end)
}

fn jpeg() -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"))])
}

fn reason(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body["reason"].as_str().map(str::to_owned)
}

/// Compares an end with the expected one; returns what differs.
fn judge(end: &End, refusal: Option<&str>) -> Option<String> {
    match refusal {
        None => match &end.picture {
            Some(picture) if end.outcome == "success" && picture.starts_with(&[0xff, 0xd8, 0xff]) => None,
            _ => Some("a picture was expected".to_owned()),
        },
        Some(expected) => {
            let refused = end.outcome == "failure" && end.reason.as_deref() == Some(expected);
            (!refused).then(|| format!("a refusal was expected: {expected}"))
        }
    }
}

fn describe(end: &End, fault: Option<&str>) -> String {
    let what = match (&end.picture, &end.reason) {
        (Some(picture), _) => format!("a picture of {} bytes", picture.len()),
        (None, Some(reason)) => format!("refused: {reason}"),
        (None, None) => "neither a picture nor a reason".to_owned(),
    };
    let fault = fault.map(|fault| format!("  ✗ {fault}")).unwrap_or_default();
    format!("{:<8} {what}{fault}", end.outcome)
}

/// The lines about phases and steps that the flow logged for this request.
async fn steps(id: &str, lines: &Lines) -> Vec<String> {
    let is_step = |line: &String| line.starts_with("Executing phase") || line.starts_with("Executed ");
    logged(id, lines).await.into_iter().filter(is_step).collect()
}

fn invite(gateway: &RunningGateway, example: &Path, with_report: bool) -> Result<(), Failure> {
    let (url, photos) = (gateway.url(), example.join("photos"));
    say!("\nThe gateway keeps running at {url} until you press Ctrl-C. Try, in another terminal:");
    say!("Get a picture:");
    say!("  curl {url}/function/upload-pipeline --data-binary @{}/portrait.jpg -o small.jpg", photos.display());
    say!("See how a photo is refused:");
    say!("  curl -i {url}/function/upload-pipeline --data-binary @{}/two-faces.jpg", photos.display());
    say!("Send a photo through the queue, and list the stored pictures:");
    say!(
        "  curl -i '{url}/async-function/upload-pipeline-async?file=mine.jpg' --data-binary @{}/portrait.jpg",
        photos.display()
    );
    say!("  curl {url}/function/file-storage/");
    if with_report {
        say!("Make a contact sheet of two photos:");
        let report = format!("{url}/function/photo-report");
        say!("  tar -c -C {} portrait.jpg two-faces.jpg | curl {report} --data-binary @- | tar -x", photos.display());
    }
    say!("Look at the queue:");
    say!("  curl {url}/system/queue");
    Ok(())
}
