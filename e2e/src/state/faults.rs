//! Servers that are killed, frozen, full, read-only, or refuse us.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow::state::{Scope, StateManager as _};
use faasflow::{Error, Outcome};
use faasflow_testkit::Running;
use tokio::process::Command;

use super::backend::{Backend, Manager};
use super::flows::{came_back, kit, payload};
use crate::suite::Suite;

/// How long a fault that has ended may have consequences.
const HEALING: Duration = Duration::from_secs(60);

pub(super) async fn run(suite: &Suite, backend: &Arc<Backend>) {
    suite.check("killed and started again in the middle of 20 flows: all finish", restarted(backend.clone())).await;
    suite.check("down past the deadline: 503 with Retry-After, and it heals", down(backend.clone())).await;
    suite.check("frozen: no request hangs past its deadline", frozen(backend.clone())).await;
    suite.check("wrong credentials are a permanent error that says so", wrong_credentials(backend.clone())).await;
    if backend.is_minio() {
        suite.check("a missing bucket is an error, not an absent key", missing_bucket(backend.clone())).await;
    } else {
        let full = (backend.clone(), "CONFIG SET maxmemory 3mb", "CONFIG SET maxmemory 0");
        suite.check("full: a temporary error that says so, and it heals", troubled(full)).await;
        let replica = (backend.clone(), "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE");
        suite.check("read-only: a temporary error that says so, and it heals", troubled(replica)).await;
    }
}

fn errors(error: faasflow::state::StateError) -> String {
    format!("{:#}", Error::from(error))
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

async fn restarted(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[("envelope_limit", "4000"), ("write_timeout", "25s")]).await;
    let requests = (0..20u8).map(|number| {
        let kit = &kit;
        async move {
            // Requests follow each other, so that the fault hits every phase of some request.
            tokio::time::sleep(Duration::from_millis(u64::from(number) * 25)).await;
            let sent = payload(1_000_000, number);
            came_back(&kit.request(sent.clone()).send().await, &sent)
        }
    });
    let (ended, power) = tokio::join!(futures_util::future::try_join_all(requests), async {
        kit.until_called("two", 3).await;
        backend.kill().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        backend.again().await
    });
    power?;
    ended.map(drop)
}

async fn down(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[("write_timeout", "3s")]).await;
    backend.kill().await?;
    let begun = Instant::now();
    let answer = kit.request(payload(1000, 1)).answer().await;
    let took = begun.elapsed();
    backend.again().await?;
    expect(answer.status == 503 && answer.header("retry-after").is_some(), || {
        format!("it was answered with {}: {}", answer.status, answer.text())
    })?;
    expect(took < Duration::from_secs(20), || format!("it took {took:?} with a write_timeout of 3s"))?;
    expect(kit.queued().is_empty() && kit.calls("one").is_empty(), || "it went on all the same".to_owned())?;
    heals(&kit, payload(1000, 2)).await
}

async fn frozen(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[("write_timeout", "4s")]).await;
    heals(&kit, payload(1000, 1)).await?;
    backend.freeze(true).await?;
    let begun = Instant::now();
    let answer = kit.request(payload(1000, 2)).answer().await;
    let took = begun.elapsed();
    backend.freeze(false).await?;
    expect(answer.status == 503, || format!("it was answered with {}: {}", answer.status, answer.text()))?;
    expect(took < Duration::from_secs(20), || format!("it took {took:?} with a write_timeout of 4s"))?;
    heals(&kit, payload(1000, 3)).await
}

async fn wrong_credentials(backend: Arc<Backend>) -> Result<(), String> {
    let manager = backend.manager_with("not-the-password", "faasflow-e2e", false);
    let scope = Scope { flow: "f".to_owned(), request: "r".to_owned() };
    for error in [manager.probe().await.err(), manager.get(&scope, "k").await.err()] {
        let error = error.ok_or("it was let in")?;
        let temporary = error.is_temporary();
        let text = errors(error);
        expect(!temporary && text.contains("access is denied"), || format!("temporary {temporary}: {text}"))?;
        expect(!text.contains("not-the-password"), || format!("the password is in the text: {text}"))?;
    }
    Ok(())
}

