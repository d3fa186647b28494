//! The values that the machine keeps in the store. Each is one line of JSON, followed by the bytes of a payload if there is one.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::envelope::{Carried, Packed, Terms};
use crate::graph::Composite;
use crate::outcome::Outcome;
use crate::payload::Payload;

use super::ended::Ended;
use super::tally::Tally;

/// How a phase or a member ended. It is written once, and later deliveries continue from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) ended: Ended,
    /// Its output or reply; empty if it failed.
    pub(super) output: Carried,
    /// Why it failed.
    pub(super) reason: Option<Reason>,
    /// The body whose failure handler recovered it. The token continues after that body.
    pub(super) recovered: Option<usize>,
    /// The branch that was chosen.
    pub(super) chosen: Option<usize>,
    /// The terms of the members that begin after it.
    pub(super) fork: Option<Terms>,
    /// The number of the entry that the member first tries to create; `None` if the join was decided before it ended.
    pub(super) turn: Option<u32>,
}

/// Why something failed, in words that the caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reason {
    /// The number of the step, from 1; 0 for a join.
    pub step: usize,
    /// The name of the step in messages.
    pub name: String,
    /// The explanation.
    pub text: String,
    /// The code of the error, such as `FF0310`.
    pub code: String,
}

/// A member's place in the order in which the members of a join ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) member: u32,
    pub(super) ended: Ended,
    pub(super) tally: Tally,
}

impl Entry {
    /// Whether it can be an entry of this graph or for-each. A value from the store need not be.
    pub(super) fn fits(&self, composite: &Composite, terms: &Terms) -> bool {
        self.member < terms.members && self.tally.fits(composite, terms)
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Over {
    /// The place whose token ended it, as text.
    pub(super) by: String,
    pub(super) outcome: String,
}

impl Over {
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome.parse().unwrap_or(Outcome::Failure)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    ended: Ended,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Packed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovered: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chosen: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fork: Option<Terms>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<u32>,
}

impl Record {
    fn new(ended: Ended, output: Carried) -> Record {
        Record { ended, output, reason: None, recovered: None, chosen: None, fork: None, turn: None }
    }

    pub(super) fn done(output: Carried) -> Record {
        Record::new(Ended::Done, output)
    }

    pub(super) fn replied(output: Carried) -> Record {
        Record::new(Ended::Replied, output)
    }

    pub(super) fn failed(reason: Reason) -> Record {
        Record { reason: Some(reason), ..Record::new(Ended::Failed, Payload::empty().into()) }
    }

    pub(super) fn encode(&self) -> Bytes {
        let (output, inline) = Packed::pack(&self.output);
        let output = (self.output != Carried::Inline(Payload::empty())).then_some(output);
        let Record { ended, reason, recovered, chosen, fork, turn, .. } = self.clone();
        let json = encode(&Header { ended, output, reason, recovered, chosen, fork, turn });
        let mut bytes = BytesMut::with_capacity(json.len() + 1 + inline.len());
        bytes.put(json);
        bytes.put_u8(b'\n');
        bytes.put(inline);
        bytes.freeze()
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Record> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let Header { ended, output, reason, recovered, chosen, fork, turn } = decode(&bytes.slice(..end))?;
        let output = match output {
            Some(packed) => packed.unpack(&bytes.slice(end + 1..))?,
            None => Payload::empty().into(),
        };
        Some(Record { ended, output, reason, recovered, chosen, fork, turn })
    }
}

/// How a member ended, for the driver, which collects the input of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberRecord {
    /// How it ended.
    pub ended: Ended,
    /// Its output or reply.
    pub output: Carried,
    /// Why it failed.
    pub reason: Option<Reason>,
}

impl MemberRecord {
    /// Decodes the value of a key in an [`Input`](super::Input); `None` if the machine did not write it.
    #[must_use]
    pub fn decode(value: &Bytes) -> Option<MemberRecord> {
        let Record { ended, output, reason, .. } = Record::decode(value)?;
        Some(MemberRecord { ended, output, reason })
    }
}

pub(super) fn encode(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("records are plain data").into()
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &Bytes) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_reverses_encoding() {
        let output = Payload::new(b"\n\xff\n".to_vec()).with_content_type("image/jpeg");
        let reason = Reason { step: 2, name: "f".into(), text: "no".into(), code: "FF0310".into() };
        let records = [
            Record { turn: Some(3), ..Record::done(output.into()) },
            Record { recovered: Some(0), ..Record::failed(reason) },
            Record::replied(Payload::empty().into()),
        ];
        for record in records {
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    /// The stores of requests in progress contain such records.
    #[test]
    fn the_encoding_never_changes() {
        let record = Record { turn: Some(0), ..Record::done(Payload::new("x").into()) };
        assert_eq!(record.encode(), "{\"ended\":\"done\",\"output\":{\"payload\":{\"inline\":1}},\"turn\":0}\nx");
    }
}
