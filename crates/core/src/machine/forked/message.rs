use crate::envelope::{Branching, Carried, Origin, Terms};
use crate::graph::Place;
use crate::machine::Caller;
use crate::payload::Payload;

/// A token of a request with branches: what a delivery brings, and what an envelope of version 2 carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Where it stands.
    pub place: Place,
    /// What it carries; empty unless the origin is the payload itself.
    pub payload: Carried,
    /// Where its input comes from.
    pub origin: Origin,
    /// The terms of the joins ahead of it: one for each element of the path of its place.
    pub joins: Vec<Terms>,
    /// Who learns how the request ends, should it end with this delivery.
    pub caller: Caller,
}

impl Message {
    /// The first token of a request.
    #[must_use]
    pub fn fresh(start: Place, payload: impl Into<Carried>, caller: Caller) -> Message {
        Message { place: start, payload: payload.into(), origin: Origin::Token, joins: Vec::new(), caller }
    }

    /// A token that an envelope has carried.
    #[must_use]
    pub fn arrived(place: Place, payload: Carried, branching: Branching) -> Message {
        let Branching { origin, joins } = branching;
        Message { place, payload, origin, joins, caller: Caller::Left }
    }

    /// What its envelope says besides place and payload.
    #[must_use]
    pub fn branching(&self) -> Branching {
        Branching { origin: self.origin.clone(), joins: self.joins.clone() }
    }

    /// The same token at another place, with this payload.
    pub(super) fn onward(&self, place: Place, payload: Carried) -> Message {
        let joins = self.joins.clone();
        Message { place, payload, origin: Origin::Token, joins, caller: Caller::Left }
    }

    /// A token of a member that this one begins, or a neighbour of it.
    pub(super) fn begin(place: Place, payload: Carried, origin: Origin, joins: Vec<Terms>) -> Message {
        Message { place, payload, origin, joins, caller: Caller::Left }
    }

    /// A token of a join, outside of its members.
    pub(super) fn join(place: Place, terms: Terms, entry: Option<u32>, joins: Vec<Terms>) -> Message {
        let origin = Origin::Join { terms, entry };
        Message { place, payload: Payload::empty().into(), origin, joins, caller: Caller::Left }
    }
}
