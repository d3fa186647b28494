//! The logs of functions. The last lines are kept, and listeners can follow.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faasflow_core::RequestId;
use faasflow_core::line::cut;
use faasflow_http::now_ms;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;

use crate::event::{Event, Events};
use crate::functions::origin::{CallsInProgress, Origin, named_place};

/// How many bytes of each function's log are kept. The oldest lines go first.
pub const KEPT_LOG: usize = 4 << 20;
/// About how many bytes a line takes in addition to its text.
const LINE_OVERHEAD: usize = 128;
/// The longest line that is kept, in bytes. The log says how many bytes of a longer line are left out.
const LONGEST_LINE: usize = 16 * 1024;
/// The room in a line for the note that says so.
const NOTE: usize = 48;

/// How long an unfinished line may wait for its end. After that, the part that has arrived becomes a line. So the log shows
/// prompts, and the last words of a program that hangs.
const UNFINISHED: Duration = Duration::from_secs(1);

/// A line that a function wrote.
#[derive(Debug)]
pub(crate) struct LogLine {
    /// Its number among the lines of all functions.
    pub(crate) number: u64,
    pub(crate) timestamp_ms: u64,
    pub(crate) function: String,
    /// The call whose process wrote it, if each call has its own process.
    pub(crate) origin: Option<Origin>,
    /// The only call of the function that was in progress when it was written, if its process serves many calls.
    pub(crate) during: Option<Arc<Origin>>,
    pub(crate) text: String,
}

impl LogLine {
    /// Whether it belongs to this request: the request's own process wrote it, or it contains the id. A line that names its
    /// request belongs to no other, whatever words it contains, because an id may be as short as `1`.
    pub(crate) fn is_of(&self, request: &RequestId) -> bool {
        let id = request.as_str();
        self.request() == Some(request) || named(&self.text).map_or_else(|| has_word(&self.text, id), |of| of == id)
    }

    /// The request whose process wrote it, if each call has its own process.
    pub(crate) fn request(&self) -> Option<&RequestId> {
        self.origin.as_ref().map(|origin| &origin.request)
    }

    /// Whether it belongs to this place of this request: the line says so itself, or the call that wrote it came from there.
    pub(crate) fn is_at(&self, request: &RequestId, place: &str) -> bool {
        if let Some(origin) = &self.origin {
            return origin.is_at(request, place);
        }
        match named(&self.text) {
            Some(of) if of != request.as_str() => false,
            Some(_) if named_place(&self.text).is_some_and(|at| at == place) => true,
            Some(_) if named_place(&self.text).is_some() => false,
            _ => self.during.as_ref().is_some_and(|origin| origin.is_at(request, place)),
        }
    }
}

/// The request that a line names in the format of flows, in the form for people or in JSON.
fn named(text: &str) -> Option<&str> {
    let for_people = || Some(text.split_once("[Request `")?.1.split_once("`]")?.0);
    let as_json = || {
        let value = text.split_once("\"request_id\"")?.1.trim_start().strip_prefix(':')?.trim_start();
        Some(value.strip_prefix('"')?.split_once('"')?.0)
    };
    // The message in a JSON line may mention another request.
    if text.starts_with('{') { as_json().or_else(for_people) } else { for_people().or_else(as_json) }
}

/// Whether a text contains an id as a whole word. Ids may contain dots and colons, which count as punctuation at the end of a
/// word.
fn has_word(text: &str, id: &str) -> bool {
    let of_a_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let punctuation = ['.', ':'];
    text.match_indices(id).any(|(at, _)| {
        let before = text[..at].trim_end_matches(punctuation);
        let after = text[at + id.len()..].trim_start_matches(punctuation);
        !before.ends_with(of_a_word) && !after.starts_with(of_a_word)
    })
}

/// Selects lines of a log.
pub(crate) struct LogFilter {
    /// Only lines of this request.
    pub(crate) request: Option<RequestId>,
    /// Only lines of this place of the request.
    pub(crate) place: Option<String>,
    /// No older lines, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// Only this many of the last lines.
    pub(crate) tail: usize,
}

impl LogFilter {
    pub(crate) fn matches(&self, line: &LogLine) -> bool {
        line.timestamp_ms >= self.since_ms
            && self.request.as_ref().is_none_or(|request| match &self.place {
                Some(place) => line.is_at(request, place),
                None => line.is_of(request),
            })
    }
}

/// What the logs of all functions share.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    /// Notified of each line. Listeners read the line from the buffer of its log.
    written: watch::Sender<()>,
    count: Arc<AtomicU64>,
    events: Events,
}

