use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::graph::Place;
use crate::state::{Key, layout};

use super::record::{decode, encode};

/// The deliveries of a place that were given up and come again. It only informs people, so a write may be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// How many there were.
    pub times: u32,
    /// When the first one began, in milliseconds since the Unix epoch.
    pub first_ms: u64,
    /// When the last one was given up, in milliseconds since the Unix epoch.
    pub last_ms: u64,
    /// Why the last one was given up.
    pub reason: String,
    /// The code of that reason, such as `FF0405`.
    pub code: String,
}

impl Tried {
    /// The key of the value.
    #[must_use]
    pub fn key(place: &Place) -> Key {
        layout::tried(place)
    }

    /// Decodes the value of the key; `None` if the machine did not write it.
    #[must_use]
    pub fn decode(value: &Bytes) -> Option<Tried> {
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
        let (reason, code) = ("it is away".to_owned(), "FF0405".to_owned());
        let tried = Tried { times: 2, first_ms: 5, last_ms: 7, reason, code };
        let expected = r#"{"times":2,"first_ms":5,"last_ms":7,"reason":"it is away","code":"FF0405"}"#;
        assert_eq!(tried.encode(), expected);
        assert_eq!(Tried::decode(&Bytes::from(expected)), Some(tried));
    }
}
