//! Cleans up after an engine that was killed: its containerd, the shims and the containers. Each process is found by
//! the engine's folder in its command line or by the engine's cgroup, and is ended by its id.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time limit for the end of a process.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends everything that belongs to the engine of this folder and cgroup, and removes the cgroup.
///
/// # Errors
///
/// If something does not end.
pub(super) fn take_down(folder: &Path, cgroup: &str) -> Result<(), String> {
    // The engine comes first, because it stops its containers itself if it still runs.
    end(|| of_engine(folder), libc::SIGTERM)?;
    end(|| of_cgroup(cgroup), libc::SIGKILL)?;
    for group in cgroups(cgroup) {
        // The deepest come first. The next run removes those that are still in use.
        let _ = std::fs::remove_dir(group);
    }
    let _ = std::fs::remove_file(folder.join("pid"));
    Ok(())
}

fn end(processes: impl Fn() -> Vec<u32>, signal_first: i32) -> Result<(), String> {
    let begun = Instant::now();
    let mut notes = Vec::new();
    loop {
        let left = processes();
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > 2 * PATIENCE {
            return Err(format!("these processes of an earlier engine do not end: {left:?}"));
        }
        for id in left {
            if begun.elapsed() > PATIENCE {
                signal(id, libc::SIGKILL);
            } else if !notes.contains(&id) {
                signal(id, signal_first);
                notes.push(id);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends a signal to a process.
pub(super) fn signal(id: u32, signal: i32) {
    let Ok(id) = libc::pid_t::try_from(id) else { return };
    // SAFETY: kill takes plain integers; the caller has checked that the process belongs to the suite.
    #[allow(unsafe_code, reason = "the standard library sends no signals")]
    let _ = unsafe { libc::kill(id, signal) };
}

/// Engine, containerd and shims: their command lines name files in the folder.
fn of_engine(folder: &Path) -> Vec<u32> {
    let inside = [folder.join("data"), folder.join("exec")].map(|path| path.to_string_lossy().into_owned());
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let own = std::process::id();
    ids.filter(|id| *id != own)
        .filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let words: Vec<String> =
                line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            let program = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
            let of_docker = ["dockerd", "containerd", "containerd-shim-runc-v2", "runc"].contains(&program);
            of_docker && words.iter().any(|word| inside.iter().any(|path| word.starts_with(path)))
        })
        .collect()
}

fn of_cgroup(cgroup: &str) -> Vec<u32> {
    let mut ids: Vec<u32> = cgroups(cgroup)
        .iter()
        .filter_map(|group| std::fs::read_to_string(group.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The cgroup and those below it in each hierarchy, the deepest first.
fn cgroups(cgroup: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let name = cgroup.trim_start_matches('/');
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        hierarchies.chain([root.to_owned()]).map(|path| path.join(name)).filter(|path| path.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        let inside = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        folders.extend(inside.filter(|path| path.is_dir()));
        found.push(folder);
    }
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    found
}
