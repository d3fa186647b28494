//! A process that does not go on for a while, as a function on a machine that has too much to do.

use std::path::PathBuf;

/// A process that was stopped where it was. It goes on when this is dropped.
pub(super) struct Held(i32);

impl Held {
    /// Holds the process of a function: a child of `parent` whose program has this name, or whose variable `function` does.
    pub(super) fn new(parent: u32, function: &str) -> Result<Held, String> {
        let processes = std::fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?;
        let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let found: Vec<i32> = ids.filter(|id| parent_of(*id) == Some(parent) && serves(*id, function)).collect();
        let [id] = found[..] else {
            return Err(format!("{} processes serve `{function}`, and one was expected", found.len()));
        };
        signal(id, libc::SIGSTOP)?;
        Ok(Held(id))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = signal(self.0, libc::SIGCONT);
    }
}

/// A file of the kernel about a process.
fn about(id: i32, what: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{id}/{what}"))
}

fn parent_of(id: i32) -> Option<u32> {
    let status = std::fs::read_to_string(about(id, "status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn serves(id: i32, function: &str) -> bool {
    let is_named = std::fs::read_link(about(id, "exe")).is_ok_and(|program| program.ends_with(function));
    let variable = format!("function={function}");
    let environment = std::fs::read(about(id, "environ")).unwrap_or_default();
    is_named || environment.split(|byte| *byte == 0).any(|part| part == variable.as_bytes())
}

fn signal(id: i32, signal: i32) -> Result<(), String> {
    // SAFETY: kill(2) touches no memory; the process is a child of a server that this suite has started.
    #[allow(unsafe_code, reason = "the standard library sends no signals")]
    let sent = unsafe { libc::kill(id, signal) };
    if sent == 0 { Ok(()) } else { Err(format!("process {id}: {}", std::io::Error::last_os_error())) }
}
