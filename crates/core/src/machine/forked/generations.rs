//! What is recorded of a place in earlier generations of a request.

use bytes::Bytes;

use crate::graph::Place;
use crate::machine::{Caller, Route};
use crate::payload::Payload;
use crate::state::{Key, layout};

use super::ended::Ended;
use super::flaw::Flaw;
use super::journal::Journal;
use super::message::Message;
use super::proceed::Walk;
use super::progress::{PlaceProgress, Standing, progress};
use super::record::Record;
use super::tried::Tried;

/// How many earlier generations of a place are told about, the last ones.
const TOLD: u32 = 5;

/// A place in an earlier generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierPlace {
    /// The place, with its generation.
    pub place: Place,
    /// The keys to read: the record of the phase, and the deliveries that were given up.
    pub keys: [Key; 2],
}

/// The same place in the last generations before its own, from the earliest to the latest.
#[must_use]
pub fn earlier_places<'a>(route: impl Into<Route<'a>>, place: &Place) -> Vec<EarlierPlace> {
    let route = route.into();
    let Some(segment) = route.plan().segment(place) else { return Vec::new() };
    let generations = place.generation().saturating_sub(TOLD)..place.generation();
    let earlier = generations.map(|generation| {
        let place = place.clone().in_generation(generation);
        let token = Message::fresh(place, Payload::empty(), Caller::Left);
        let journal = Journal::new();
        let record = Walk::new(route, &token, &journal, Flaw::None).record_key(segment);
        EarlierPlace { keys: [record, layout::tried(&token.place)], place: token.place }
    });
    earlier.collect()
}

impl EarlierPlace {
    /// What is recorded there. `found` has the values of its keys. `None` if nothing is, or if `now` has used its success.
    #[must_use]
    pub fn progress(&self, found: [Option<&Bytes>; 2], now: &PlaceProgress) -> Option<PlaceProgress> {
        let [record, tried] = found;
        let record = record.and_then(Record::decode);
        let tried = tried.and_then(Tried::decode);
        let is_used = |record: &Record| {
            record.ended == Ended::Done && now.ended() == Some(Ended::Done) && record.times == now.times
        };
        if record.as_ref().is_some_and(is_used) {
            return None;
        }
        let standing = match (&record, &tried) {
            (Some(record), _) => Standing::Ended(record.ended),
            (None, Some(_)) => Standing::Stopped,
            (None, None) => return None,
        };
        Some(progress(&self.place, standing, record.as_ref(), tried))
    }
}
