//! A process that is killed at any moment.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::call::Accepted;
use crate::conformance::steps::{accept, call, claim, deliver, drain};
use crate::error::QueueError;
use crate::policy::options::QueueOptions;
use crate::store::Store;

/// The calls of a victim that was killed.
#[derive(Debug, Default)]
pub struct Victim {
    accepted: HashSet<String>,
    /// Calls whose deliveries had begun. Their conclusions may be written or not.
    delivered: HashSet<String>,
}

/// Plays the victim in its own process: accepts and delivers calls, prints that to standard output, and never returns.
///
/// # Panics
///
/// If the store fails.
pub async fn victim(store: Arc<dyn Store>) {
    let say = |word: &str, id: &str| {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "\n{word} {id}").and_then(|()| out.flush());
    };
    let accepting = async {
        for round in 0.. {
            let ids: Vec<String> = (0..16).map(|id| format!("{round}-{id}")).collect();
            let accepting = ids.iter().map(|id| async {
                accept(&*store, id, if id.len() % 2 == 0 { "f" } else { "g" }).await;
                say("ACCEPTED", id);
            });
            futures_util::future::join_all(accepting).await;
        }
    };
    let delivering = async {
        loop {
            let (claim, got) = claim(&*store, 9).await;
            say("DELIVERED", &got.call_id);
            deliver(&*store, claim).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(accepting, delivering);
}

/// Starts `victim` as another process with the store at `path`, kills it when it has accepted this many calls, and
/// checks that the store has lost none of them. `open` then opens the store.
///
/// # Panics
///
/// If a call is lost.
pub async fn killed(
    mut command: Command,
    accepted: usize,
    path: &Path,
    open: impl AsyncFn(&Path, QueueOptions) -> Result<Arc<dyn Store>, QueueError>,
) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the victim starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
    let mut known = Victim::default();
    let mut note = |line: String| {
        if let Some((_, id)) = line.split_once("ACCEPTED ") {
            known.accepted.insert(id.to_owned());
        } else if let Some((_, id)) = line.split_once("DELIVERED ") {
            known.delivered.insert(id.to_owned());
        }
        known.accepted.len()
    };
    while note(lines.next().expect("the victim goes on until it is killed").expect("a line")) < accepted {}
    child.kill().expect("it is killed");
    child.wait().expect("it has ended");
    for line in lines.map_while(Result::ok) {
        note(line);
    }
    let store = open(path, QueueOptions::default()).await.expect("what a killed process leaves is opened");
    let left: Vec<String> =
        store.list(usize::MAX).await.expect("it can be read").into_iter().map(|call| call.call_id).collect();
    let there: HashSet<&String> = left.iter().collect();
    assert_eq!(there.len(), left.len(), "a call is there twice");
    for id in &known.accepted {
        assert!(there.contains(id) || known.delivered.contains(id), "{id} was accepted and is lost");
    }
    for id in &left {
        let (call_id, function) = (id.as_str(), if id.len() % 2 == 0 { "f" } else { "g" });
        let again = store.accept(call(call_id, function)).await.expect("it is accepted");
        assert_eq!(again, Accepted::Duplicate, "{id} is in the queue, and its id is not known");
    }
    let delivered = drain(&*store).await;
    assert_eq!(delivered.values().map(Vec::len).sum::<usize>(), left.len());
    store.close().await;
}
