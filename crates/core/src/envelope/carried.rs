use crate::payload::Payload;
use crate::state::Reference;

/// The payload of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Carried {
    /// In the envelope itself.
    Inline(Payload),
    /// In the flow's state manager.
    Stored(Reference),
}

impl From<Payload> for Carried {
    fn from(payload: Payload) -> Carried {
        Carried::Inline(payload)
    }
}
