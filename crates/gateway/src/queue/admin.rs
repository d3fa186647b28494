//! Looking into a queue, and dealing with its dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use faasflow_core::{envelope, without_credentials};
use serde::{Deserialize, Serialize};

use crate::namespace::bare_name;
use crate::queue::record::{Letter, Target, now_ms};
use crate::queue::schedule::Shared;
use crate::queue::store::Change;
use crate::queue::{Queue, QueueError};

/// What a queue has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Totals {
    /// Calls accepted.
    pub accepted: u64,
    /// Calls dropped because one of the same id was accepted before.
    pub duplicates: u64,
    /// Calls and callbacks answered with 2xx.
    pub delivered: u64,
    /// Attempts that were to be made again.
    pub retried: u64,
    /// Calls and callbacks given up.
    pub dead: u64,
}

/// How a queue stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueStats {
    /// Calls and callbacks in it, in flight or waiting.
    pub depth: usize,
    /// The same by function.
    pub functions: BTreeMap<String, usize>,
    /// Deliveries under way.
    pub in_flight: usize,
    /// How long the oldest has been in it, in seconds.
    pub oldest_seconds: f64,
    /// Dead letters kept.
    pub dead_letters: usize,
    /// Records in the file that this version cannot read. They stay there.
    pub unreadable: usize,
    /// What it has done since it was opened.
    #[serde(flatten)]
    pub totals: Totals,
}

/// A call or callback in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueuedCall {
    /// Its number in the queue.
    pub id: u64,
    /// The id of the invocation.
    pub call_id: String,
    /// The function that it goes to, or whose answer it carries.
    pub function: String,
    /// Whether it is a callback.
    pub callback: bool,
    /// The attempt under way, or the next one, from 1.
    pub attempt: u32,
    /// Whether it is being delivered now.
    pub in_flight: bool,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
    /// When the next attempt is due, in the same; 0 for at once.
    pub due_ms: u64,
    /// The size of its body.
    pub bytes: usize,
}

/// A call or callback that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetterSummary {
    /// Its number, by which it is redriven or discarded.
    pub id: u64,
    /// The id of the invocation.
    pub call_id: String,
    /// The function that it was for, or whose answer it carries.
    pub function: String,
    /// Whether it is a callback.
    pub callback: bool,
    /// Why it was given up.
    pub reason: String,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
    /// When it was given up, in the same.
    pub died_ms: u64,
    /// The size of its body.
    pub bytes: usize,
}

/// A dead letter, with what it carried and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// What it is.
    #[serde(flatten)]
    pub summary: DeadLetterSummary,
    /// Where it went: path and query of the function, or the callback URL.
    pub target: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body; what is not UTF-8 is replaced.
    pub body: String,
    /// The headers of the last answer.
    pub answer_headers: Vec<(String, String)>,
    /// The body of the last answer, up to 64 KiB; what is not UTF-8 is replaced.
    pub answer_body: Option<String>,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
// A misspelt key would select all of them.
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Those of these numbers; all, where absent.
    #[serde(default)]
    pub ids: Option<Vec<u64>>,
    /// Those of this function; of every, where absent.
    #[serde(default)]
    pub function: Option<String>,
}

impl Selection {
    /// Whether a letter is of the function that is asked for, by its name with or without the namespace.
    fn is_of(&self, letter: &Letter) -> bool {
        self.function.as_ref().is_none_or(|function| bare_name(function) == bare_name(letter.call.function()))
    }
}

impl Shared {
    /// Removes the dead letters that are too old or too many.
    pub(crate) fn expire_dead(&self) -> Vec<Change> {
        let age = u64::try_from(self.options.dead_letter_age.as_millis()).unwrap_or(u64::MAX);
        let oldest = now_ms().saturating_sub(age);
        let mut schedule = self.schedule();
        let mut changes = Vec::new();
        while let Some(&(id, died)) = schedule.dead.front() {
            if died >= oldest && schedule.dead.len() <= self.options.dead_letter_count {
                break;
            }
            schedule.dead.pop_front();
            changes.push(Change::RemoveDead(id));
        }
        drop(schedule);
        if !changes.is_empty() {
            tracing::warn!("{} dead letters were too old or too many, and are removed", changes.len());
        }
        changes
    }
}