async fn missing_bucket(backend: Arc<Backend>) -> Result<(), String> {
    let right = |create| backend.manager_with("e2e-secret-key", "not-there-yet", create);
    let scope = Scope { flow: "f".to_owned(), request: "r".to_owned() };
    let manager: Manager = right(false);
    let set = manager.set(&scope, "k", payload(10, 0)).await.err();
    for error in [manager.probe().await.err(), manager.get(&scope, "k").await.err(), set] {
        let error = error.ok_or("a bucket that is not there was used")?;
        let temporary = error.is_temporary();
        let text = errors(error);
        expect(!temporary && text.contains("there is no bucket `not-there-yet`"), || format!("{temporary}: {text}"))?;
    }
    right(true).probe().await.map_err(errors)?;
    manager.set(&scope, "k", payload(10, 0)).await.map_err(errors)?;
    manager.remove_request(&scope).await.map_err(errors)
}

/// Sends a request until it begins, as callers do who are answered with 503. It must succeed.
async fn heals(kit: &Running, payload: Bytes) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let end = kit.request(payload.clone()).send().await;
        if end.status != 503 || begun.elapsed() > HEALING {
            return came_back(&end, &payload);
        }
    }
}

/// One command causes the fault, and another ends it.
async fn troubled((backend, trouble, end): (Arc<Backend>, &'static str, &'static str)) -> Result<(), String> {
    let kit = kit(&backend, &[("write_timeout", "3s"), ("envelope_limit", "4000")]).await;
    backend.command(trouble).await?;
    let answer = kit.request(payload(9_000_000, 1)).answer().await;
    backend.command(end).await?;
    expect(answer.status == 503, || format!("it was answered with {}: {}", answer.status, answer.text()))?;
    heals(&kit, payload(9_000_000, 2)).await
}

/// MinIO on a separate disk, which is full and then read-only.
pub(super) async fn full_disk(suite: &Suite, minio: &Path, folder: &Path) {
    suite.heading("S3, on MinIO with a small disk");
    let disk = folder.join("disk");
    if let Err(why) = mount(&disk, "size=96m").await {
        suite.not_done("MinIO on a full and on a read-only disk", &format!("a small disk cannot be mounted: {why}"));
        return;
    }
    let (program, folder, place) = (minio.to_owned(), folder.join("minio-on-disk"), disk.clone());
    suite
        .check("full: a temporary error that says so, then read-only; it heals from both", async move {
            let backend = Arc::new(Backend::minio(&program, &folder, Some(place.join("data"))).await?);
            let outcome = on_disk(&backend, &place).await;
            backend.stop().await?;
            outcome
        })
        .await;
    let _ = Command::new("umount").arg("--lazy").arg(&disk).status().await;
}

async fn on_disk(backend: &Arc<Backend>, disk: &Path) -> Result<(), String> {
    let kit = kit(backend, &[("write_timeout", "4s"), ("envelope_limit", "4000")]).await;
    heals(&kit, payload(2_000_000, 1)).await?;

    let filler = disk.join("filler");
    // Writes until the disk is full. The write ends with an error.
    let _ = std::fs::write(&filler, vec![0; 96 << 20]);
    let answer = kit.request(payload(9_000_000, 2)).answer().await;
    std::fs::remove_file(&filler).map_err(|error| error.to_string())?;
    expect(answer.status == 503, || format!("full: it was answered with {}: {}", answer.status, answer.text()))?;
    heals(&kit, payload(2_000_000, 3)).await.map_err(|why| format!("after it was full: {why}"))?;

    remount(disk, "ro").await?;
    let answer = kit.request(payload(2_000_000, 4)).answer().await;
    remount(disk, "rw").await?;
    let clear = answer.status == 503 || answer.status == 500;
    expect(clear, || format!("read-only: it was answered with {}: {}", answer.status, answer.text()))?;
    expect(answer.outcome() != Some(Outcome::Success), || "read-only: it succeeded".to_owned())?;
    backend.kill().await?;
    backend.again().await?;
    heals(&kit, payload(2_000_000, 5)).await.map_err(|why| format!("after it was read-only: {why}"))
}

async fn mount(place: &Path, options: &str) -> Result<(), String> {
    std::fs::create_dir_all(place).map_err(|error| error.to_string())?;
    let output = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(place)
        .output()
        .await
        .map_err(|error| error.to_string())?;
    let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(errors) }
}

async fn remount(place: &Path, mode: &str) -> Result<(), String> {
    let status = Command::new("mount").args(["-o", &format!("remount,{mode}")]).arg(place).status().await;
    let status = status.map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("the disk cannot be made {mode}: {status}")) }
}
