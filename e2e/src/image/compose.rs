//! Brings up `deploy/compose.yaml` with the commands of the guide, in a copy of this checkout.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use tokio::process::Command;

use super::builds::{BUILD, size};
use super::project::{PATH, checkout, plain, tail};
use super::source::copy_tracked;
use crate::client::Client;
use crate::docker::{self, Container, Docker, stand_ins};
use crate::photos::{is_jpeg, photo};
use crate::suite::{Suite, expect};
use crate::{state, tools, tracing};

/// The page with the commands.
const PAGE: &str = "docs/guide/compose.md";
/// Debian's version. The page uses the newer plugin, which has the same commands.
const COMPOSE: &str = "docker-compose";
const GATEWAY: &str = "http://127.0.0.1:8080";
const JAEGER: &str = "http://127.0.0.1:16686";
/// The time limit for a request.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) async fn install() -> Result<(), String> {
    tools::debian(COMPOSE, COMPOSE).await?;
    state::install_minio().await?;
    tracing::install_jaeger().await.map(drop)
}

/// A copy of the checkout, as `git clone` would make it.
struct Clone {
    docker: Docker,
    client: Client,
    folder: tempfile::TempDir,
}

pub(super) async fn run(suite: &Suite, docker: &Docker) -> Result<(), String> {
    suite.not_done(
        "the images of MinIO and Jaeger",
        "they are stand-ins: the programs that other suites build, on Debian",
    );
    let base = stand_ins::default_of("RUST_IMAGE")?;
    let folder = tempfile::Builder::new().prefix("faasflow-clone-").tempdir().map_err(|error| error.to_string())?;
    copy_tracked(&checkout()?, folder.path(), &["."]).await?;
    let clone = Arc::new(Clone { docker: docker.clone(), client: Client::new(), folder });
    stand_ins::server(docker, &base, &clone.image("minio/minio")?, &state::install_minio().await?).await?;
    let jaeger = tracing::install_jaeger().await?;
    stand_ins::server(docker, &base, &clone.image("jaegertracing/all-in-one")?, &jaeger).await?;

    suite.check_within(BUILD, "the guide's five commands, up to the small photo", commands(clone.clone())).await;
    suite.check("all services run, confined", confined(clone.clone())).await;
    suite.check("the asynchronous pipeline stores its photo", asynchronous(clone.clone())).await;
    suite.check("Jaeger has one trace of its three phases", traced(clone.clone())).await;
    suite.check("without MinIO its calls wait, and are delivered afterwards", without_minio(clone.clone())).await;
    suite.check("the guide's commands for looking at it", looking(clone.clone())).await;
    suite
        .check("the gateway's process is killed with calls accepted: it is started again, all are delivered", {
            dies(clone.clone())
        })
        .await;
    suite
        .check("the gateway's container is killed with calls under way: after `up` all are delivered", {
            killed(clone.clone())
        })
        .await;
    suite.check("`down` keeps the volumes, `down --volumes` removes them", down(clone.clone())).await;
    // Remove everything, whatever the result is.
    clone.compose("down --volumes --timeout 3").await.map(drop)
}

impl Clone {
    fn deploy(&self) -> PathBuf {
        self.folder.path().join("deploy")
    }

