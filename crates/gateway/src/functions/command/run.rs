//! Runs one process from its start to its end.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_core::duration;
use faasflow_http::{NoRoom, Share};
use futures_util::FutureExt as _;
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio_util::io::InspectReader;
use tokio_util::sync::CancellationToken;

use super::excerpt::Excerpt;
use super::variables::Variables;
use crate::functions::Function;
use crate::functions::group::{self, Child, Group};
use crate::functions::origin::Origin;

/// The largest output of a command, in bytes.
pub(super) const OUTPUT: usize = 64 << 20;

/// A command to run.
pub(super) struct Job {
    pub(super) function: Arc<Function>,
    pub(super) words: Vec<String>,
    pub(super) variables: Variables,
    pub(super) body: Bytes,
    /// The call. Everything that the process writes belongs to it.
    pub(super) origin: Option<Origin>,
    pub(super) content_type: Option<HeaderValue>,
    /// How much of its output is kept, in bytes. The rest is read, but takes no memory.
    pub(super) wanted: usize,
    /// How long it may run, even if its `exec_timeout` is longer.
    pub(super) timeout: Duration,
}

/// How a process ended.
#[derive(Debug)]
pub(super) enum How {
    Exited(ExitStatus),
    /// The system did not report how.
    Unknown(io::Error),
    /// It could not be started.
    NotStarted(io::Error),
    /// It was killed because it wrote more than [`OUTPUT`] bytes.
    TooLarge,
    /// It was killed because there was no memory for its output.
    NoRoom(NoRoom),
    /// It was killed after its `exec_timeout`.
    ExecTimeout(Duration),
    /// It was killed when the gateway stopped waiting.
    Timeout(Duration),
    /// It was killed because the gateway stops.
    Stopped,
}

/// Whether the answer includes what a command writes to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Combine {
    Always,
    /// `combine_output` is not set.
    WhenItFails,
    Never,
}

/// A process that has ended, with its output.
#[derive(Debug)]
pub(super) struct Execution {
    pub(super) how: How,
    pub(super) output: Vec<u8>,
    /// The memory for the output.
    pub(super) share: Share,
    /// All of standard error, if it is always part of the answer, and the memory for it.
    pub(super) complaints: Vec<u8>,
    pub(super) complaints_share: Share,
    pub(super) complained: Excerpt,
    pub(super) combine: Combine,
    pub(super) took: Duration,
}

