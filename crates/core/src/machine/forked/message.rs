use crate::envelope::{Branching, Carried, Origin, Terms};
use crate::graph::Place;
use crate::machine::Caller;
use crate::payload::Payload;

/// A token of a request with branches, as a delivery brings it and an envelope of version 2 carries it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The place of the phase to execute.
    pub place: Place,
    /// The payload that it carries; empty if the input comes from elsewhere.
    pub payload: Carried,
    /// Where its input comes from.
    pub origin: Origin,
    /// The terms of the joins ahead of it, one for each element of its place's path.
    pub joins: Vec<Terms>,
    /// The recipient of the request's result, if the request ends with this delivery.
    pub caller: Caller,
    /// Whether the request is remembered after its end, and can be paused, stopped and started again.
    pub remembered: bool,
    /// The id of the span of the delivery, as hexadecimal digits, if it is traced. It is kept with the results that the delivery
    /// records, so that the span of a join can link to it.
    pub span: Option<String>,
}

impl Message {
    /// Creates the first token of a request.
    #[must_use]
    pub fn fresh(start: Place, payload: impl Into<Carried>, caller: Caller) -> Message {
        Message {
            place: start,
            payload: payload.into(),
            origin: Origin::Token,
            joins: Vec::new(),
            caller,
            remembered: false,
            span: None,
        }
    }

    /// Creates a token from the contents of an envelope.
    #[must_use]
    pub fn arrived(place: Place, payload: Carried, branching: Branching) -> Message {
        let Branching { origin, joins } = branching;
        Message { place, payload, origin, joins, caller: Caller::Left, remembered: false, span: None }
    }

    /// The part of its envelope that describes the branches.
    #[must_use]
    pub fn branching(&self) -> Branching {
        Branching { origin: self.origin.clone(), joins: self.joins.clone() }
    }

    /// Moves the token to another place, with this payload.
    pub(super) fn onward(&self, place: Place, payload: Carried) -> Message {
        let joins = self.joins.clone();
        Message { place, payload, origin: Origin::Token, joins, caller: Caller::Left, remembered: false, span: None }
    }

    /// Creates the first token of a member.
    pub(super) fn begin(place: Place, payload: Carried, origin: Origin, joins: Vec<Terms>) -> Message {
        Message { place, payload, origin, joins, caller: Caller::Left, remembered: false, span: None }
    }

    /// Creates the token of a join. It is outside the members that are joined.
    pub(super) fn join(place: Place, terms: Terms, entry: Option<u32>, joins: Vec<Terms>) -> Message {
        let origin = Origin::Join { terms, entry };
        Message {
            place,
            payload: Payload::empty().into(),
            origin,
            joins,
            caller: Caller::Left,
            remembered: false,
            span: None,
        }
    }
}
