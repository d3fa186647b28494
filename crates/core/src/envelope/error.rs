use crate::code::{self, Code};

/// A body that cannot be read as an envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is damaged, or something else.
    #[error("the envelope is malformed: {0}")]
    Malformed(&'static str),
    /// Its header is no JSON of the known form.
    #[error("the envelope is malformed: its header cannot be read")]
    Header(#[source] serde_json::Error),
    /// It was written by a version not known here.
    #[error("the envelope is of version {0}, only version 1 is known: deploy the same version of the flow everywhere")]
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
}
