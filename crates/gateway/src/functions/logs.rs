//! What functions write, the last of it kept, and heard as it comes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faasflow_core::RequestId;
use faasflow_core::line::cut;
use faasflow_http::now_ms;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;

use crate::event::{Event, Events};

/// How many bytes of each function's log are kept; the oldest lines go first.
pub const KEPT_LOG: usize = 4 << 20;
/// What a line takes besides its text, about: empty ones are not for nothing.
const LINE: usize = 128;
/// What is over that of one line is left out, and counted.
const LONGEST_LINE: usize = 16 * 1024;
/// Room in it for how much was left out.
const NOTE: usize = 48;

/// A line that a function wrote.
#[derive(Debug)]
pub(crate) struct LogLine {
    /// Its place among the lines of all functions.
    pub(crate) number: u64,
    pub(crate) timestamp_ms: u64,
    pub(crate) function: String,
    /// The request of the process that wrote it, where it has a process of its own.
    pub(crate) request: Option<RequestId>,
    pub(crate) text: String,
}

impl LogLine {
    /// Whether it is of this request: written by a process of its own, or with its id in it. What names its request is of
    /// no other one, whatever words it has: an id may be as short as `1`.
    pub(crate) fn is_of(&self, request: &RequestId) -> bool {
        let id = request.as_str();
        self.request.as_ref() == Some(request)
            || named(&self.text).map_or_else(|| has_word(&self.text, id), |of| of == id)
    }
}

/// The request that a line names as those of flows do, for people or as JSON.
fn named(text: &str) -> Option<&str> {
    let for_people = || Some(text.split_once("[Request `")?.1.split_once("`]")?.0);
    let as_json = || {
        let value = text.split_once("\"request_id\"")?.1.trim_start().strip_prefix(':')?.trim_start();
        Some(value.strip_prefix('"')?.split_once('"')?.0)
    };
    // The message of an object may be about another request.
    if text.starts_with('{') { as_json().or_else(for_people) } else { for_people().or_else(as_json) }
}

/// Whether a text has an id in it that is not part of a longer one. Ids may have dots and colons in them, which at the
/// end of a word are punctuation.
fn has_word(text: &str, id: &str) -> bool {
    let of_a_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let punctuation = ['.', ':'];
    text.match_indices(id).any(|(at, _)| {
        let before = text[..at].trim_end_matches(punctuation);
        let after = text[at + id.len()..].trim_start_matches(punctuation);
        !before.ends_with(of_a_word) && !after.starts_with(of_a_word)
    })
}

/// Which lines are asked for.
pub(crate) struct Asked {
    /// Only those of this request.
    pub(crate) request: Option<RequestId>,
    /// None older than that.
    pub(crate) since_ms: u64,
    /// The last ones, so many.
    pub(crate) tail: usize,
}

impl Asked {
    pub(crate) fn takes(&self, line: &LogLine) -> bool {
        line.timestamp_ms >= self.since_ms && self.request.as_ref().is_none_or(|request| line.is_of(request))
    }
}

/// What the logs of all functions go through.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    /// Told of each line; those who listen read it where it is kept.
    written: watch::Sender<()>,
    count: Arc<AtomicU64>,
    events: Events,
}

impl Journal {
    pub(crate) fn new(events: Events) -> Journal {
        Journal { written: watch::Sender::new(()), count: Arc::default(), events }
    }

    /// Changes with each line from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.written.subscribe()
    }

    /// The number of the last line.
    pub(crate) fn last(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// The log of one function.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(super) function: String,
    pub(super) kept: Arc<Mutex<Kept>>,
    journal: Journal,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    /// How many lines there were before, which are not kept any more.
    pub(super) dropped: u64,
    /// Whether no more come.
    pub(super) ended: bool,
}

/// What is kept of a log.
pub(crate) struct Past {
    pub(crate) lines: Vec<Arc<LogLine>>,
    /// How many lines there were until now, also those that were not asked for and those that are not kept.
    pub(crate) read: u64,
    /// Where there were lines before that are not kept any more: the number of the oldest one that is.
    pub(crate) kept_from: Option<u64>,
}

