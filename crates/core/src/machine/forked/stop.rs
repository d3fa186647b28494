//! Ends a request from outside.

use bytes::Bytes;

use crate::state::{Key, layout};

use super::effect::{Effect, Ending, Reply};
use super::flaw::Flaw;
use super::journal::Journal;
use super::message::Message;
use super::proceed::{End, Walk, reply};
use super::record::{Over, Reason, decode, encode};
use crate::machine::Route;
use crate::outcome::Outcome;

/// What ends a request that is stopped, in the place of the token that usually does.
pub(super) const STOP: &str = "stop";

/// What is written in its place if a request begins anew that has not ended.
pub(super) const ANEW: &str = "redrive";

/// The key and the value that keep a generation from ending, once the request has begun another one. The tokens of the old one do
/// nothing any more.
#[must_use]
pub fn begun_anew(generation: u32, at_ms: u64) -> (Key, Bytes) {
    let (by, outcome) = (ANEW.to_owned(), Outcome::Stopped.as_str().to_owned());
    (layout::over(generation), encode(&Over { by, outcome, at_ms, record: None }))
}

/// Decides what to do next to stop a request, given what has happened so far. It is called like
/// [`proceed`](super::proceed), with the [first token](Message::fresh) of the request in its current generation.
///
/// If the request has not ended, it ends now, as stopped: its end is reported, and the finaliser runs. What is in progress ends
/// too, but nothing follows it. The reply is [`Reply::Ended`]; if something else had ended the request before, it is
/// [`Reply::Late`].
#[must_use]
pub fn stop<'a>(
    route: impl Into<Route<'a>>,
    first: &'a Message,
    at_ms: u64,
    reason: &Reason,
    journal: &'a Journal,
) -> Effect {
    match Walk::new(route.into(), first, journal, Flaw::None).stop(at_ms, reason) {
        Err(effect) => effect,
        Ok(never) => match never {},
    }
}

impl Walk<'_> {
    fn stop(mut self, at_ms: u64, reason: &Reason) -> End {
        let generation = self.message.place.generation();
        let (by, outcome) = (STOP.to_owned(), Outcome::Stopped.as_str().to_owned());
        let over = Over { by, outcome, at_ms, record: None };
        let stands = self.replay.create(&layout::over(generation), &encode(&over))?;
        match decode::<Over>(&stands) {
            None => reply(Reply::ComeAgain),
            Some(over) if over.by != STOP => reply(Reply::Late),
            Some(_) if self.replay.read(layout::finished(generation))?.is_some() => {
                reply(Reply::Ended(Outcome::Stopped, None))
            }
            Some(_) => self.conclude(Outcome::Stopped, Ending::Failed(reason.clone())),
        }
    }
}
