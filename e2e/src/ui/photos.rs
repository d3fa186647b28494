//! The photo pipeline and the photo report of the examples, as their pages show them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::process::Command;

use super::checks::Visit;
use super::held::Held;
use crate::client::Client;
use crate::photos::{self, is_jpeg, photo};
use crate::server::{Recipe, Server, free_port};
use crate::suite::{Suite, expect};

/// How long the start may take, which builds the examples.
const BUILD: Duration = Duration::from_secs(1200);
const PIPELINE: &str = "upload-pipeline-async";
const REPORT: &str = "photo-report-async";

/// `faasflow up` with the functions and flows of the demo.
struct Demo {
    url: String,
    client: Client,
    up: Server,
    folder: PathBuf,
}

pub(super) async fn run(suite: &Suite, visit: &Visit) -> Result<(), String> {
    suite.heading("The demo's flows in Chromium");
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let demo = tokio::time::timeout(BUILD, Demo::start(folder.path())).await;
    let demo = Arc::new(demo.map_err(|_| format!("the demo was not built within {BUILD:?}"))??);
    macro_rules! checks {
        ($($name:literal => $check:ident,)*) => {
            $({
                let (visit, demo) = (visit.clone(), demo.clone());
                suite.check($name, async move {
                    $check(&visit, &demo).await?;
                    visit.no_problems()
                }).await;
            })*
        };
    }
    checks!(
        "a photo is uploaded on the page of the pipeline and seen on its way" => upload,
        "a photo that is refused is shown beside the reason" => refused,
        "a request that failed because its storage was away is redriven to success" => storage,
        "the photo report shows its branches and its pictures" => report,
        "the overview shows the demo" => overview,
    );
    let demo = Arc::into_inner(demo).ok_or("the demo is still in use")?;
    demo.up.stop().await
}

impl Demo {
    async fn start(folder: &Path) -> Result<Demo, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        std::fs::write(folder.join("stack.yml"), stack(folder)?).map_err(|error| error.to_string())?;
        let port = free_port()?;
        let arguments = ["up", &folder.to_string_lossy(), "--no-watch", "--port", &port.to_string()];
        let up = Server::start(Recipe {
            program: own.with_file_name("faasflow"),
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            port,
            ready: None,
            log: folder.join("up.log"),
        })
        .await?;
        let (client, url) = (Client::new(), format!("http://127.0.0.1:{port}"));
        if let Err(why) = client.until_ready(&url).await {
            return Err(format!("{why}; the log of faasflow up ends: {}", up.tail()));
        }
        Ok(Demo { url, client, up, folder: folder.to_owned() })
    }

    /// Stops the process of a function where it is, until the answer is dropped.
    fn hold(&self, function: &str) -> Result<Held, String> {
        let up = self.up.id().ok_or("the demo does not run")?;
        Held::new(up, function)
    }

    /// Starts a request. The answer comes after the first phase, with this status.
    async fn post(&self, target: &str, id: &str, body: Vec<u8>, status: u16) -> Result<(), String> {
        let headers = [("x-faasflow-request-id", id), ("content-type", "image/jpeg")];
        let url = format!("{}/function/{target}", self.url);
        self.client.send(http::Method::POST, &url, &headers, body).await?.expect(status).map(drop)
    }

    /// What `file-storage` has under this name.
    async fn stored(&self, name: &str) -> Result<Bytes, String> {
        let answer = self.client.get(&format!("{}/function/file-storage/{name}", self.url)).await?;
        answer.expect(200).map(|answer| answer.body)
    }
}

