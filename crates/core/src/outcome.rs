use std::fmt;
use std::str::FromStr;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every step succeeded.
    Success,
    /// A step failed, and the flow's failure handler recovered.
    Recovered,
    /// A step failed, and the request failed with it.
    Failure,
    /// Someone stopped the request.
    Stopped,
}

impl Outcome {
    /// The word for it in headers and logs: `success`, `recovered`, `failure` or `stopped`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Recovered => "recovered",
            Outcome::Failure => "failure",
            Outcome::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Outcome, UnknownOutcome> {
        [Outcome::Success, Outcome::Recovered, Outcome::Failure, Outcome::Stopped]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

/// The error of a text that is not an [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an outcome: expected `success`, `recovered`, `failure` or `stopped`")]
pub struct UnknownOutcome(String);
