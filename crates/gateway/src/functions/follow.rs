//! Followers of the logs of functions.
//!
//! Each follower reads the kept lines at its own pace. If lines were sent to followers as they come, a slow follower would lose
//! lines in a burst.

use std::sync::{Arc, Mutex, PoisonError};

use faasflow_core::counted;
use faasflow_http::now_ms;
use tokio::sync::watch;

use super::logs::{Buffer, Journal, LogFilter, LogLine, Logs};

/// How many lines are read at once. A follower may hold this many after they are dropped from the log.
const AT_ONCE: usize = 256;

/// A follower of some logs.
pub(crate) struct Follower {
    sources: Vec<Source>,
    written: watch::Receiver<()>,
}

/// A log, and how many of its lines were read.
struct Source {
    function: String,
    buffer: Arc<Mutex<Buffer>>,
    read: u64,
}

impl Follower {
    pub(crate) fn new(journal: &Journal) -> Follower {
        Follower { sources: Vec::new(), written: journal.subscribe() }
    }

    /// Follows another log, starting after its first `read` lines. Does nothing if it follows the log already.
    pub(crate) fn add(&mut self, logs: &Logs, read: u64) {
        if !self.sources.iter().any(|source| Arc::ptr_eq(&source.buffer, &logs.buffer)) {
            self.sources.push(Source { function: logs.function.clone(), buffer: logs.buffer.clone(), read });
        }
    }

    /// Whether one of the logs may still grow.
    pub(crate) fn has_sources(&self) -> bool {
        !self.sources.is_empty()
    }

    /// Makes [`written`](Follower::written) wait for lines that are written after this call.
    pub(crate) fn mark_seen(&mut self) {
        self.written.mark_unchanged();
    }

    /// Waits for a line of any function.
    pub(crate) async fn written(&mut self) {
        if self.written.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads the next lines that the filter selects, up to the line with the number `until`. Returns `None` at the end, and an
    /// empty list if there were only other lines.
    pub(crate) fn read(&mut self, filter: &LogFilter, until: u64) -> Option<Vec<Arc<LogLine>>> {
        let mut selected = Vec::new();
        let mut lines: Vec<(usize, Arc<LogLine>)> = Vec::new();
        let mut ended = Vec::new();
        for (at, source) in self.sources.iter_mut().enumerate() {
            let buffer = source.buffer.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = buffer.dropped.saturating_sub(source.read);
            if missing > 0 {
                selected.push(Arc::new(missed(&source.function, missing)));
                source.read = buffer.dropped;
            }
            let unread = usize::try_from(source.read - buffer.dropped).unwrap_or(usize::MAX);
            let unread = buffer.lines.iter().skip(unread).take_while(|line| line.number <= until).take(AT_ONCE);
            let before = lines.len();
            lines.extend(unread.map(|line| (at, line.clone())));
            if buffer.ended && lines.len() == before {
                ended.push(at);
            }
        }
        lines.sort_by_key(|(_, line)| line.number);
        lines.truncate(AT_ONCE);
        for (at, _) in &lines {
            self.sources[*at].read += 1;
        }
        for at in ended.into_iter().rev() {
            self.sources.remove(at);
        }
        let nothing = selected.is_empty() && lines.is_empty();
        selected.extend(lines.into_iter().map(|(_, line)| line).filter(|line| filter.matches(line)));
        (!nothing).then_some(selected)
    }
}

/// The line in place of lines that were dropped. Their requests are not known any longer.
fn missed(function: &str, count: u64) -> LogLine {
    LogLine {
        number: 0,
        timestamp_ms: now_ms(),
        function: function.to_owned(),
        origin: None,
        during: None,
        text: format!("gateway: left out {} here, because the log was read too slowly", counted(count, "line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: LogFilter = LogFilter { request: None, place: None, since_ms: 0, tail: usize::MAX };

    fn texts(follower: &mut Follower) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(lines) = follower.read(&ALL, u64::MAX) {
            texts.extend(lines.iter().map(|line| format!("{} {}", line.function, line.text)));
        }
        texts
    }

    #[test]
    fn a_slow_follower_reads_the_kept_lines_in_order_and_learns_how_many_are_missing() {
        let journal = Journal::new(tokio::sync::mpsc::unbounded_channel().0);
        let [f, g] = ["f", "g"].map(|name| Logs::new(name.to_owned(), journal.clone()));
        let mut follower = Follower::new(&journal);
        follower.add(&f, 0);
        follower.add(&g, 0);
        follower.add(&g, 0);
        for number in 0..10_000 {
            [&f, &g][number % 2].push(None, number.to_string());
        }
        let expected: Vec<_> = (0..10_000).map(|number| format!("{} {number}", ["f", "g"][number % 2])).collect();
        assert_eq!(texts(&mut follower), expected);
        for _ in 0..1000 {
            g.push(None, "x".repeat(10_000));
        }
        let retained = g.past(&ALL).lines.len();
        let read = texts(&mut follower);
        let says = format!("g gateway: left out {} lines here, ", 1000 - retained);
        assert!(read[0].starts_with(&says), "{}", read[0]);
        assert_eq!(read.len(), retained + 1);
        // A function that is removed is followed to the end of its log.
        g.push(None, "last".to_owned());
        drop(g);
        assert_eq!(texts(&mut follower), ["g last"]);
        assert_eq!(follower.sources.len(), 1);
    }
}
