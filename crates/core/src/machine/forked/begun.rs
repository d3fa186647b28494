use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::state::{Key, layout};

use super::record::{decode, encode};

/// How a request that is remembered began. It is written before anything is executed, and changes only if its first delivery is
/// given up or another one takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The hash of the request's query and body, as hexadecimal digits. Another request with the same id has another one.
    pub input_sha256: String,
    /// The id of the invocation that began it. It is the same if a queue delivers the invocation again.
    pub invocation: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Whether its caller waited for its end, so that its phases may be executed without a queue.
    pub caller_waits: bool,
    /// When another delivery most recently took over, in milliseconds since the Unix epoch.
    pub taken_over_ms: Option<u64>,
    /// Whether the delivery that began it was given up, so that it is about to be removed.
    pub is_given_up: bool,
    /// The id of the request whose input it has, if it repeats one.
    pub repeats: Option<String>,
    /// The encoded envelope of its first phase, from which it can begin again.
    pub envelope: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    input_sha256: String,
    invocation: String,
    at_ms: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    caller_waits: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken_over_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_given_up: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeats: Option<String>,
}

const VERSION: u32 = 1;

impl Begun {
    /// The key of the value.
    #[must_use]
    pub fn key() -> Key {
        layout::begun()
    }

    /// The value of the key: a line of JSON, and the envelope.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Begun { input_sha256, invocation, at_ms, caller_waits, taken_over_ms, is_given_up, repeats, envelope } =
            self.clone();
        let version = VERSION;
        let json = encode(&Header {
            version,
            input_sha256,
            invocation,
            at_ms,
            caller_waits,
            taken_over_ms,
            is_given_up,
            repeats,
        });
        let mut bytes = BytesMut::with_capacity(json.len() + 1 + envelope.len());
        bytes.put(json);
        bytes.put_u8(b'\n');
        bytes.put(envelope);
        bytes.freeze()
    }

    /// Decodes the value of the key; `None` if this version of the machine cannot read it.
    #[must_use]
    pub fn decode(value: &Bytes) -> Option<Begun> {
        let end = value.iter().position(|byte| *byte == b'\n')?;
        let header: Header = decode(&value.slice(..end))?;
        let Header { version, input_sha256, invocation, at_ms, caller_waits, taken_over_ms, is_given_up, repeats } =
            header;
        let envelope = value.slice(end + 1..);
        let begun =
            Begun { input_sha256, invocation, at_ms, caller_waits, taken_over_ms, is_given_up, repeats, envelope };
        (version == VERSION).then_some(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stores of remembered requests contain such values.
    #[test]
    fn the_encoding_never_changes() {
        let begun = Begun {
            input_sha256: "ab".into(),
            invocation: "i".into(),
            at_ms: 7,
            caller_waits: false,
            taken_over_ms: None,
            is_given_up: false,
            repeats: None,
            envelope: Bytes::from_static(b"FAASFLOW\n"),
        };
        let text = "{\"version\":1,\"input_sha256\":\"ab\",\"invocation\":\"i\",\"at_ms\":7}\nFAASFLOW\n";
        assert_eq!(begun.encode(), text);
        assert_eq!(Begun::decode(&begun.encode()), Some(begun.clone()));
        let waits = Begun { caller_waits: true, ..begun.clone() };
        assert_eq!(waits.encode(), text.replace("7}", "7,\"caller_waits\":true}"));
        assert_eq!(Begun::decode(&waits.encode()), Some(waits));
        let repeats = Begun { repeats: Some("r".into()), ..begun.clone() };
        assert_eq!(repeats.encode(), text.replace(":7}", ":7,\"repeats\":\"r\"}"));
        assert_eq!(Begun::decode(&repeats.encode()), Some(repeats));
        let left = Begun { taken_over_ms: Some(8), is_given_up: true, ..begun };
        let told = text.replace(":7}", ":7,\"taken_over_ms\":8,\"is_given_up\":true}");
        assert_eq!(left.encode(), told);
        assert_eq!(Begun::decode(&left.encode()), Some(left));
        let later = text.replace("\"version\":1", "\"version\":2");
        assert_eq!(Begun::decode(&Bytes::from(later)), None);
    }
}
