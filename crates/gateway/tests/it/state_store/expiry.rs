//! Requests that have expired.

use std::time::Instant;

use super::*;

/// With one large value each, and with small ones.
const LARGE: usize = 64;
const SMALL: usize = 1500;
const MIB: usize = 1 << 20;

/// A number in KiB from the status of a process.
fn memory(process: u32, field: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Writes a request that expires soon.
async fn ended(manager: GatewayStore, number: usize, keep_for: Duration) {
    let own = scope(&format!("r{number}"));
    assert!(manager.begin_request(&own, 7, "begun@0", Bytes::from_static(b"x")).await.unwrap());
    let (key, length) = if number < LARGE { ("payload/1", MIB) } else { ("result/1", 100) };
    manager.set(&own, key, vec![7; length].into()).await.unwrap();
    manager.retire_request(&own, 7, Status::Success, keep_for, Duration::ZERO).await.unwrap();
}

/// They are removed in steps, so a gateway that is killed meanwhile goes on where it was, and others can write. Large values are
/// removed without being read.
#[tokio::test(flavor = "multi_thread")]
async fn many_expired_requests_are_removed_after_a_kill_with_little_memory_and_while_others_write() {
    const TEST: &str =
        "expiry::many_expired_requests_are_removed_after_a_kill_with_little_memory_and_while_others_write";
    if let Some(folder) = part() {
        Process::play(&folder, |_| {}).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(TEST, folder.path());
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..32 {
        let manager = process.manager();
        writers.spawn(async move {
            for number in (writer..LARGE + SMALL).step_by(32) {
                ended(manager.clone(), number, Duration::from_secs(1)).await;
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    println!("written after {:?}", begun.elapsed());
    let scopes: Vec<Scope> = (0..LARGE + SMALL).map(|number| scope(&format!("r{number}"))).collect();
    let left =
        async |manager: &GatewayStore| manager.get_across(&scopes, "begun@0").await.unwrap().iter().flatten().count();
    process.kill();

    let process = Process::start(TEST, folder.path());
    let (manager, pid) = (process.manager(), process.child.id());
    let before = memory(pid, "VmRSS");
    let (mut slowest, mut number) = (Duration::ZERO, 0);
    while left(&manager).await > 0 {
        assert!(begun.elapsed() < support::PATIENCE, "{} requests are left", left(&manager).await);
        let asked = Instant::now();
        assert!(create(&manager, "new", &format!("result/{number}"), "x").await);
        slowest = slowest.max(asked.elapsed());
        number += 1;
    }
    let values = folder.path().join(".faasflow/state-values");
    until("their files are removed", async || (std::fs::read_dir(&values).unwrap().count() == 0).then_some(())).await;
    let grown = memory(pid, "VmHWM").saturating_sub(before);
    println!("{LARGE} MiB of values: {grown} KiB more memory; {number} writes, the slowest took {slowest:?}");
    assert!(number > 1, "the first gateway has removed all of them");
    assert!(grown < LARGE * 1024 / 2, "removing {LARGE} MiB took {grown} KiB of memory");
    assert!(slowest < support::PATIENCE / 4, "a write took {slowest:?}");
    assert_eq!(manager.list_requests("flow", &ListQuery::newest(9)).await.unwrap(), []);
    process.kill();
}