/// The stack file: what `faasflow demo` deploys, as far as the checks need it.
fn stack(folder: &Path) -> Result<String, String> {
    let storage = folder.join("storage");
    let functions = photos::functions()?.replace("./storage", &storage.to_string_lossy());
    let mut text = format!("version: 1.0\nprovider:\n  name: openfaas\n\nfunctions:\n{functions}");
    text.push_str(&photos::flow(PIPELINE, &[])?);
    let report = photos::example()?.with_file_name("photo-report");
    let report = report.display();
    for name in ["thumbnail", "palette", "crop", "tint", "contact-sheet"] {
        text.push_str(&format!(
            "  {name}:\n    lang: rust-http\n    handler: {report}/functions/pictures\n    environment: {{ function: {name} }}\n"
        ));
    }
    text.push_str(&format!(
        "  {REPORT}:\n    lang: faasflow\n    handler: {report}/flow\n    environment_file: [{report}/flow.yml]\n    \
         secrets: [faasflow-hmac-secret]\n    environment: {{ calls: asynchronous }}\n"
    ));
    Ok(text)
}

/// How many pictures of a place have been loaded.
const PICTURES: &str = "[...document.querySelectorAll('.sides img.picture')].filter((picture) => picture.complete && picture.naturalWidth > 50).length";

/// Whether a call in the picture of the flow has this status.
fn call_is(function: &str, status: &str) -> String {
    format!(
        "[...document.querySelectorAll('svg.flow .call.at-{status}')].some((call) => call.textContent.includes('{function}'))"
    )
}

async fn upload(visit: &Visit, demo: &Demo) -> Result<(), String> {
    let tab = &visit.tab;
    tab.go(&format!("{}/ui/flows/{PIPELINE}", demo.url)).await?;
    tab.until("the flow is drawn", "document.querySelectorAll('svg.flow .call').length === 4").await?;
    tab.click("summary", "Start a request").await?;
    tab.choose_file("input[name=file]", &photos::example()?.join("photos/portrait.jpg")).await?;
    tab.fill("input[name=type]", "image/jpeg").await?;
    tab.fill("input[name=query]", "file=portrait.jpg").await?;
    tab.fill("textarea[name=headers]", "X-Faasflow-Request-Id: portrait").await?;
    tab.fill("input[name=wait]", "0").await?;
    visit.seen("photo-start").await?;
    let held = demo.hold("colorization")?;
    tab.click("button", "Start").await?;
    tab.shows("It is in progress.").await?;
    tab.click("a", "See what became of it").await?;
    tab.until("its page is shown", "location.pathname.endsWith('/requests/portrait')").await?;
    tab.shows("function colorization is being executed.").await?;
    tab.until("the first phase is done", &call_is("facedetect", "done")).await?;
    tab.until("it is at the second phase", &call_is("colorization", "running")).await?;
    visit.seen("photo-running").await?;
    drop(held);
    tab.shows("Succeeded").await?;
    for function in ["facedetect", "colorization", "image-resizer", "file-storage"] {
        tab.until("each call is done", &call_is(function, "done")).await?;
    }
    tab.click(".timeline summary", "function colorization").await?;
    tab.until("the photo is shown before and after it was tinted", &format!("{PICTURES} === 2")).await?;
    visit.seen("photo-succeeded").await?;
    visit.for_the_guide("photo").await?;
    expect(is_jpeg(&demo.stored("portrait.jpg").await?), || "what file-storage has is no JPEG".to_owned())
}

async fn refused(visit: &Visit, demo: &Demo) -> Result<(), String> {
    let tab = &visit.tab;
    demo.post(&format!("{PIPELINE}?file=two-faces.jpg"), "two-faces", photo("two-faces.jpg")?, 500).await?;
    tab.go(&format!("{}/ui/flows/{PIPELINE}/requests/two-faces", demo.url)).await?;
    for text in ["Failed", "the photo shows 2 faces; exactly one is needed"] {
        tab.shows(text).await?;
    }
    tab.click("button", "Show the place").await?;
    tab.until("the photo is shown", &format!("{PICTURES} === 1")).await?;
    tab.until("nothing follows", &format!("!({})", call_is("colorization", "done"))).await?;
    visit.seen("photo-refused").await?;
    visit.for_the_guide("dashboard").await
}

