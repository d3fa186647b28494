//! The actions on a request from outside, and their steps.

use bytes::Bytes;
use faasflow_core::machine::forked::{Journal, Message};
use faasflow_core::state::Key;

/// Something that can be done with a request that is remembered, at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Someone pauses the request, and resumes it some time later.
    Pause,
    /// Someone stops the request.
    Stop,
    /// Requests are recovered. With this action, the queue may also lose messages, as a fault. Requests are then recovered some
    /// time later.
    Recover,
    /// Someone starts the request again from what failed, once it has failed or was stopped.
    Redrive,
    /// Someone starts the request again from its second phase, once it has ended.
    RedriveFromSecond,
}

pub(super) const ACTIONS: [Action; 5] =
    [Action::Pause, Action::Stop, Action::Recover, Action::Redrive, Action::RedriveFromSecond];

/// How often each action may be taken.
pub(super) type Actions = [u8; ACTIONS.len()];

/// Why the progress of a request is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    Resume,
    Recover,
}

/// An action in progress: its next step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act {
    /// The request is no longer paused.
    Resume,
    /// More keys are read to find out what has become of the request.
    Survey { why: Why, first: Message, found: Vec<(Key, Option<Bytes>)> },
    /// A request that could not end up to its retirement is retired.
    Retire(u32),
    /// These tokens are posted, one after the other. Then the request is resumed, if it is resumed in the wrong order.
    Post { tokens: Vec<Message>, then_resume: bool },
    /// The request is stopped, with what has happened so far.
    Stop { first: Message, journal: Journal },
}

impl Action {
    pub(super) fn number(self) -> usize {
        self as usize
    }
}

impl Act {
    pub(super) fn resumes(&self) -> bool {
        matches!(self, Act::Resume | Act::Survey { why: Why::Resume, .. } | Act::Post { then_resume: true, .. })
    }
}
