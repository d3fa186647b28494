//! The values that the machine keeps in the store. Each is one line of JSON, followed by the bytes of a payload if there is one.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::envelope::{Carried, Packed, Terms};
use crate::graph::Place;
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::unset::is_unset;

use super::ended::Ended;
use super::steps::Steps;
use super::times::Times;

/// How a phase or a member ended. It is written once, and later deliveries continue from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) ended: Ended,
    /// Its output or reply; empty if it failed.
    pub(super) output: Carried,
    /// Why it failed, also if a handler recovered it or replied.
    pub(super) reason: Option<Reason>,
    /// The body whose failure handler recovered it. The token continues after that body.
    pub(super) recovered: Option<usize>,
    /// The branch that was chosen.
    pub(super) chosen: Option<usize>,
    /// The terms of the members that begin after it.
    pub(super) fork: Option<Terms>,
    /// The number of the entry that the member first tries to create; `None` if the join was decided before it ended.
    pub(super) turn: Option<u32>,
    /// The id of the span of the delivery that wrote it.
    pub(super) span: Option<String>,
    /// When it was executed.
    pub(super) times: Times,
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

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Over {
    /// The place whose token ended it, as text.
    pub(super) by: String,
    pub(super) outcome: String,
    /// When it ended, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub(super) at_ms: u64,
    /// The key of the record that it ended with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<String>,
}

impl Over {
    /// The place whose token ended it, which is in no branch; `None` if it was stopped.
    pub(super) fn place(&self) -> Option<Place> {
        let (phase, generation) = self.by.split_once('@').unwrap_or((&self.by, "0"));
        Some(Place::from(phase.parse::<usize>().ok()?).in_generation(generation.parse().ok()?))
    }

    /// An outcome that only a later version knows counts as a failure.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    span: Option<String>,
    #[serde(default, skip_serializing_if = "is_unset")]
    queued_ms: u64,
    #[serde(default, skip_serializing_if = "is_unset")]
    began_ms: u64,
    #[serde(default, skip_serializing_if = "is_unset")]
    done_ms: u64,
    #[serde(default, skip_serializing_if = "is_unset")]
    steps: Steps,
}

impl Record {
    fn new(ended: Ended, output: Carried) -> Record {
        let times = Times::default();
        Record { ended, output, reason: None, recovered: None, chosen: None, fork: None, turn: None, span: None, times }
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
        let Record { ended, reason, recovered, chosen, fork, turn, span, times, .. } = self.clone();
        let Times { queued_ms, began_ms, done_ms, steps } = times;
        let steps = Arc::unwrap_or_clone(steps);
        let json = encode(&Header {
            ended,
            output,
            reason,
            recovered,
            chosen,
            fork,
            turn,
            span,
            queued_ms,
            began_ms,
            done_ms,
            steps,
        });
        let mut bytes = BytesMut::with_capacity(json.len() + 1 + inline.len());
        bytes.put(json);
        bytes.put_u8(b'\n');
        bytes.put(inline);
        bytes.freeze()
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Record> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let header: Header = decode(&bytes.slice(..end))?;
        let Header { ended, output, reason, recovered, chosen, fork, turn, span, queued_ms, began_ms, done_ms, steps } =
            header;
        let output = match output {
            Some(packed) => packed.unpack(&bytes.slice(end + 1..))?,
            None => Payload::empty().into(),
        };
        let times = Times { queued_ms, began_ms, done_ms, steps: Arc::new(steps) };
        Some(Record { ended, output, reason, recovered, chosen, fork, turn, span, times })
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
    /// The id of the span of the phase in which it ended, if it was traced.
    pub span: Option<String>,
}

impl MemberRecord {
    /// Decodes the value of a key in an [`Input`](super::Input); `None` if the machine did not write it.
    #[must_use]
    pub fn decode(value: &Bytes) -> Option<MemberRecord> {
        let Record { ended, output, reason, span, .. } = Record::decode(value)?;
        Some(MemberRecord { ended, output, reason, span })
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
    use super::super::steps::{CallTimes, StepTimes};
    use super::*;

    #[test]
    fn decoding_reverses_encoding() {
        let output = Payload::new(b"\n\xff\n".to_vec()).with_content_type("image/jpeg");
        let reason = Reason { step: 2, name: "f".into(), text: "no".into(), code: "FF0310".into() };
        let records = [
            Record { turn: Some(3), span: Some("00f067aa0ba902b7".into()), ..Record::done(output.into()) },
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

        let times = Times { began_ms: 5, done_ms: 7, ..Times::default() };
        let record = Record { times: times.clone(), ..Record::done(Payload::empty().into()) };
        assert_eq!(record.encode(), "{\"ended\":\"done\",\"began_ms\":5,\"done_ms\":7}\n");
        let record = Record { times: Times { queued_ms: 3, ..times }, ..record };
        let expected = "{\"ended\":\"done\",\"queued_ms\":3,\"began_ms\":5,\"done_ms\":7}\n";
        assert_eq!(record.encode(), expected);
        assert_eq!(Record::decode(&Bytes::from(expected)), Some(record.clone()));
        let calls = vec![
            CallTimes { began_ms: 0, done_ms: 2, status: Some(503), reason: String::new() },
            CallTimes { began_ms: 3, done_ms: 9, status: None, reason: "no answer within 6ms".into() },
        ];
        let (name, branch) = ("function `f`".to_owned(), "item-2".to_owned());
        let step = StepTimes { step: 2, name, branch, began_ms: 1, done_ms: 9, failed: true, calls, earlier_calls: 4 };
        let times = Times { steps: Arc::new(Steps { listed: vec![step], unlisted: 3 }), ..record.times };
        let record = Record { times, ..record };
        let calls = r#"[{"done_ms":2,"status":503},{"began_ms":3,"done_ms":9,"reason":"no answer within 6ms"}]"#;
        let step = format!(
            r#"{{"step":2,"name":"function `f`","branch":"item-2","began_ms":1,"done_ms":9,"failed":true,"calls":{calls},"earlier_calls":4}}"#
        );
        let steps = format!(r#"{{"listed":[{step}],"unlisted":3}}"#);
        let expected =
            format!("{{\"ended\":\"done\",\"queued_ms\":3,\"began_ms\":5,\"done_ms\":7,\"steps\":{steps}}}\n");
        assert_eq!(record.encode(), expected);
        assert_eq!(Record::decode(&Bytes::from(expected)), Some(record));

        let reason = Reason { step: 2, name: "f".into(), text: "no".into(), code: "FF0310".into() };
        let span = Some("00f067aa0ba902b7".to_owned());
        let record = Record { recovered: Some(1), chosen: Some(0), span, ..Record::failed(reason) };
        let reason = r#"{"step":2,"name":"f","text":"no","code":"FF0310"}"#;
        let expected = format!(
            r#"{{"ended":"failed","reason":{reason},"recovered":1,"chosen":0,"span":"00f067aa0ba902b7"}}{}"#,
            '\n'
        );
        assert_eq!(record.encode(), expected);
    }

    #[test]
    fn the_encoding_of_an_end_never_changes() {
        let over = Over { by: "2@1".into(), outcome: "success".into(), at_ms: 0, record: None };
        assert_eq!(encode(&over), r#"{"by":"2@1","outcome":"success"}"#);
        let over = Over { at_ms: 7, record: Some("result/2@1".into()), ..over };
        let expected = r#"{"by":"2@1","outcome":"success","at_ms":7,"record":"result/2@1"}"#;
        assert_eq!(encode(&over), expected);
        assert_eq!(decode(&Bytes::from(expected)), Some(over));
    }
}
