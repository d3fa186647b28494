//! What became of each request, according to the reports.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How a request was reported to have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportedEnd {
    Success,
    /// Success with a wrong payload.
    Wrong,
    Failure,
}

/// The results of a run. Requests are numbered from 0.
pub(super) struct Tally {
    book: Mutex<Book>,
    ended: AtomicUsize,
}

#[derive(Default)]
struct Book {
    requests: Vec<Entry>,
    waiting: HashMap<usize, oneshot::Sender<()>>,
    /// The reasons in the reports of failed requests.
    reasons: HashMap<usize, String>,
    /// Requests that were reported under more than one key.
    keys: HashMap<usize, Vec<String>>,
    reported_again: usize,
}

#[derive(Clone, Default)]
struct Entry {
    accepted: bool,
    reported: Option<ReportedEnd>,
    different: bool,
    twice: bool,
}

impl Tally {
    pub(super) fn new(requests: usize) -> Tally {
        let book = Book { requests: vec![Entry::default(); requests], ..Book::default() };
        Tally { book: Mutex::new(book), ended: AtomicUsize::new(0) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the gateway has accepted a request.
    pub(super) fn accept(&self, request: usize) {
        if let Some(entry) = self.book().requests.get_mut(request) {
            entry.accepted = true;
        }
    }

    /// Resolves when the request has ended.
    pub(super) fn end_of(&self, request: usize) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut book = self.book();
        if book.requests.get(request).is_some_and(|entry| entry.reported.is_some()) {
            let _ = sender.send(());
        } else {
            book.waiting.insert(request, sender);
        }
        receiver
    }

    /// Records a report with this `Idempotency-Key`. The text is the reason of a failure.
    pub(super) fn report(&self, request: usize, key: &str, reported: ReportedEnd, text: &str) {
        let mut guard = self.book();
        let book = &mut *guard;
        let Some(entry) = book.requests.get_mut(request) else { return };
        if reported != ReportedEnd::Success {
            book.reasons.entry(request).or_insert_with(|| text.chars().take(300).collect());
        }
        let keys = book.keys.entry(request).or_default();
        if !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
        entry.twice = keys.len() > 1;
        match entry.reported {
            None => {
                entry.reported = Some(reported);
                self.ended.fetch_add(1, Ordering::SeqCst);
            }
            Some(before) => {
                entry.different |= before != reported;
                book.reported_again += 1;
            }
        }
        if let Some(waiting) = book.waiting.remove(&request) {
            let _ = waiting.send(());
        }
    }

    fn count(&self, counts: impl Fn(&Entry) -> bool) -> usize {
        self.book().requests.iter().filter(|entry| counts(entry)).count()
    }

    pub(super) fn accepted(&self) -> usize {
        self.count(|entry| entry.accepted)
    }

    pub(super) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    pub(super) fn lost(&self) -> usize {
        self.count(|entry| entry.accepted && entry.reported.is_none())
    }

    /// Reports with two keys mean that the request ended twice. A repeated report has the same key.
    pub(super) fn ended_twice(&self) -> usize {
        self.count(|entry| entry.twice)
    }

    pub(super) fn reported_again(&self) -> usize {
        self.book().reported_again
    }

    pub(super) fn different_outcomes(&self) -> usize {
        self.count(|entry| entry.different)
    }

    pub(super) fn failed(&self) -> usize {
        self.count(|entry| entry.reported == Some(ReportedEnd::Failure))
    }

    pub(super) fn wrong_payloads(&self) -> usize {
        self.count(|entry| entry.reported == Some(ReportedEnd::Wrong))
    }

    /// Descriptions of everything that is wrong.
    pub(super) fn faults(&self, requests: usize) -> Vec<String> {
        let accepted = self.accepted();
        let counts = [
            (requests - accepted.min(requests), "were never accepted"),
            (self.lost(), "were lost"),
            (self.ended_twice(), "ended twice"),
            (self.different_outcomes(), "ended with different outcomes"),
            (self.failed(), "were failed by a kill"),
            (self.wrong_payloads(), "ended with a wrong payload"),
        ];
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }

    /// The first requests with a fault.
    pub(super) fn examples(&self, most: usize) -> Vec<String> {
        let book = self.book();
        let wrong = |entry: &Entry| entry.different || entry.twice || entry.reported != Some(ReportedEnd::Success);
        let entries = book.requests.iter().enumerate().filter(|(_, entry)| wrong(entry)).take(most);
        entries
            .map(|(number, entry)| {
                let how = match entry.reported {
                    None if entry.accepted => "accepted, and never reported".to_owned(),
                    None => "never accepted".to_owned(),
                    Some(first) => format!("first reported as {first:?}"),
                };
                let different = if entry.different { ", later otherwise" } else { "" };
                let keys = match book.keys.get(&number) {
                    Some(keys) if keys.len() > 1 => format!(", under the keys {}", keys.join(" and ")),
                    _ => String::new(),
                };
                let reason = book.reasons.get(&number).map(|text| format!(": {text}")).unwrap_or_default();
                format!("request chaos-{number}: {how}{different}{keys}{reason}")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let tally = Tally::new(3);
        (0..3).for_each(|request| tally.accept(request));
        tally
    }

    #[test]
    fn a_clean_run_has_no_faults_and_a_repeated_report_is_not_one() {
        let tally = tally();
        (0..3).for_each(|request| tally.report(request, &format!("{request}-end"), ReportedEnd::Success, ""));
        tally.report(1, "1-end", ReportedEnd::Success, "");
        assert_eq!((tally.ended(), tally.reported_again(), tally.faults(3)), (3, 1, vec![]));
        assert!(tally.examples(9).is_empty());
    }

    #[test]
    fn each_fault_is_counted_and_named() {
        let tally = tally();
        tally.report(0, "0-end", ReportedEnd::Failure, "it could not be reached");
        tally.report(0, "0-end", ReportedEnd::Success, "");
        tally.report(1, "1-end", ReportedEnd::Success, "");
        tally.report(1, "1-other", ReportedEnd::Success, "");
        let faults = [
            "1 were never accepted",
            "1 were lost",
            "1 ended twice",
            "1 ended with different outcomes",
            "1 were failed by a kill",
        ];
        assert_eq!(tally.faults(4), faults);
        let examples = tally.examples(9).join("\n");
        assert!(
            examples.contains("chaos-0: first reported as Failure, later otherwise: it could not be reached"),
            "{examples}"
        );
        assert!(examples.contains("chaos-1") && examples.contains("1-end and 1-other"), "{examples}");
        assert!(examples.contains("chaos-2: accepted, and never reported"), "{examples}");
        let tally = Tally::new(1);
        tally.accept(0);
        tally.report(0, "k", ReportedEnd::Wrong, "012345");
        assert_eq!(tally.faults(1), ["1 ended with a wrong payload"]);
    }
}