impl Job {
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.function.spec.environment.get(name).map(String::as_str)
    }

    /// The program to run.
    pub(super) fn program(&self) -> &str {
        &self.words[0]
    }

    /// Writes a line to the function's log.
    pub(super) fn log(&self, line: String) {
        self.function.logs.push(self.origin.as_ref(), line);
    }

    fn command(&self) -> Command {
        let own = self.function.environment.iter().map(|(name, value)| (name, value));
        let mut command = Command::new(self.program());
        command
            .args(&self.words[1..])
            .current_dir(&self.function.spec.folder)
            .env_clear()
            // Later variables override earlier ones.
            .envs(self.variables.headers.iter().cloned())
            .envs(own)
            .envs(self.variables.facts.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn combine(&self) -> Combine {
        match self.variable("combine_output").map(str::trim) {
            Some("true" | "1") => Combine::Always,
            None | Some("") => Combine::WhenItFails,
            Some(_) => Combine::Never,
        }
    }

    /// The time limit, and how the process ends when it is reached.
    fn limit(&self) -> (Duration, How) {
        let own = self.variable("exec_timeout").and_then(|text| duration::parse(text).ok());
        match own.filter(|own| !own.is_zero() && *own < self.timeout) {
            Some(own) => (own, How::ExecTimeout(own)),
            None => (self.timeout, How::Timeout(self.timeout)),
        }
    }
}

/// Runs a command until it ends or reaches a limit. If this is dropped, the process and its children are killed.
pub(super) async fn run(job: &Job, share: Share, complaints_share: Share, stop: &CancellationToken) -> Execution {
    let begun = Instant::now();
    let mut ended = Execution {
        how: How::Stopped,
        output: Vec::new(),
        share,
        complaints: Vec::new(),
        complaints_share,
        complained: Excerpt::default(),
        combine: job.combine(),
        took: Duration::ZERO,
    };
    if !stop.is_cancelled() {
        ended.how = match group::spawn(job.command()) {
            Ok((child, group)) => attend(job, child, group, stop, &mut ended).await,
            Err(error) => How::NotStarted(error),
        };
    }
    ended.took = begun.elapsed();
    ended
}

/// Writes the body to a process and reads its output, until it ends or is killed.
async fn attend(job: &Job, mut child: Child, group: Group, stop: &CancellationToken, ended: &mut Execution) -> How {
    let group = KillOnDrop(Some(group));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command does not have to read its input.
            let _ = stdin.write_all(&job.body).await;
        }
    };
    let Execution { output, share, complaints, complaints_share, complained, combine, .. } = ended;
    let keeps_all = *combine == Combine::Always;
    let mut complaints_full = None;
    let collect = async {
        let room = match stdout {
            Some(stdout) if job.wanted < OUTPUT => excerpt(stdout, output, job.wanted).await,
            Some(stdout) => collect(stdout, output, share).await,
            None => Ok(()),
        };
        if room.is_err() || output.len() > OUTPUT {
            // Nothing reads its output now, so it would wait forever.
            group.kill();
        }
        room.map(|()| output.len())
    };
    let listen = async {
        if let Some(stderr) = stderr {
            let heard = InspectReader::new(stderr, |written: &[u8]| {
                complained.push(written);
                if keeps_all && complaints_full.is_none() {
                    let room = (job.wanted + 1).saturating_sub(complaints.len());
                    complaints.extend_from_slice(&written[..written.len().min(room)]);
                    // This does not wait for memory.
                    let room = complaints_share.grow(complaints.capacity() as u64, 2 * OUTPUT as u64).now_or_never();
                    complaints_full = room.and_then(Result::err);
                    if complaints_full.is_some() {
                        group.kill();
                    }
                }
            });
            job.function.logs.read(job.origin.as_ref(), heard).await;
        }
    };
    let finish = async {
        let ((), written, (), status) = tokio::join!(feed, collect, listen, child.wait());
        match (written, status) {
            (Err(full), _) => How::NoRoom(full),
            (Ok(written), _) if written > OUTPUT => How::TooLarge,
            (_, Ok(status)) => How::Exited(status),
            (_, Err(error)) => How::Unknown(error),
        }
    };
    let (limit, over) = job.limit();
    let how = tokio::select! {
        finished = tokio::time::timeout(limit, finish) => finished.unwrap_or(over),
        () = stop.cancelled() => How::Stopped,
    };
    if let (How::Exited(_) | How::Unknown(_), Some(full)) = (&how, complaints_full) {
        return How::NoRoom(full);
    }
    match how {
        How::Exited(_) if complaints.len() > OUTPUT => return How::TooLarge,
        How::Exited(_) => group.done(),
        _ => drop(group),
    }
    how
}

/// Reads to the end, or one byte more than [`OUTPUT`]. If this is dropped, `output` has what was read so far. The command waits
/// while there is no memory for its output.
async fn collect(mut from: impl AsyncRead + Unpin, output: &mut Vec<u8>, share: &mut Share) -> Result<(), NoRoom> {
    while output.len() <= OUTPUT {
        if output.capacity() == output.len() {
            output.reserve(8 * 1024);
        }
        let room = (OUTPUT + 1 - output.len()) as u64;
        match (&mut from).take(room).read_buf(output).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => share.grow(output.capacity() as u64, 2 * OUTPUT as u64).await?,
        }
    }
    Ok(())
}

/// Reads to the end, and keeps the beginning.
async fn excerpt(from: impl AsyncRead + Unpin, output: &mut Vec<u8>, most: usize) -> Result<(), NoRoom> {
    let mut from = InspectReader::new(from, |written: &[u8]| {
        output.extend_from_slice(&written[..written.len().min(most.saturating_sub(output.len()))]);
    });
    // An error here is visible in the exit status.
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    Ok(())
}

/// Kills the whole group of a process when dropped, unless [`done`](KillOnDrop::done) is called.
struct KillOnDrop(Option<Group>);

impl KillOnDrop {
    fn kill(&self) {
        if let Some(group) = &self.0 {
            group.kill();
        }
    }

    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.kill();
    }
}
