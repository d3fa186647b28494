//! However a run ends, it leaves no program running and no folder behind.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Failure;

/// The prefix of folder names. It is followed by the process id and a counter.
const PREFIX: &str = "faasflow-bench-";

struct Cleanup {
    children: Vec<Child>,
    folders: Vec<PathBuf>,
}

/// What would be left if the run ended now. The code that ends the run never unlocks this, so nothing new is started.
static LEFT: Mutex<Cleanup> = Mutex::new(Cleanup { children: Vec::new(), folders: Vec::new() });

fn left() -> MutexGuard<'static, Cleanup> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program that ends when the run does. Returns its id, and its output if that is piped.
pub(crate) fn spawn(command: &mut Command) -> Result<(u32, Option<ChildStdout>), Failure> {
    use std::os::unix::process::CommandExt as _;
    // In a separate process group: a signal from the terminal reaches only the run, which then ends its programs.
    command.process_group(0);
    die_with_us(command);
    let mut left = left();
    let mut child = command.spawn()?;
    let (id, printed) = (child.id(), child.stdout.take());
    left.children.push(child);
    Ok((id, printed))
}

/// The exit status of the program, if it has ended.
pub(crate) fn ended(id: u32) -> Result<Option<ExitStatus>, Failure> {
    let mut left = left();
    let child = left.children.iter_mut().find(|child| child.id() == id).ok_or("that program was not started here")?;
    Ok(child.try_wait()?)
}

/// Kills a program that was started here.
pub(crate) fn kill(id: u32) {
    let mut left = left();
    if let Some(at) = left.children.iter().position(|child| child.id() == id) {
        let mut child = left.children.swap_remove(at);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Makes Linux kill the program when the thread that started it ends. Only the main thread starts programs, and it
/// lives as long as the process.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to request a signal when the parent dies")]
pub(crate) fn die_with_us(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe functions may be called; prctl and getppid are bare system
    // calls, and no error here allocates.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have died before the request.
            if u32::try_from(libc::getppid()) == Ok(parent) { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) }
        });
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn die_with_us(_: &mut Command) {}

/// A folder for the time of a measurement. It is removed when dropped, and at the end of the run.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Next to the program, on the disk that is used for builds, rather than in a file system in memory.
    pub(crate) fn new() -> Result<Folder, Failure> {
        Ok(Folder::within(&beside()?)?)
    }

    /// In an existing folder.
    pub(crate) fn within(folder: &Path) -> std::io::Result<Folder> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{PREFIX}{}-{count}", std::process::id()));
        let mut left = left();
        fs::create_dir(&path)?;
        left.folders.push(path.clone());
        Ok(Folder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mut left = left();
        left.folders.retain(|folder| *folder != self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn beside() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?;
    Ok(program.parent().ok_or("the program has no folder")?.to_owned())
}

/// Removes folders of earlier runs that were killed: those whose process no longer exists.
pub(crate) fn sweep(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if owner(&entry.file_name().to_string_lossy()).is_some_and(is_gone) {
            match fs::remove_dir_all(entry.path()) {
                // Another run may be removing the same folders.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done?,
            }
        }
    }
    Ok(())
}

/// The id of the process that made a folder with this name.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Folders with our own process id that existed before we made one belong to an earlier process with that id.
fn is_gone(process: u32) -> bool {
    let made = left().folders.iter().any(|folder| folder.to_string_lossy().contains(&format!("{PREFIX}{process}-")));
    !made && (process == std::process::id() || !Path::new("/proc").join(process.to_string()).exists())
}

/// From now on, a signal that asks the run to end leaves nothing behind. Removes what earlier runs left.
pub(crate) fn begin() -> Result<(), Failure> {
    let folder = beside()?;
    sweep(&folder).map_err(|error| format!("{} cannot be cleared of old runs: {error}", folder.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _within = runtime.enter();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .map(|kind| Ok((kind, signal(kind)?)))
            .collect::<std::io::Result<Vec<_>>>()?
    };
    std::thread::spawn(move || end(runtime.block_on(first(&mut signals))));
    Ok(())
}

async fn first(signals: &mut [(SignalKind, Signal)]) -> SignalKind {
    let coming = signals.iter_mut().map(|(kind, signal)| {
        Box::pin(async {
            signal.recv().await;
            *kind
        })
    });
    futures_util::future::select_all(coming).await.0
}

/// Ends the run with the exit status that a shell uses for a signal.
fn end(signal: SignalKind) -> ! {
    let number = signal.as_raw_value();
    let mut left = left();
    for child in &mut left.children {
        let _ = child.kill();
        let _ = child.wait();
    }
    for folder in &left.folders {
        // A thread of this process may still create files in it.
        let removed = (0..10).any(|_| {
            fs::remove_dir_all(folder).is_ok() || {
                std::thread::sleep(Duration::from_millis(50));
                false
            }
        });
        if !removed {
            eprintln!("faasflow-benches: {} cannot be removed now; the next run will do so", folder.display());
        }
    }
    eprintln!("faasflow-benches: ended by signal {number}; nothing is left running, and the figures are lost");
    std::process::exit(128 + number)
}

/// Returns if the run continues. If it is ending, that is why something failed, and the failure need not be reported.
pub(crate) fn unless_ending() {
    drop(left());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_the_dead_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let own = Folder::within(place.path()).unwrap();
        // Larger than the highest process id of Linux.
        let names =
            [format!("{PREFIX}4194305-0"), format!("{PREFIX}1-0"), format!("{PREFIX}x-0"), "other-1".to_owned()];
        for name in &names {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        sweep(place.path()).unwrap();
        let there = names.map(|name| place.path().join(name).exists());
        assert_eq!(there, [false, true, true, true]);
        assert!(own.path().exists());
        let path = own.path().to_owned();
        drop(own);
        assert!(!path.exists());
    }
}
