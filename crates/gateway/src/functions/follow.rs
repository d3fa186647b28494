//! Those who listen to what functions write. They read the lines that are kept, each at its own pace: what is sent to
//! listeners as it comes is lost to those who are slower than a burst.

use std::sync::{Arc, Mutex, PoisonError};

use faasflow_http::now_ms;
use tokio::sync::watch;

use super::logs::{Asked, Journal, Kept, LogLine, Logs};

/// How many lines are read at once, and held when they are not kept any more.
const AT_ONCE: usize = 256;

/// One who listens.
pub(crate) struct Follower {
    sources: Vec<Source>,
    written: watch::Receiver<()>,
}

/// A log, and how much of it was read.
struct Source {
    function: String,
    kept: Arc<Mutex<Kept>>,
    read: u64,
}

impl Follower {
    pub(crate) fn new(journal: &Journal) -> Follower {
        Follower { sources: Vec::new(), written: journal.subscribe() }
    }

    /// Listens to this log too, from behind its first `read` lines, unless it does already.
    pub(crate) fn add(&mut self, logs: &Logs, read: u64) {
        if !self.sources.iter().any(|source| Arc::ptr_eq(&source.kept, &logs.kept)) {
            self.sources.push(Source { function: logs.function.clone(), kept: logs.kept.clone(), read });
        }
    }

    /// Whether there is a log that may still grow.
    pub(crate) fn has_sources(&self) -> bool {
        !self.sources.is_empty()
    }

    /// What comes after this look is waited for by [`written`](Follower::written).
    pub(crate) fn look(&mut self) {
        self.written.mark_unchanged();
    }

    /// Waits for a line of any function.
    pub(crate) async fn written(&mut self) {
        if self.written.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads on, no further than to the line of this number. `None` if there was nothing; what there was need not have
    /// lines that are asked for.
    pub(crate) fn read(&mut self, asked: &Asked, until: u64) -> Option<Vec<Arc<LogLine>>> {
        let mut said = Vec::new();
        let mut lines: Vec<(usize, Arc<LogLine>)> = Vec::new();
        let mut ended = Vec::new();
        for (at, source) in self.sources.iter_mut().enumerate() {
            let kept = source.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = kept.dropped.saturating_sub(source.read);
            if missing > 0 {
                said.push(Arc::new(missed(&source.function, missing)));
                source.read = kept.dropped;
            }
            let unread = usize::try_from(source.read - kept.dropped).unwrap_or(usize::MAX);
            let unread = kept.lines.iter().skip(unread).take_while(|line| line.number <= until).take(AT_ONCE);
            let before = lines.len();
            lines.extend(unread.map(|line| (at, line.clone())));
            if kept.ended && lines.len() == before {
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
        let nothing = said.is_empty() && lines.is_empty();
        said.extend(lines.into_iter().map(|(_, line)| line).filter(|line| asked.takes(line)));
        (!nothing).then_some(said)
    }
}

/// What stands where lines were. Which requests they were of, nobody knows any more.
fn missed(function: &str, count: u64) -> LogLine {
    LogLine {
        number: 0,
        timestamp_ms: now_ms(),
        function: function.to_owned(),
        request: None,
        text: format!(
            "gateway: {count} lines are missing here: they came faster than they were read, and are not kept any more"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Asked = Asked { request: None, since_ms: 0, tail: usize::MAX };

    fn texts(follower: &mut Follower) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(lines) = follower.read(&ALL, u64::MAX) {
            texts.extend(lines.iter().map(|line| format!("{} {}", line.function, line.text)));
        }
        texts
    }

    #[test]
    fn a_slow_one_reads_all_that_is_kept_in_order_and_learns_what_is_missing() {
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
        let kept = g.past(&ALL).lines.len();
        let read = texts(&mut follower);
        let says = format!("g gateway: {} lines are missing here: ", 1000 - kept);
        assert!(read[0].starts_with(&says), "{}", read[0]);
        assert_eq!(read.len(), kept + 1);
        // A function that is gone is followed to its end.
        g.push(None, "last".to_owned());
        drop(g);
        assert_eq!(texts(&mut follower), ["g last"]);
        assert_eq!(follower.sources.len(), 1);
    }
}