impl Queue {
    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        let schedule = self.shared.schedule();
        let mut functions = BTreeMap::new();
        let mut oldest = None;
        for entry in schedule.entries.values() {
            *functions.entry(entry.function.clone()).or_default() += 1;
            oldest = Some(oldest.map_or(entry.accepted_ms, |oldest: u64| oldest.min(entry.accepted_ms)));
        }
        let age = oldest.map_or(0, |oldest| now_ms().saturating_sub(oldest));
        QueueStats {
            depth: schedule.entries.len(),
            functions,
            in_flight: schedule.in_flight.len(),
            oldest_seconds: std::time::Duration::from_millis(age).as_secs_f64(),
            dead_letters: schedule.dead.len(),
            unreadable: schedule.unreadable.len(),
            totals: schedule.totals,
        }
    }

    /// The records that cannot be read: their numbers and what is wrong. They stay in the file.
    #[must_use]
    pub fn unreadable(&self) -> Vec<(u64, String)> {
        self.shared.schedule().unreadable.clone()
    }

    /// The first `limit` calls and callbacks in it, in the order of acceptance.
    #[must_use]
    pub fn list(&self, limit: usize) -> Vec<QueuedCall> {
        let schedule = self.shared.schedule();
        let queued = schedule.entries.values().take(limit).map(|entry| QueuedCall {
            id: entry.id,
            call_id: entry.call_id.clone(),
            function: entry.function.clone(),
            callback: entry.callback,
            attempt: entry.attempt,
            in_flight: schedule.in_flight.contains(&entry.id),
            accepted_ms: entry.accepted_ms,
            due_ms: entry.due_ms,
            bytes: entry.bytes,
        });
        queued.collect()
    }

    /// The newest `limit` dead letters, newest first.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetterSummary>, QueueError> {
        let ids: Vec<u64> = self.shared.schedule().dead.iter().rev().take(limit).map(|&(id, _)| id).collect();
        // What died a moment ago may still be on its way to the file.
        self.writer.barrier().await?;
        let mut letters = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(letter) = self.writer.read_letter(id).await? {
                letters.push(summary(id, &letter));
            }
        }
        Ok(letters)
    }

    /// One dead letter, whole; `None` if there is none of this number.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub async fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, QueueError> {
        self.writer.barrier().await?;
        Ok(self.writer.read_letter(id).await?.map(|letter| whole(id, &letter)))
    }

    /// Puts dead letters back into the queue, `per_second` of them each second, or all at once. Returns how many.
    /// Each is in the file as the one or the other at every moment.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written; those already moved are in the queue.
    pub async fn redrive(&self, which: &Selection, per_second: Option<u32>) -> Result<u64, QueueError> {
        let _alone = self.shared.letters.lock().await;
        let mut count = 0u64;
        for id in self.selected(which) {
            self.writer.barrier().await?;
            let Some(letter) = self.writer.read_letter(id).await? else { continue };
            if !which.is_of(&letter) {
                continue;
            }
            let wait = per_second.map_or(0, |rate| count * 1000 / u64::from(rate.max(1)));
            let due_ms = if wait == 0 { 0 } else { now_ms() + wait };
            let undo = vec![Change::RemoveCall(id), Change::PutDead(id, letter.encode())];
            let call = Arc::new(letter.call);
            let changes =
                vec![Change::RemoveDead(id), Change::PutCall(id, call.encode()), Change::PutAttempts(id, 0, due_ms)];
            let shared = self.shared.clone();
            let settle = move |written: bool| {
                if written {
                    shared.schedule().dead.retain(|&(dead, _)| dead != id);
                    shared.add([(id, call, due_ms)]);
                }
            };
            self.writer.urgent(changes, undo, settle).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Removes dead letters for good. Returns how many.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written.
    pub async fn discard(&self, which: &Selection) -> Result<u64, QueueError> {
        let _alone = self.shared.letters.lock().await;
        let mut changes = Vec::new();
        let mut discarded = Vec::new();
        self.writer.barrier().await?;
        for id in self.selected(which) {
            if which.function.is_some() {
                let letter = self.writer.read_letter(id).await?;
                if letter.is_none_or(|letter| !which.is_of(&letter)) {
                    continue;
                }
            }
            changes.push(Change::RemoveDead(id));
            discarded.push(id);
        }
        let count = discarded.len() as u64;
        let shared = self.shared.clone();
        let settle = move |written: bool| {
            if written {
                shared.schedule().dead.retain(|(id, _)| !discarded.contains(id));
            }
        };
        self.writer.urgent(changes, Vec::new(), settle).await?;
        Ok(count)
    }

    /// The numbers of dead letters that are selected by number, oldest first.
    fn selected(&self, which: &Selection) -> Vec<u64> {
        let schedule = self.shared.schedule();
        let chosen = |id: &u64| which.ids.as_ref().is_none_or(|ids| ids.contains(id));
        schedule.dead.iter().map(|&(id, _)| id).filter(chosen).collect()
    }
}

fn summary(id: u64, letter: &Letter) -> DeadLetterSummary {
    DeadLetterSummary {
        id,
        call_id: letter.call.call_id.clone(),
        function: letter.call.function().to_owned(),
        callback: letter.call.is_callback(),
        reason: letter.reason.clone(),
        status: letter.answer.as_ref().map(|(status, ..)| status.as_u16()),
        attempts: letter.attempts,
        accepted_ms: letter.call.accepted_ms,
        died_ms: letter.died_ms,
        bytes: letter.call.body.len(),
    }
}

fn whole(id: u64, letter: &Letter) -> DeadLetter {
    let texts = |headers: &http::HeaderMap| {
        let text = |name: &http::HeaderName, value: &http::HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes());
            // They may hold credentials.
            match name.as_str().ends_with("callback-url") {
                // It may be written without a scheme.
                true if !text.contains("://") => without_credentials(&format!("://{text}")).split_off("://".len()),
                true => without_credentials(&text),
                false => text.into_owned(),
            }
        };
        headers.iter().map(|(name, value)| (name.to_string(), text(name, value))).collect::<Vec<_>>()
    };
    let target = match &letter.call.target {
        Target::Callback { url, .. } => without_credentials(&url.to_string()),
        Target::Function { path, query, .. } => match query {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        },
    };
    let answer = letter.answer.as_ref();
    let body = String::from_utf8_lossy(&letter.call.body);
    // An envelope holds the URL to which its caller wants the end reported.
    let body = if is_envelope(&letter.call.headers) { without_credentials(&body) } else { body.into_owned() };
    DeadLetter {
        summary: summary(id, letter),
        target,
        headers: texts(&letter.call.headers),
        body,
        answer_headers: answer.map(|(_, headers, _)| texts(headers)).unwrap_or_default(),
        answer_body: answer.map(|(.., body)| String::from_utf8_lossy(body).into_owned()),
    }
}

fn is_envelope(headers: &http::HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|of| of.as_bytes().starts_with(envelope::CONTENT_TYPE.as_bytes()))
}
