use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::state::{Key, layout};

use super::record::{decode, encode};

/// Why a request cannot go on: an envelope of it was made by a definition of the flow whose steps ahead of it differ from those
/// of the definition that is deployed. The request waits until someone resumes it, starts it again or stops it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The place of the envelope, as text.
    pub place: String,
    /// The shape of the definition that made it.
    pub shape: String,
    /// The shape of the definition that was deployed when it arrived.
    pub deployed: String,
    /// When that was, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Parked {
    /// The key of the value.
    #[must_use]
    pub fn key() -> Key {
        layout::parked()
    }

    /// Decodes the value of the key; `None` if the machine did not write it.
    #[must_use]
    pub fn decode(value: &Bytes) -> Option<Parked> {
        decode(value)
    }

    /// The value of the key.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stores of remembered requests contain such values.
    #[test]
    fn the_encoding_never_changes() {
        let parked = Parked { place: "3@1".into(), shape: "[a]".into(), deployed: "[b]".into(), at_ms: 7 };
        let expected = r#"{"place":"3@1","shape":"[a]","deployed":"[b]","at_ms":7}"#;
        assert_eq!(parked.encode(), expected);
        assert_eq!(Parked::decode(&Bytes::from(expected)), Some(parked));
    }
}
