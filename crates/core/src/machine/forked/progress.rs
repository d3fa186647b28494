//! What has become of a request.

use crate::code;
use crate::envelope::Carried;
use crate::graph::Place;
use crate::outcome::Outcome;
use crate::state::Key;

use super::control::Control;
use super::ended::Ended;
use super::failed_answer::{AnswerSummary, FailedAnswer};
use super::message::Message;
use super::parked::Parked;
use super::record::{Reason, Record};
use super::tally::Members;
use super::times::Times;
use super::tried::Tried;

/// How many failed items of a for-each are described. The others are only counted.
pub const FAILED: usize = 20;

/// All items of a for-each with at most so many are described, also those that have ended.
pub(super) const FEW: u32 = 20;

/// What has become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What was decided from outside.
    pub control: Control,
    /// How it ended, if it has.
    pub end: Option<End>,
    /// Why it cannot go on, if it has not ended.
    pub parked: Option<Parked>,
    /// The phases that have begun or are about to, in the order in which they follow each other. Of the items of a for-each
    /// with more than 20, or inside an item, that have ended, only the first [`FAILED`] that failed are here.
    pub places: Vec<PlaceProgress>,
    /// The tokens that make the request go on if they are posted. Some of them may be in a queue or in progress; if these are
    /// posted again, what they execute is executed twice, but its result is recorded once.
    pub open: Vec<Message>,
    /// The open tokens that arrived during the last pause, so they are neither in a queue nor in progress.
    pub held: Vec<Message>,
    /// When the request last moved, in milliseconds since the Unix epoch, as far as it is recorded; 0 if it is not.
    pub moved_ms: u64,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// Its outcome.
    pub outcome: Outcome,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The key of the result that it ended with; `None` if it was stopped.
    pub record: Option<String>,
    /// Whether the end was reported, and the finaliser has run.
    pub is_finished: bool,
}

/// The progress of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaceProgress {
    /// Its place.
    pub place: Place,
    /// How far it is.
    pub standing: Standing,
    /// When it was executed.
    pub times: Times,
    /// Its output, without the bytes.
    pub output: Option<Output>,
    /// Why it failed, or what a failure handler has recovered.
    pub reason: Option<Reason>,
    /// Whether a failure handler has recovered it.
    pub is_recovered: bool,
    /// The branch that it chose.
    pub chosen: Option<usize>,
    /// The answer of the function that made it fail, if it is known.
    pub answer: Option<AnswerSummary>,
    /// The deliveries that were given up.
    pub tried: Option<Tried>,
    /// The members that it began.
    pub members: Option<Members>,
    /// The labels of the items that it is in, from the outermost to the innermost.
    pub labels: Vec<String>,
}

impl PlaceProgress {
    /// The progress of a phase that has not begun.
    #[must_use]
    pub fn not_begun(place: &Place, standing: Standing) -> PlaceProgress {
        progress(place, standing, None, None)
    }

    /// How it ended; `None` if it has not.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        match self.standing {
            Standing::Ended(ended) => Some(ended),
            Standing::Waiting | Standing::Running | Standing::Stopped => None,
        }
    }

    /// The key of the answer that made it fail, if an answer did.
    #[must_use]
    pub fn answer_key(&self) -> Option<Key> {
        let reason = self.reason.as_ref().filter(|reason| reason.code == code::ERROR_ANSWER.as_str());
        reason.map(|_| FailedAnswer::key(&self.place))
    }

    /// The request has ended, and with it everything that had not.
    pub(super) fn stop(&mut self) {
        if self.ended().is_none() {
            self.standing = Standing::Stopped;
        }
        if let Some(members) = &mut self.members {
            members.stopped += std::mem::take(&mut members.waiting) + std::mem::take(&mut members.running);
        }
    }

    /// The request is paused or parked, so it is not known whether what is open has begun.
    pub(super) fn wait(&mut self) {
        if self.standing == Standing::Running {
            self.standing = Standing::Waiting;
        }
        if let Some(members) = &mut self.members {
            members.waiting += std::mem::take(&mut members.running);
        }
    }
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// It has not ended, and the request is paused or parked. It may still be in progress, because what had begun before goes on.
    Waiting,
    /// It is in a queue or in progress.
    Running,
    /// It will not end any more, because it is not needed: the request has ended, or the join ahead of it was decided.
    Stopped,
    /// It has ended.
    Ended(Ended),
}

/// The output of a phase, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its content type.
    pub content_type: Option<String>,
}

pub(super) fn progress(
    place: &Place,
    standing: Standing,
    record: Option<&Record>,
    tried: Option<Tried>,
) -> PlaceProgress {
    let output = record.filter(|record| record.ended != Ended::Failed).map(|record| match &record.output {
        Carried::Inline(payload) => {
            Output { bytes: payload.len() as u64, content_type: payload.content_type().map(str::to_owned) }
        }
        Carried::Stored(reference) => Output { bytes: reference.bytes(), content_type: None },
    });
    PlaceProgress {
        place: place.clone(),
        standing,
        times: record.map(|record| record.times.clone()).unwrap_or_default(),
        output,
        reason: record.and_then(|record| record.reason.clone()),
        is_recovered: record.is_some_and(|record| record.recovered.is_some()),
        chosen: record.and_then(|record| record.chosen),
        answer: None,
        tried,
        members: None,
        labels: Vec::new(),
    }
}
