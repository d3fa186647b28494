//! Containers of the flow, with only what it needs.

use std::sync::Arc;

use super::builds::{BARE_IMAGE, WATCHDOG_IMAGE};
use super::stand::{PATIENCE, Setting, Stand};
use crate::docker::Container;
use crate::suite::{Suite, expect};

/// The size of a large photo in bytes.
const LARGE: usize = 20_000_000;

/// Checks the bare image of the unchanged project.
pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite
        .check(
            "bare: non-root, read-only, no capabilities, 64 MB: healthy, and one request of each kind",
            confined(stand.clone(), BARE_IMAGE, false),
        )
        .await;
}

/// Checks the image of the edited handler.
pub(super) async fn run_more(suite: &Suite, stand: &Arc<Stand>) {
    suite
        .check(
            "behind the watchdog: the same, with a /tmp that can be written",
            confined(stand.clone(), WATCHDOG_IMAGE, true),
        )
        .await;
    for (image, tmp) in [(BARE_IMAGE, false), (WATCHDOG_IMAGE, true)] {
        suite
            .check(
                &format!("{image}: two phases, signed with the mounted secret; without it, it says so and ends"),
                signed(stand.clone(), image, tmp),
            )
            .await;
        suite
            .check(
                &format!("{image}: with verify_request, what is not signed is refused"),
                verified(stand.clone(), image, tmp),
            )
            .await;
        suite.check(&format!("{image}: bodies of 20 MB in 64 MB of memory"), large(stand.clone(), image, tmp)).await;
    }
}

async fn confined(stand: Arc<Stand>, image: &'static str, tmp: bool) -> Result<(), String> {
    let container = stand.serve(image, Setting { tmp, ..Setting::default() }).await?;
    let done = async {
        is_confined(&container).await?;
        stand.each_kind("my-flow", image).await?;
        stand.until_healthy(&container).await
    };
    let done = done.await;
    container.remove().await?;
    done
}

/// The kernel's status of the container's first process.
async fn is_confined(container: &Container) -> Result<(), String> {
    let process = container.process().await?;
    let read = |file: &str| {
        let path = format!("/proc/{process}/{file}");
        std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    let status = read("status")?;
    let line = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        value.map(str::trim).unwrap_or_default().to_owned()
    };
    expect(line("Uid") == "1000\t1000\t1000\t1000", || format!("it runs as {}", line("Uid")))?;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let none = line(set).chars().all(|digit| digit == '0');
        expect(none, || format!("{set} is {}", line(set)))?;
    }
    expect(line("NoNewPrivs") == "1", || "it may get new privileges".to_owned())?;
    let mounts = read("mountinfo")?;
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default();
    let read_only = root.split(' ').nth(5).is_some_and(|options| options.split(',').any(|option| option == "ro"));
    expect(read_only, || format!("its root is mounted so: {root}"))?;
    let memory = container.inspect().await?["HostConfig"]["Memory"].as_u64();
    expect(memory == Some(64 << 20), || format!("its memory is {memory:?}"))
}

async fn signed(stand: Arc<Stand>, image: &'static str, tmp: bool) -> Result<(), String> {
    let setting = Setting { tmp, environment: &["E2E_FLOW=relay"], ..Setting::default() };
    let container = stand.run(image, setting).await?;
    let ended = container
        .until("ended without a secret", PATIENCE, |inspect| {
            inspect["State"]["Running"] == false && inspect["State"]["ExitCode"].as_i64() != Some(0)
        })
        .await;
    let log = container.log().await?;
    container.remove().await?;
    ended?;
    expect(log.contains("faasflow-hmac-secret"), || format!("it does not name the secret: {log}"))?;

    let container = stand.serve(image, Setting { secret: true, ..setting }).await?;
    let body = format!("signed, {image}");
    let done = async {
        stand.queue("my-flow", &body).await?;
        stand.recorder.until_sent("two", &body, 1, PATIENCE).await.map(drop)
    };
    let done = done.await;
    container.remove().await?;
    done
}

async fn verified(stand: Arc<Stand>, image: &'static str, tmp: bool) -> Result<(), String> {
    let environment = &["verify_request=true"];
    let container = stand.serve(image, Setting { tmp, secret: true, environment, ..Setting::default() }).await?;
    let done = async {
        stand.call("my-flow", "Ada").await?.expect(401)?;
        let sign = |key: String| {
            let stand = stand.clone();
            async move {
                let mut invoke = tokio::process::Command::new("sh");
                let line = r#"echo Ada | "$0" invoke my-flow --gateway "$1" --sign X-Hub-Signature --key "$2""#;
                invoke.args(["-c", line]).arg(stand.faasflow()).args([stand.url(), key]);
                let output = invoke.output().await.map_err(|error| error.to_string())?;
                Ok::<_, String>(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
            }
        };
        let printed = sign(stand.key.clone()).await?;
        expect(printed.contains("Hello, Ada!"), || format!("signed with the key: {printed}"))?;
        let printed = sign("another".to_owned()).await?;
        expect(printed.contains("401"), || format!("signed with another key: {printed}"))
    };
    let done = done.await;
    container.remove().await?;
    done
}

async fn large(stand: Arc<Stand>, image: &'static str, tmp: bool) -> Result<(), String> {
    let container = stand.serve(image, Setting { tmp, environment: &["E2E_FLOW=pass"], ..Setting::default() }).await?;
    let body: bytes::Bytes = (0..LARGE).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into();
    let done = async {
        for _ in 0..5 {
            let answer = stand.call("my-flow", body.clone()).await?.expect(200)?;
            expect(answer.body == body, || format!("{} bytes came back, and not those", answer.body.len()))?;
        }
        let inspect = container.inspect().await?;
        let well = inspect["State"]["OOMKilled"] == false && inspect["State"]["Running"] == true;
        expect(well, || format!("afterwards: {}", inspect["State"]))
    };
    let done = done.await;
    container.remove().await?;
    done
}
