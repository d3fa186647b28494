use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::graph::Place;
use crate::state::{Key, layout};
use crate::unset::is_unset;

use super::record::{decode, encode};

/// Decisions about a remembered request that come from outside, such as a pause. Unlike all other values that the machine reads,
/// this one can change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Whether no further place begins until the request is resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// How the request was started again, once for each generation after the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    redrives: Vec<Redrive>,
    /// The shape of the definition with which the latest generation began, if that is not the one of the request's first envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,
    /// How often the request was paused.
    #[serde(default, skip_serializing_if = "is_unset")]
    pauses: u32,
    /// When it was last resumed or started again, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub at_ms: u64,
    /// What somebody has to post who has resumed the request or started it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unposted: Option<Unposted>,
    /// What a later version has decided.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// From where a request was started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redrive {
    /// From what failed and what had not begun. All recorded successes are used.
    Failed,
    /// From the phase with this number. Only successes of phases with smaller numbers are used.
    Phase(usize),
}

/// The tokens that have to be posted because a request was resumed or started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unposted {
    /// Those that arrived during the pause.
    Held,
    /// All that are open, because it is not known which were lost.
    Open,
    /// The first one of the latest generation.
    First,
}

impl Control {
    /// The key of the value.
    #[must_use]
    pub fn key() -> Key {
        layout::control()
    }

    /// Decodes the value of the key. A request without one was never paused or started again; `None` if the machine did not
    /// write the value.
    #[must_use]
    pub fn decode(value: Option<&Bytes>) -> Option<Control> {
        value.map_or_else(|| Some(Control::default()), decode)
    }

    /// The value of the key.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// How often the request was started again.
    #[must_use]
    pub fn generation(&self) -> u32 {
        u32::try_from(self.redrives.len()).unwrap_or(u32::MAX)
    }

    /// How the latest generation began; `None` for the first one.
    #[must_use]
    pub fn redrive(&self) -> Option<Redrive> {
        self.redrives.last().copied()
    }

    /// How often the request was paused. A token that meets a pause is noted under this number.
    pub(super) fn pauses(&self) -> u32 {
        self.pauses
    }

    /// The same request, paused.
    #[must_use]
    pub fn pausing(self) -> Control {
        let pauses = self.pauses.saturating_add(u32::from(!self.paused));
        Control { paused: true, pauses, ..self }
    }

    /// The same request, resumed. `unposted` is what has to be posted because of that.
    #[must_use]
    pub fn resumed(self, unposted: Unposted, at_ms: u64) -> Control {
        // An earlier resume may have been interrupted.
        let unposted = Some(if self.unposted.is_some() { Unposted::Open } else { unposted });
        Control { paused: false, at_ms, unposted, ..self }
    }

    /// The same request, started again.
    #[must_use]
    pub fn redriven(self, from: Redrive, at_ms: u64) -> Control {
        let redrives = [&self.redrives[..], &[from]].concat();
        Control { paused: false, redrives, at_ms, unposted: Some(Unposted::First), ..self }
    }

    /// The same request, of which everything was posted.
    #[must_use]
    pub fn posted(self) -> Control {
        Control { unposted: None, ..self }
    }

    /// The same request, whose latest generation begins with the definition of this shape.
    #[must_use]
    pub fn with_shape(self, shape: impl Into<String>) -> Control {
        Control { shape: Some(shape.into()), ..self }
    }

    /// The earlier generations whose success at this place is used instead of executing it again, from the latest to the first.
    #[doc(hidden)]
    pub fn reused(&self, place: &Place) -> impl Iterator<Item = u32> {
        let generations = self.redrives.iter().enumerate().rev();
        let before = move |redrive: &Redrive| match redrive {
            Redrive::Failed => true,
            Redrive::Phase(number) => place.phase() < *number,
        };
        let generations = generations.take_while(move |(_, redrive)| before(redrive));
        generations.map(|(generation, _)| u32::try_from(generation).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successes_from_before_a_phase_are_used() {
        let control =
            Control::default().redriven(Redrive::Failed, 0).redriven(Redrive::Phase(3), 0).redriven(Redrive::Failed, 0);
        let reused = |phase: usize| control.reused(&Place::from(phase)).collect::<Vec<_>>();
        assert_eq!(control.generation(), 3);
        assert_eq!(reused(2), [2, 1, 0]);
        // Generation 2 began at phase 3, so what an earlier one did there is not used.
        assert_eq!(reused(3), [2]);
        assert_eq!(reused(4), [2]);
    }

    /// The stores of remembered requests contain such values.
    #[test]
    fn the_encoding_never_changes() {
        let control = Control::default().pausing();
        assert_eq!(control.encode(), r#"{"paused":true,"pauses":1}"#);
        assert_eq!(control.clone().pausing(), control);
        let control = control.resumed(Unposted::Held, 17);
        assert_eq!(control.encode(), r#"{"pauses":1,"at_ms":17,"unposted":"held"}"#);
        let control = Control::default().redriven(Redrive::Failed, 0).redriven(Redrive::Phase(3), 19);
        assert_eq!(control.encode(), r#"{"redrives":["failed",{"phase":3}],"at_ms":19,"unposted":"first"}"#);
        let control = control.posted();
        assert_eq!(control.encode(), r#"{"redrives":["failed",{"phase":3}],"at_ms":19}"#);
        assert_eq!(Control::decode(Some(&control.encode())), Some(control.clone()));
        let control = control.with_shape("[call f]");
        assert_eq!(control.encode(), r#"{"redrives":["failed",{"phase":3}],"shape":"[call f]","at_ms":19}"#);
        assert_eq!(Control::decode(Some(&control.encode())), Some(control));
        assert_eq!(Control::decode(None), Some(Control::default()));
        assert_eq!(Control::decode(Some(&Bytes::from_static(b"?"))), None);
    }

    /// Every instance of a flow reads, changes and writes the value, and some may be of an earlier version.
    #[test]
    fn what_a_later_version_has_decided_is_kept() {
        let later = Bytes::from_static(br#"{"paused":true,"pauses":2,"weight":{"of":[3]}}"#);
        let control = Control::decode(Some(&later)).unwrap();
        assert_eq!(control.encode(), later);
        let resumed = control.resumed(Unposted::Held, 5).posted();
        assert_eq!(resumed.encode(), r#"{"pauses":2,"at_ms":5,"weight":{"of":[3]}}"#);
    }

    #[test]
    fn what_an_interrupted_resume_has_not_posted_is_posted_by_the_next_one() {
        let control = Control::default().pausing().resumed(Unposted::Held, 1).pausing().resumed(Unposted::Held, 2);
        assert_eq!(control.unposted, Some(Unposted::Open));
        assert_eq!(control.posted().pausing().resumed(Unposted::Held, 3).unposted, Some(Unposted::Held));
    }
}