impl Journal {
    pub(crate) fn new(events: Events) -> Journal {
        Journal { written: watch::Sender::new(()), count: Arc::default(), events }
    }

    /// Returns a receiver that is notified of each line from now on.
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
    pub(super) buffer: Arc<Mutex<Buffer>>,
    journal: Journal,
    /// The calls that the function's processes work on.
    pub(crate) calls: CallsInProgress,
}

/// The last lines of a log.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    /// How many earlier lines were dropped.
    pub(super) dropped: u64,
    /// Whether the log is complete.
    pub(super) ended: bool,
}

/// The kept lines of a log that a filter selects.
pub(crate) struct Past {
    pub(crate) lines: Vec<Arc<LogLine>>,
    /// How many earlier lines the filter selects too, which the tail leaves out. They are counted only for a place.
    pub(crate) left_out: usize,
    /// How many lines the log has had until now, including those that were dropped or not selected.
    pub(crate) read: u64,
    /// The number of the oldest line that is kept, if earlier ones were dropped.
    pub(crate) kept_from: Option<u64>,
}

impl Logs {
    pub(crate) fn new(function: String, journal: Journal) -> Logs {
        Logs { function, buffer: Arc::default(), journal, calls: CallsInProgress::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line of the gateway about a function. `origin` is the call that it is about.
    pub(crate) fn push(&self, origin: Option<&Origin>, text: String) {
        self.add(origin, None, text);
    }

    /// Adds a line that a function wrote. `origin` is the call whose process wrote it, if each call has its own process.
    fn push_written(&self, origin: Option<&Origin>, text: String) {
        let during = if origin.is_none() { self.calls.only() } else { None };
        self.add(origin, during, text);
    }

    fn add(&self, origin: Option<&Origin>, during: Option<Arc<Origin>>, text: String) {
        let _ = self.journal.events.send(Event::Log { function: self.function.clone(), line: text.clone() });
        let mut buffer = self.lock();
        let line = Arc::new(LogLine {
            number: self.journal.count.fetch_add(1, Ordering::Relaxed) + 1,
            timestamp_ms: now_ms(),
            function: self.function.clone(),
            origin: origin.cloned(),
            during,
            text,
        });
        buffer.bytes += line.text.len() + LINE_OVERHEAD;
        buffer.lines.push_back(line);
        while buffer.bytes > KEPT_LOG
            && let Some(oldest) = buffer.lines.pop_front()
        {
            buffer.bytes -= oldest.text.len() + LINE_OVERHEAD;
            buffer.dropped += 1;
        }
        drop(buffer);
        self.journal.written.send_replace(());
    }

    /// The last `count` lines.
    pub(crate) fn tail(&self, count: usize) -> Vec<Arc<LogLine>> {
        let buffer = self.lock();
        buffer.lines.iter().skip(buffer.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// A text with the last few lines after it, as an explanation of why the function ended.
    pub(super) fn with_last_lines(&self, text: &str) -> String {
        let tail: Vec<String> = self.tail(5).iter().map(|line| line.text.clone()).collect();
        if tail.is_empty() { text.to_owned() } else { format!("{text}; its last lines:\n{}", tail.join("\n")) }
    }

    /// The kept lines that a filter selects.
    pub(crate) fn past(&self, filter: &LogFilter) -> Past {
        self.lock().past(filter)
    }

    /// Reads lines until the writer closes its end. `origin` is the call whose process writes them, if each call has its own process.
    pub(crate) async fn read(&self, origin: Option<&Origin>, writer: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(writer);
        let mut line = PartialLine::default();
        loop {
            let (taken, ended) = {
                let read = if line.is_empty() {
                    reader.fill_buf().await
                } else {
                    match tokio::time::timeout(UNFINISHED, reader.fill_buf()).await {
                        Ok(read) => read,
                        Err(_) => {
                            self.push_written(origin, line.take());
                            line.continues = true;
                            continue;
                        }
                    }
                };
                match read {
                    Ok([]) | Err(_) => break,
                    Ok(read) => {
                        let end = read.iter().position(|&byte| byte == b'\n');
                        line.extend(&read[..end.unwrap_or(read.len())]);
                        (end.unwrap_or(read.len()) + usize::from(end.is_some()), end.is_some())
                    }
                }
            };
            reader.consume(taken);
            if ended {
                // If all of the line was logged already, its end is not another line.
                if !(line.continues && line.is_empty()) {
                    self.push_written(origin, line.take());
                }
                line.continues = false;
            }
        }
        if !line.is_empty() {
            self.push_written(origin, line.take());
        }
    }
}

/// The part of a line that has arrived. It takes no more memory than [`LONGEST_LINE`].
#[derive(Default)]
struct PartialLine {
    beginning: Vec<u8>,
    left_out: usize,
    /// Whether an earlier part of the line was logged already.
    continues: bool,
}

impl PartialLine {
    fn is_empty(&self) -> bool {
        self.beginning.is_empty()
    }

    fn extend(&mut self, part: &[u8]) {
        let room = part.len().min(LONGEST_LINE - self.beginning.len());
        self.beginning.extend_from_slice(&part[..room]);
        self.left_out += part.len() - room;
    }

    fn take(&mut self) -> String {
        let text = text(&self.beginning, self.left_out);
        self.beginning.clear();
        self.left_out = 0;
        text
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.lock().ended = true;
        self.journal.written.send_replace(());
    }
}

impl Buffer {
    fn past(&self, filter: &LogFilter) -> Past {
        // From the end, so that lines before the tail are not inspected.
        let mut wanted = self.lines.iter().rev().filter(|line| filter.matches(line));
        let mut lines: Vec<Arc<LogLine>> = wanted.by_ref().take(filter.tail).cloned().collect();
        lines.reverse();
        let left_out = if filter.place.is_some() { wanted.count() } else { 0 };
        let kept_from = self.lines.front().map(|line| line.number).filter(|_| self.dropped > 0);
        Past { lines, left_out, read: self.dropped + self.lines.len() as u64, kept_from }
    }
}

/// Converts a line to text. If bytes were left out, the text ends with a whole character and the number of those bytes.
fn text(line: &[u8], mut left_out: usize) -> String {
    if left_out == 0 {
        // Each byte that is not UTF-8 becomes a character of three bytes.
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        return if text.len() > LONGEST_LINE { cut(&text).into_owned() } else { text.into_owned() };
    }
    let beginning = &line[..line.len() - NOTE];
    // The start of the last character, if the character is incomplete.
    let begins = beginning.iter().rev().take(4).position(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let broken =
        begins.map(|at| at + 1).filter(|&length| std::str::from_utf8(&beginning[beginning.len() - length..]).is_err());
    let beginning = &beginning[..beginning.len() - broken.unwrap_or(0)];
    left_out += NOTE + broken.unwrap_or(0);
    let beginning = String::from_utf8_lossy(beginning);
    let shown = &beginning[..beginning.floor_char_boundary(LONGEST_LINE - NOTE)];
    left_out += beginning.len() - shown.len();
    format!("{shown}… ({left_out} bytes left out)")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

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
    fn a_line_that_names_its_request_belongs_to_no_other() {
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
            let line = |request: Option<RequestId>| LogLine {
                number: 1,
                timestamp_ms: 1,
                function: "f".into(),
                origin: request.map(|request| Origin { request, place: None }),
                during: None,
                text: text.into(),
            };
            for id in ["a", "1"] {
                let request = RequestId::parse(id).unwrap();
                assert_eq!(line(None).is_of(&request), ids.contains(id), "{id}: {text}");
                assert!(line(Some(request.clone())).is_of(&request), "its process has it: {text}");
            }
        }
    }

    /// A process that serves many calls says of no line which call it is about.
    #[tokio::test]
    async fn a_line_belongs_to_the_place_whose_call_was_the_only_one() {
        let logs = Logs::new("f".to_owned(), Journal::new(tokio::sync::mpsc::unbounded_channel().0));
        let call = |request: &'static str, key: &'static str| {
            let value = http::HeaderValue::from_static;
            let pairs = [("x-faasflow-request-id", value(request)), ("idempotency-key", value(key))];
            let headers = pairs.map(|(name, value)| (http::HeaderName::from_static(name), value));
            logs.calls.begin(&http::HeaderMap::from_iter(headers))
        };
        let writes = async |text: &str| logs.read(None, format!("{text}\n").as_bytes()).await;
        let first = call("a", "a-2-3");
        writes("one").await;
        writes("[Request `a`] two phase=5").await;
        writes("[Request `b`] three phase=2").await;
        let second = call("b", "b-2.6/3-4");
        writes("nobody knows whose").await;
        drop(first);
        writes("four").await;
        writes("[Request `b`] five phase=3 place=2.6/3").await;
        logs.push(None, "gateway: six".to_owned());
        let own = Origin { request: RequestId::parse("a").unwrap(), place: Some("2".to_owned()) };
        logs.read(Some(&own), "seven\n".as_bytes()).await;
        drop(second);
        writes("nothing is in progress").await;
        let at = |request: &str, place: &str, tail: usize| {
            let (request, place) = (RequestId::parse(request), Some(place.to_owned()));
            let past = logs.past(&LogFilter { request, place, since_ms: 0, tail });
            (past.lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>(), past.left_out)
        };
        let all = usize::MAX;
        assert_eq!(at("a", "2", all), (vec!["one".to_owned(), "seven".to_owned()], 0));
        assert_eq!(at("a", "2", 1), (vec!["seven".to_owned()], 1));
        assert_eq!(at("a", "5", all).0, ["[Request `a`] two phase=5"]);
        assert_eq!(at("b", "2", all).0, ["[Request `b`] three phase=2"]);
        assert_eq!(at("b", "2.6/3", all).0, ["four", "[Request `b`] five phase=3 place=2.6/3"]);
        assert_eq!(at("b", "3", all).0, Vec::<String>::new());
    }

    #[tokio::test]
    async fn r3_a_long_line_is_cut_at_a_character_and_the_rest_is_counted() {
        for shift in ["", "x", "xx", "xxx"] {
            for character in ["y", "é", "漢", "🦀"] {
                let logs = Logs::new("f".to_owned(), Journal::new(tokio::sync::mpsc::unbounded_channel().0));
                let long = format!("{shift}{}", character.repeat(70_000));
                logs.read(None, format!("{long}\nshort\n").as_bytes()).await;
                let lines = logs.tail(3);
                assert_eq!((lines.len(), lines[1].text.as_str()), (2, "short"));
                let (beginning, left_out) = lines[0].text.split_once("… (").unwrap();
                let left_out: usize = left_out.strip_suffix(" bytes left out)").unwrap().parse().unwrap();
                assert!(long.starts_with(beginning) && beginning.len() + left_out == long.len(), "{shift}{character}");
                assert!(lines[0].text.len() <= LONGEST_LINE);
            }
        }
        let logs = Logs::new("f".to_owned(), Journal::new(tokio::sync::mpsc::unbounded_channel().0));
        let longest = "x".repeat(LONGEST_LINE);
        logs.read(None, longest.as_bytes()).await;
        assert_eq!(logs.tail(1)[0].text, longest);
    }

    /// Prompts, and the last words of a program that hangs, were logged only when the program ended.
    #[tokio::test(start_paused = true)]
    async fn an_unfinished_line_is_logged_after_a_pause() {
        let logs = Logs::new("f".to_owned(), Journal::new(tokio::sync::mpsc::unbounded_channel().0));
        let (mut writer, reader) = tokio::io::duplex(LONGEST_LINE * 4);
        let texts = || logs.tail(10).iter().map(|line| line.text.clone()).collect::<Vec<_>>();
        let writing = async {
            writer.write_all(b"first\nPassword").await.unwrap();
            tokio::time::sleep(UNFINISHED / 2).await;
            writer.write_all(b": ").await.unwrap();
            tokio::time::sleep(UNFINISHED / 2).await;
            assert_eq!(texts(), ["first"], "it was not yet silent for so long");
            tokio::time::sleep(UNFINISHED).await;
            assert_eq!(texts(), ["first", "Password:"]);
            // The end of the line is not a line, but an empty line after it is one.
            writer.write_all(b"\n\nnext\n").await.unwrap();
            tokio::time::sleep(2 * UNFINISHED).await;
            assert_eq!(texts(), ["first", "Password:", "", "next"]);
            // A long line is cut.
            writer.write_all("x".repeat(LONGEST_LINE * 2).as_bytes()).await.unwrap();
            tokio::time::sleep(2 * UNFINISHED).await;
            let line = texts().pop().unwrap();
            assert!(line.len() <= LONGEST_LINE && line.ends_with("bytes left out)"), "{}", line.len());
            writer.write_all(b"the rest\nat exit").await.unwrap();
            drop(writer);
        };
        tokio::join!(logs.read(None, reader), writing);
        assert_eq!(texts()[5..], ["the rest", "at exit"]);
    }

    #[test]
    fn the_oldest_lines_are_dropped_first() {
        let logs = Logs::new("f".to_owned(), Journal::new(tokio::sync::mpsc::unbounded_channel().0));
        let all = LogFilter { request: None, place: None, since_ms: 0, tail: usize::MAX };
        let line = "x".repeat(LONGEST_LINE);
        let fit = KEPT_LOG / (LONGEST_LINE + LINE_OVERHEAD);
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
        for _ in 0..KEPT_LOG / LINE_OVERHEAD * 2 {
            logs.push(None, String::new());
        }
        assert_eq!(logs.past(&all).lines.len(), KEPT_LOG / LINE_OVERHEAD);
    }
}
