use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::graph::Place;
use crate::state::{Key, layout};
use crate::unset::is_unset;

use super::record::{decode, encode};
use super::steps::Steps;

/// How many attempts are described, the last ones. All are counted.
const DESCRIBED: usize = 20;
/// How many of the last attempts have their steps described.
const WITH_STEPS: usize = 3;

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
    /// The last ones, in order. An older version did not describe them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began, in milliseconds since the Unix epoch; 0 if that is not known because its process died.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub began_ms: u64,
    /// When it was given up, or when that was noticed.
    pub given_up_ms: u64,
    /// Why it was given up.
    pub reason: String,
    /// The code of that reason.
    pub code: String,
    /// When its steps were executed. It is empty if there is no more to tell than the times above, and for all but the last attempts.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub steps: Steps,
}

impl Tried {
    /// The key of the value.
    #[must_use]
    pub fn key(place: &Place) -> Key {
        layout::tried(place)
    }

    /// Adds the latest attempt to those before it. With it, there were `times`.
    #[must_use]
    pub fn after(before: Option<Tried>, times: u32, latest: Attempt) -> Tried {
        let began_ms = if latest.began_ms == 0 { latest.given_up_ms } else { latest.began_ms };
        let (first_ms, mut attempts) = match before {
            Some(before) => (before.first_ms, before.attempts),
            None => (began_ms, Vec::new()),
        };
        let (last_ms, reason, code) = (latest.given_up_ms, latest.reason.clone(), latest.code.clone());
        attempts.push(latest);
        attempts.drain(..attempts.len().saturating_sub(DESCRIBED));
        let earlier = attempts.len().saturating_sub(WITH_STEPS);
        attempts[..earlier].iter_mut().for_each(|attempt| attempt.steps = Steps::default());
        Tried { times, first_ms, last_ms, reason, code, attempts }
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

    fn attempt(began_ms: u64, given_up_ms: u64) -> Attempt {
        Attempt {
            began_ms,
            given_up_ms,
            reason: "it is away".to_owned(),
            code: "FF0405".to_owned(),
            steps: Steps::default(),
        }
    }

    /// The stores of remembered requests contain such values.
    #[test]
    fn the_encoding_never_changes() {
        let (reason, code) = ("it is away".to_owned(), "FF0405".to_owned());
        let tried = Tried { times: 2, first_ms: 5, last_ms: 7, reason, code, attempts: Vec::new() };
        let expected = r#"{"times":2,"first_ms":5,"last_ms":7,"reason":"it is away","code":"FF0405"}"#;
        assert_eq!(tried.encode(), expected);
        assert_eq!(Tried::decode(&Bytes::from(expected)), Some(tried.clone()));

        let tried = Tried::after(Some(tried), 3, attempt(8, 9));
        let expected = r#"{"times":3,"first_ms":5,"last_ms":9,"reason":"it is away","code":"FF0405","attempts":[{"began_ms":8,"given_up_ms":9,"reason":"it is away","code":"FF0405"}]}"#;
        assert_eq!(tried.encode(), expected);
        assert_eq!(Tried::decode(&Bytes::from(expected)), Some(tried));
    }

    #[test]
    fn all_attempts_are_counted_and_the_last_ones_are_described() {
        let mut tried = Tried::after(None, 1, attempt(3, 4));
        for time in 2..=30 {
            tried = Tried::after(Some(tried), time, attempt(10 * u64::from(time), 10 * u64::from(time) + 1));
        }
        assert_eq!((tried.times, tried.first_ms, tried.last_ms), (30, 3, 301));
        let began: Vec<u64> = tried.attempts.iter().map(|attempt| attempt.began_ms).collect();
        assert_eq!(began, (11..=30).map(|time| 10 * time).collect::<Vec<_>>());
        let steps = || Steps { unlisted: 1, ..Steps::default() };
        for time in 40..50 {
            tried = Tried::after(Some(tried), time, Attempt { steps: steps(), ..attempt(1, 2) });
        }
        let with_steps = tried.attempts.iter().filter(|attempt| attempt.steps == steps()).count();
        assert_eq!((with_steps, tried.attempts.last().unwrap().steps == steps()), (WITH_STEPS, true));
        // Nothing is known of the beginning of an attempt whose process died.
        assert_eq!(Tried::after(None, 1, attempt(0, 4)).first_ms, 4);
    }
}