impl Logs {
    pub(crate) fn new(function: String, journal: Journal) -> Logs {
        Logs { function, kept: Arc::default(), journal }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, which a process of this request wrote where there is such a one.
    pub(crate) fn push(&self, request: Option<&RequestId>, text: String) {
        let _ = self.journal.events.send(Event::Log { function: self.function.clone(), line: text.clone() });
        let mut kept = self.lock();
        let line = Arc::new(LogLine {
            number: self.journal.count.fetch_add(1, Ordering::Relaxed) + 1,
            timestamp_ms: now_ms(),
            function: self.function.clone(),
            request: request.cloned(),
            text,
        });
        kept.bytes += line.text.len() + LINE;
        kept.lines.push_back(line);
        while kept.bytes > KEPT_LOG
            && let Some(oldest) = kept.lines.pop_front()
        {
            kept.bytes -= oldest.text.len() + LINE;
            kept.dropped += 1;
        }
        drop(kept);
        self.journal.written.send_replace(());
    }

    /// The last `count` lines.
    pub(crate) fn tail(&self, count: usize) -> Vec<Arc<LogLine>> {
        let kept = self.lock();
        kept.lines.iter().skip(kept.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// What is kept of those that are asked for.
    pub(crate) fn past(&self, asked: &Asked) -> Past {
        self.lock().past(asked)
    }

    /// Takes lines until the writer closes its end.
    pub(crate) async fn take(&self, request: Option<&RequestId>, writer: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(writer);
        let mut line = Vec::new();
        let mut left_out = 0;
        loop {
            let (taken, ended) = match reader.fill_buf().await {
                Ok([]) | Err(_) => break,
                Ok(read) => {
                    let end = read.iter().position(|&byte| byte == b'\n');
                    let part = &read[..end.unwrap_or(read.len())];
                    // A line without end costs no memory.
                    let room = part.len().min(LONGEST_LINE - line.len());
                    line.extend_from_slice(&part[..room]);
                    left_out += part.len() - room;
                    (part.len() + usize::from(end.is_some()), end.is_some())
                }
            };
            reader.consume(taken);
            if ended {
                self.push(request, text(&line, left_out));
                line.clear();
                left_out = 0;
            }
        }
        if !line.is_empty() {
            self.push(request, text(&line, left_out));
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.lock().ended = true;
        self.journal.written.send_replace(());
    }
}

impl Kept {
    fn past(&self, asked: &Asked) -> Past {
        // From the end, so that what is not in the tail need not be looked at.
        let wanted = self.lines.iter().rev().filter(|line| asked.takes(line)).take(asked.tail);
        let mut lines: Vec<Arc<LogLine>> = wanted.cloned().collect();
        lines.reverse();
        let kept_from = self.lines.front().map(|line| line.number).filter(|_| self.dropped > 0);
        Past { lines, read: self.dropped + self.lines.len() as u64, kept_from }
    }
}

/// A line as text. If something was left out behind it, it ends with a whole character and with how much that was.
fn text(line: &[u8], mut left_out: usize) -> String {
    if left_out == 0 {
        // Each byte that is no text becomes a character of three.
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        return if text.len() > LONGEST_LINE { cut(&text).into_owned() } else { text.into_owned() };
    }
    let kept = &line[..line.len() - NOTE];
    // The last character that begins, if it does not end.
    let begins = kept.iter().rev().take(4).position(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let broken = begins.map(|at| at + 1).filter(|&length| std::str::from_utf8(&kept[kept.len() - length..]).is_err());
    let kept = &kept[..kept.len() - broken.unwrap_or(0)];
    left_out += NOTE + broken.unwrap_or(0);
    let kept = String::from_utf8_lossy(kept);
    let shown = &kept[..kept.floor_char_boundary(LONGEST_LINE - NOTE)];
    left_out += kept.len() - shown.len();
    format!("{shown}… ({left_out} bytes left out)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_whole_word() {
        for (text, found) in [
            ("[Request `a-1`] Created", true),
            (r#"{"request_id":"a-1","message":"Created"}"#, true),
            ("a-1", true),
            ("request=a-1 a-1: it failed at a-1.", true),
            ("a-10 a-1-1 xa-1 a-1x _a-1 é-a-1 a-1é", false),
            ("a-1.5 a-1:2 2:a-1 2.a-1", false),
            ("a-10 and a-1", true),
            ("", false),
        ] {
            assert_eq!(has_word(text, "a-1"), found, "{text}");
        }
        assert!(has_word("order:17.", "order:17") && !has_word("order:17.1", "order:17"));
    }

    #[test]
    fn a_line_that_names_its_request_is_of_no_other() {
        for (text, ids) in [
            ("[Request `a`] Executing phase 1 phase=1", "a"),
            ("WARN [Request `a`] it knows of [Request `1`] phase=1", "a"),
            (r#"{"message":"[Request `1`] 1","request_id":"a","phase":1}"#, "a"),
            (r#"{"request_id" : "a", "phase": "1"}"#, "a"),
            ("[Request `1`] about a", "1"),
            ("of a and of 1", "a1"),
            ("[Request `a is not closed, 1", "a1"),
            (r#"{"request_id":1,"of":"a"}"#, "a1"),
            ("[Request `a-10`] phase=10", ""),
        ] {
            let line =
                |request| LogLine { number: 1, timestamp_ms: 1, function: "f".into(), request, text: text.into() };
            for id in ["a", "1"] {
                let request = RequestId::parse(id).unwrap();
                assert_eq!(line(None).is_of(&request), ids.contains(id), "{id}: {text}");
                assert!(line(Some(request.clone())).is_of(&request), "its process has it: {text}");
            }
        }
    }

    #[tokio::test]
    async fn r3_a_long_line_is_cut_at_a_character_and_the_rest_is_counted() {
        for shift in ["", "x", "xx", "xxx"] {
            for character in ["y", "é", "漢", "🦀"] {
                let logs = Logs::new("f".to_owned(), Journal::new(tokio::sync::mpsc::unbounded_channel().0));
                let long = format!("{shift}{}", character.repeat(70_000));
                logs.take(None, format!("{long}\nshort\n").as_bytes()).await;
                let lines = logs.tail(3);
                assert_eq!((lines.len(), lines[1].text.as_str()), (2, "short"));
                let (kept, left_out) = lines[0].text.split_once("… (").unwrap();
                let left_out: usize = left_out.strip_suffix(" bytes left out)").unwrap().parse().unwrap();
                assert!(long.starts_with(kept) && kept.len() + left_out == long.len(), "{shift}{character}");
                assert!(lines[0].text.len() <= LONGEST_LINE);
            }
        }
        let logs = Logs::new("f".to_owned(), Journal::new(tokio::sync::mpsc::unbounded_channel().0));
        let longest = "x".repeat(LONGEST_LINE);
        logs.take(None, longest.as_bytes()).await;
        assert_eq!(logs.tail(1)[0].text, longest);
    }

    #[test]
    fn the_oldest_lines_go_first() {
        let logs = Logs::new("f".to_owned(), Journal::new(tokio::sync::mpsc::unbounded_channel().0));
        let all = Asked { request: None, since_ms: 0, tail: usize::MAX };
        let line = "x".repeat(LONGEST_LINE);
        let fit = KEPT_LOG / (LONGEST_LINE + LINE);
        for _ in 0..fit {
            logs.push(None, line.clone());
        }
        let past = logs.past(&all);
        assert_eq!((past.lines.len(), past.kept_from), (fit, None));
        logs.push(None, String::new());
        logs.push(None, line.clone());
        let past = logs.past(&all);
        assert_eq!((past.lines[0].number, past.kept_from), (2, Some(2)));
        assert_eq!(past.read, fit as u64 + 2);
        for _ in 0..KEPT_LOG / LINE * 2 {
            logs.push(None, String::new());
        }
        assert_eq!(logs.past(&all).lines.len(), KEPT_LOG / LINE);
    }
}
