//! `faasflow demo`: builds the photo pipeline, sends it photos and shows what becomes of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_core::code;
use faasflow_core::{duration, headers};
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

mod reports;

use reports::Reports;

/// Each photo with its expected result: a picture, or a refusal with this reason.
const PHOTOS: [(&str, Option<&str>); 4] = [
    ("portrait.jpg", None),
    ("portrait-bw.jpg", None),
    ("two-faces.jpg", Some("the photo shows 2 faces; exactly one is needed")),
    ("rocket.jpg", Some("the photo shows no face; exactly one is needed")),
];

/// How long one asynchronous request may take.
const PATIENCE: Duration = Duration::from_secs(60);

type Lines = Arc<Mutex<Vec<String>>>;

pub(crate) async fn run(demo: Demo) -> Result<(), Failure> {
    let mut stop = StopSignals::new()?;
    let example = example(&demo)?;
    let output = demo.output.clone().unwrap_or_else(|| example.join("../../target/demo"));
    std::fs::create_dir_all(output.join("pictures"))?;
    let output = output.canonicalize()?;

    let mut stack = Stack::read(&example)?;
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
        shown = show(&gateway, &example, &output, &lines) => shown,
    };
    if demo.keep && shown.is_ok() {
        invite(&gateway, &example)?;
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

async fn show(gateway: &RunningGateway, example: &Path, output: &Path, lines: &Lines) -> Result<(), Failure> {
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
    say!("\nThe pictures are in {}", output.join("pictures").display());
    if wrong == 0 {
        say!(
            "All eight requests ended as expected: four pictures, and four refusals of photos without exactly one face."
        );
        Ok(())
    } else {
        Err(Failure::failed(code::DEMO_FAILED, format!("{wrong} of eight requests did not end as expected"))
            .help("run the demo again if the machine was busy; otherwise please report the lines above"))
    }
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
    let text = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let reason = reason(&answer.body);
    Ok(End {
        id: text(headers::REQUEST_ID).to_owned(),
        outcome: text(headers::OUTCOME).to_owned(),
        picture: answer.status.is_success().then_some(answer.body),
        reason,
    })
}

async fn in_phases(client: &Client, reports: &Reports, flow: &str, photo: &str, body: Bytes) -> Result<End, Failure> {
    let mut sent = jpeg();
    let url = HeaderValue::from_str(&reports.url()).map_err(|error| {
        Failure::failed(code::BAD_REPORT_URL, "the callback URL of the demo cannot be used")
            .because(&error)
            .help("please report this, with the network addresses of the machine")
    })?;
    sent.insert(headers::CALLBACK_URL, url);
    let answer = client.send(Method::POST, &format!("/async-function/{flow}?file={photo}"), sent, body).await?;
    let id = answer.headers.get(headers::CALL_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if answer.status != http::StatusCode::ACCEPTED {
        let text = String::from_utf8_lossy(&answer.body);
        return Err(refused(answer.status, &answer.headers, &text));
    }
    let Some((outcome, body)) = reports.wait_for(id, PATIENCE).await else {
        let what = format!("request {id} did not end within {PATIENCE:?}");
        return Err(Failure::failed(code::DEMO_FAILED, what)
            .help("run the demo again if the machine was busy; otherwise please report the lines above"));
    };
    let mut end = End { id: id.to_owned(), reason: reason(&body), outcome, picture: None };
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

/// The lines about phases and steps that the flow logged for this request. They arrive through a pipe, so this waits
/// briefly for the last one.
async fn steps(id: &str, lines: &Lines) -> Vec<String> {
    let mark = format!("[Request `{id}`] ");
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let own: Vec<String> = {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().filter_map(|line| Some(line.split_once(&mark)?.1.to_owned())).collect()
        };
        let ended = own.iter().any(|line| line.starts_with("Completed"));
        if ended || Instant::now() > deadline {
            let is_step = |line: &String| line.starts_with("Executing phase") || line.starts_with("Executed ");
            return own.into_iter().filter(is_step).collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn invite(gateway: &RunningGateway, example: &Path) -> Result<(), Failure> {
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
    say!("Look at the queue:");
    say!("  curl {url}/system/queue");
    Ok(())
}

fn millis(took: Duration) -> String {
    duration::format(Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)))
}
