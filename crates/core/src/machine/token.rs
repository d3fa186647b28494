use crate::envelope::Carried;
use crate::graph::Place;
use crate::payload::Payload;

/// A place and a payload: what a delivery brings, and what the next envelope carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    place: Place,
    payload: Carried,
    caller: Caller,
}

impl Token {
    /// Creates a token at a place. No caller waits for its delivery.
    #[must_use]
    pub fn new(place: Place, payload: impl Into<Carried>) -> Token {
        Token { place, payload: payload.into(), caller: Caller::Left }
    }

    /// Sets the caller.
    #[must_use]
    pub fn with_caller(self, caller: Caller) -> Token {
        Token { caller, ..self }
    }

    /// Its place in the plan.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The payload that it carries.
    #[must_use]
    pub fn payload(&self) -> &Carried {
        &self.payload
    }

    /// How the caller learns the end of its request.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// Takes the payload and leaves an empty one, so that the payload is not held in memory twice.
    #[must_use]
    pub fn take_payload(&mut self) -> Carried {
        std::mem::replace(&mut self.payload, Carried::Inline(Payload::empty()))
    }

    /// Like [`take_payload`](Token::take_payload), but `None` if the payload is in a state manager.
    #[must_use]
    pub fn take_inline(&mut self) -> Option<Payload> {
        match self.take_payload() {
            Carried::Inline(payload) => Some(payload),
            Carried::Stored(_) => None,
        }
    }
}

/// How the caller learns the end of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The caller waits for the answer to this delivery, and gets no other message.
    Waits,
    /// The caller gets a report, or did not ask for one.
    Left,
}