async fn storage(visit: &Visit, demo: &Demo) -> Result<(), String> {
    let tab = &visit.tab;
    // Where `file-storage` would have its folder, there is a file.
    let (storage, moved) = (demo.folder.join("storage"), demo.folder.join("moved"));
    let fault = |error: std::io::Error| error.to_string();
    std::fs::rename(&storage, &moved).and_then(|()| std::fs::write(&storage, "")).map_err(fault)?;
    demo.post(&format!("{PIPELINE}?file=portrait-bw.jpg"), "portrait-bw", photo("portrait-bw.jpg")?, 202).await?;
    tab.go(&format!("{}/ui/flows/{PIPELINE}/requests/portrait-bw", demo.url)).await?;
    for text in ["Failed", "function file-storage", "507"] {
        tab.shows(text).await?;
    }
    tab.until("its call is marked", &call_is("file-storage", "failed")).await?;
    tab.click("button", "Show the place").await?;
    tab.shows("Answer with status 507").await?;
    visit.seen("photo-failed").await?;
    std::fs::remove_file(&storage).and_then(|()| std::fs::rename(&moved, &storage)).map_err(fault)?;
    tab.click("button", "Redrive what failed").await?;
    tab.click("dialog button", "Redrive").await?;
    tab.shows("Succeeded").await?;
    tab.shows("It was redriven once.").await?;
    tab.until("no call is marked", "document.querySelector('svg.flow .call.at-failed') === null").await?;
    visit.seen("photo-redriven").await?;
    expect(is_jpeg(&demo.stored("portrait-bw.jpg").await?), || "what file-storage has is no JPEG".to_owned())
}

async fn report(visit: &Visit, demo: &Demo) -> Result<(), String> {
    let tab = &visit.tab;
    let photos = photos::example()?.join("photos");
    let packed = Command::new("tar")
        .args(["-c", "-C"])
        .arg(&photos)
        .args(["portrait.jpg", "portrait-bw.jpg", "two-faces.jpg", "rocket.jpg"])
        .output()
        .await
        .map_err(|error| format!("tar cannot be run: {error}"))?;
    expect(packed.status.success(), || String::from_utf8_lossy(&packed.stderr).into_owned())?;
    let held = demo.hold("tint")?;
    demo.post(REPORT, "album", packed.stdout, 202).await?;
    tab.go(&format!("{}/ui/flows/{REPORT}/requests/album", demo.url)).await?;
    tab.until("a picture waits for its tone", &call_is("tint", "running")).await?;
    tab.until("another branch is done", &call_is("thumbnail", "done")).await?;
    visit.seen("report-running").await?;
    visit.for_the_guide("report").await?;
    drop(held);
    tab.shows("Succeeded").await?;
    let failed = tab.eval("document.querySelectorAll('svg.flow .call.at-failed').length").await?;
    expect(failed.as_u64() == Some(0), || format!("{failed} calls are marked as failed"))?;
    tab.click(".timeline summary", "function contact-sheet").await?;
    tab.until("the contact sheet is shown", &format!("{PICTURES} === 1")).await?;
    visit.seen("report-succeeded").await?;
    tab.go(&format!("{}/ui/flows/{REPORT}", demo.url)).await?;
    tab.until(
        "its calls are counted",
        "[...document.querySelectorAll('tbody td.number')].some((cell) => Number(cell.textContent) > 3)",
    )
    .await?;
    visit.seen("report-flow").await
}

async fn overview(visit: &Visit, demo: &Demo) -> Result<(), String> {
    let tab = &visit.tab;
    tab.go(&format!("{}/ui/", demo.url)).await?;
    tab.shows(&format!("{PIPELINE} has 1 request that failed in the last 24 hours.")).await?;
    for text in [REPORT, "contact-sheet", "Ready"] {
        tab.shows(text).await?;
    }
    visit.seen("photo-overview").await?;
    visit.for_the_guide("overview").await
}