    /// The image in the file that has this repository, with its tag.
    fn image(&self, repository: &str) -> Result<String, String> {
        let path = self.deploy().join("compose.yaml");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("image: "));
        let found = names.into_iter().find(|name| name.starts_with(&format!("{repository}:")));
        found.map(str::to_owned).ok_or_else(|| format!("{} names no {repository}", path.display()))
    }

    /// Runs a line of shell in `deploy`. Returns both outputs.
    async fn shell(&self, line: &str) -> Result<String, String> {
        let output = Command::new("bash")
            .args(["-ceu", line])
            .current_dir(self.deploy())
            .envs(self.docker.environment(PATH))
            .env("COMPOSE_DOCKER_CLI_BUILD", "1")
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("bash: {error}"))?;
        let printed = plain(&[output.stdout, output.stderr].concat());
        if output.status.success() {
            Ok(printed)
        } else {
            Err(format!("`{line}` ended with {}: {}", output.status, tail(&printed)))
        }
    }

    async fn compose(&self, words: &str) -> Result<String, String> {
        self.shell(&format!("{COMPOSE} {words}")).await
    }

    async fn stored(&self, name: &str) -> Result<(), String> {
        let url = format!("{GATEWAY}/function/file-storage/{name}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.get(&url).await;
            match answer {
                Ok(answer) if answer.status.is_success() && is_jpeg(&answer.body) => return Ok(()),
                answer if Instant::now() > deadline => {
                    let why = answer.map_or_else(|why| why, |answer| format!("{} {}", answer.status, answer.text()));
                    return Err(format!("{name} is not stored within {PATIENCE:?}: {why}"));
                }
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn queue(&self, name: &str) -> Result<(), String> {
        let url = format!("{GATEWAY}/async-function/upload-pipeline-async?file={name}");
        let headers = [("content-type", "image/jpeg")];
        self.client.send(Method::POST, &url, &headers, photo("portrait.jpg")?).await?.expect(202).map(drop)
    }
}

/// The lines of one of the page's blocks of commands, counted from 1.
fn page_commands(number: usize) -> Result<Vec<String>, String> {
    let path = checkout()?.join(PAGE);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let block = text.split("```text\n").nth(number).and_then(|rest| rest.split("```").next());
    Ok(block.ok_or_else(|| format!("{PAGE} has no commands"))?.lines().map(str::to_owned).collect())
}

async fn commands(clone: Arc<Clone>) -> Result<(), String> {
    let commands = page_commands(1)?;
    let [clones, rest @ ..] = commands.as_slice() else { return Err(format!("{PAGE} has no commands")) };
    let as_said = commands.len() == 5 && clones.starts_with("git clone ") && clones.ends_with("/deploy");
    expect(as_said, || format!("the page has other commands: {commands:?}"))?;
    for command in rest {
        let begun = Instant::now();
        // Builds download crates through the suite's proxy.
        let build = format!("{COMPOSE} build --build-arg http_proxy --build-arg https_proxy");
        let line = command.replace("docker compose build", &build).replace("docker compose", COMPOSE);
        clone.shell(&line).await?;
        println!("          ({:.0} s: {command})", begun.elapsed().as_secs_f64());
    }
    let small = std::fs::read(clone.deploy().join("small.jpg")).map_err(|error| format!("small.jpg: {error}"))?;
    let photo = photo("portrait.jpg")?;
    let smaller = is_jpeg(&small) && small.len() < photo.len();
    expect(smaller, || format!("no small photo came out, but {} bytes", small.len()))
}

async fn confined(clone: Arc<Clone>) -> Result<(), String> {
    let listed = clone.compose("ps --quiet").await?;
    let ids: Vec<&str> = listed.split_whitespace().collect();
    expect(ids.len() == 9, || format!("{} containers run, not 9", ids.len()))?;
    let deadline = Instant::now() + PATIENCE;
    for id in ids {
        loop {
            let text = clone.docker.run(&["inspect", id]).await?;
            let found: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            let (state, host) = (&found[0]["State"], &found[0]["HostConfig"]);
            let name = found[0]["Name"].as_str().unwrap_or_default().to_owned();
            let runs = state["Running"] == true && found[0]["RestartCount"] == 0;
            let healthy = state["Health"].is_null() || state["Health"]["Status"] == "healthy";
            if runs && !healthy && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
            expect(runs && healthy, || format!("{name}: {state}"))?;
            let ours = found[0]["Config"]["Image"].as_str().is_some_and(|image| image.starts_with("faasflow/"));
            let user = found[0]["Config"]["User"].as_str() == Some("1000:1000");
            let confined = user && host["ReadonlyRootfs"] == true && host["CapDrop"][0] == "ALL";
            expect(!ours || confined, || format!("{name} is not confined: {host}"))?;
            if ours {
                let image = found[0]["Config"]["Image"].as_str().unwrap_or_default();
                println!("          ({image}: {:.1} MB)", size(&clone.docker, image).await? as f64 / 1e6);
            }
            break;
        }
    }
    Ok(())
}

async fn asynchronous(clone: Arc<Clone>) -> Result<(), String> {
    clone.queue("one.jpg").await?;
    clone.stored("one.jpg").await
}

async fn traced(clone: Arc<Clone>) -> Result<(), String> {
    let url = format!("{JAEGER}/api/traces?service=upload-pipeline-async");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = clone.client.get(&url).await?.expect(200)?;
        let found: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let traces = found["data"].as_array().cloned().unwrap_or_default();
        let phases = traces.iter().map(|trace| {
            let spans = trace["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names = spans.iter().filter_map(|span| span["operationName"].as_str());
            names.filter(|name| name.starts_with("phase ")).count()
        });
        let phases: Vec<usize> = phases.collect();
        if phases == [3] {
            return Ok(());
        }
        expect(Instant::now() < deadline, || format!("the traces have these numbers of phases: {phases:?}"))?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Its payloads are in MinIO between phases, so no request ends while MinIO is down.
async fn without_minio(clone: Arc<Clone>) -> Result<(), String> {
    clone.compose("stop --timeout 3 minio").await?;
    clone.queue("two.jpg").await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let early = clone.client.get(&format!("{GATEWAY}/function/file-storage/two.jpg")).await?;
    clone.compose("start minio").await?;
    expect(!early.status.is_success(), || "the photo came out although MinIO was away".to_owned())?;
    clone.stored("two.jpg").await
}

async fn looking(clone: Arc<Clone>) -> Result<(), String> {
    let commands = page_commands(2)?;
    let [queues, fetches, logs, lists] = commands.as_slice() else {
        return Err(format!("the page has other commands: {commands:?}"));
    };
    clone.shell(queues).await?;
    // A reader of the page is slower than the pipeline, but the suite is not.
    clone.stored("ada.jpg").await?;
    clone.shell(fetches).await?;
    let photo = std::fs::read(clone.deploy().join("ada.jpg")).map_err(|error| format!("ada.jpg: {error}"))?;
    expect(is_jpeg(&photo), || format!("no photo came out, but {} bytes", photo.len()))?;
    let printed = clone.shell(&logs.replace("docker compose", COMPOSE)).await?;
    expect(printed.contains("Completed successfully"), || format!("`{logs}` tells of no request: {}", tail(&printed)))?;
    // There is no terminal here, and Debian's version needs an option for that.
    let printed = clone.shell(&lists.replace("docker compose exec", &format!("{COMPOSE} exec -T"))).await?;
    expect(printed.contains("0 dead letters"), || format!("`{lists}` says: {printed}"))
}

async fn queued(clone: &Clone, prefix: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = (0..20).map(|number| format!("{prefix}-{number}.jpg")).collect();
    for name in &names {
        clone.queue(name).await?;
    }
    Ok(names)
}

async fn all_stored(clone: &Clone, names: &[String]) -> Result<(), String> {
    for name in names {
        clone.stored(name).await?;
    }
    Ok(())
}

async fn dies(clone: Arc<Clone>) -> Result<(), String> {
    clone.compose("stop --timeout 5 upload-pipeline-async").await?;
    // None of them can have been delivered.
    let names = queued(&clone, "dies").await?;
    let id = clone.compose("ps --quiet gateway").await?;
    let gateway = Container::existing(&clone.docker, id.trim());
    docker::kill(gateway.process().await?);
    let again = |inspect: &Value| inspect["RestartCount"] == 1 && inspect["State"]["Running"] == true;
    gateway.until("started again by its policy", PATIENCE, again).await?;
    clone.compose("start upload-pipeline-async").await?;
    all_stored(&clone, &names).await
}

async fn killed(clone: Arc<Clone>) -> Result<(), String> {
    let names = queued(&clone, "killed").await?;
    clone.compose("kill gateway").await?;
    clone.compose("up --detach").await?;
    all_stored(&clone, &names).await
}

async fn down(clone: Arc<Clone>) -> Result<(), String> {
    clone.compose("down").await?;
    clone.compose("up --detach").await?;
    clone.stored("one.jpg").await?;
    clone.compose("down --volumes").await?;
    let left = clone.docker.run(&["volume", "ls", "--quiet", "--filter", "label=com.docker.compose.project"]).await?;
    expect(left.is_empty(), || format!("these volumes are left: {left}"))
}
