use crate::envelope::Carried;
use crate::graph::Place;
use crate::payload::Payload;

/// A place and a payload: what a delivery brings, and what an envelope carries on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    place: Place,
    payload: Carried,
    caller: Caller,
}

impl Token {
    /// A token at a place, for whose delivery nobody waits.
    #[must_use]
    pub fn new(place: Place, payload: impl Into<Carried>) -> Token {
        Token { place, payload: payload.into(), caller: Caller::Left }
    }

    /// The same token, of this caller.
    #[must_use]
    pub fn with_caller(self, caller: Caller) -> Token {
        Token { caller, ..self }
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What it carries.
    #[must_use]
    pub fn payload(&self) -> &Carried {
        &self.payload
    }

    /// Who learns how its request ends.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// Takes out what it carries, and leaves it empty, so that nothing is held twice.
    #[must_use]
    pub fn take_payload(&mut self) -> Carried {
        std::mem::replace(&mut self.payload, Carried::Inline(Payload::empty()))
    }

    /// The same, if it is here and not in a state manager.
    #[must_use]
    pub fn take_inline(&mut self) -> Option<Payload> {
        match self.take_payload() {
            Carried::Inline(payload) => Some(payload),
            Carried::Stored(_) => None,
        }
    }
}

/// Who learns how the request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// It waits for the answer to this very delivery, and nobody else tells it.
    Waits,
    /// It gets a report, or has not asked for any.
    Left,
}
