use crate::code::{self, Code};

/// A body that cannot be read as an envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is damaged, or is not an envelope at all.
    #[error("the envelope is malformed: {0}")]
    Malformed(&'static str),
    /// Its header is not JSON of the expected form.
    #[error("the envelope is malformed: its header cannot be read")]
    Header(#[source] serde_json::Error),
    /// It was written in a version of the format that this program does not know.
    #[error("the envelope has version {0}, but this program reads only versions 1 and 2")]
    Version(u16),
}

impl EnvelopeError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            EnvelopeError::Malformed(_) | EnvelopeError::Header(_) => code::ENVELOPE_MALFORMED,
            EnvelopeError::Version(_) => code::ENVELOPE_VERSION,
        }
    }

    /// What to do about it, if there is a remedy.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            EnvelopeError::Malformed(_) | EnvelopeError::Header(_) => None,
            EnvelopeError::Version(_) => Some("deploy the same version of the flow everywhere"),
        }
    }
}
