//! The JSON of a description, and its versions.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::element::{BodyDescription, ElementDescription, PhaseDescription};
use super::flow::Description;
use super::step::StepDescription;

/// The newest version of the format that this crate reads and writes.
pub const NEWEST_VERSION: u64 = 2;

/// Readers of version 1 expect a list of phases, ignore unknown fields and do not look for a version. Without this field, they
/// would draw an empty flow. With this text instead of the list, they report an error that quotes the text.
const NOTE: &str = "this is version 2, which has `body` instead: update the program that reads it";

/// A flow without flows inside it.
#[derive(Serialize, Deserialize)]
struct Version1 {
    name: String,
    fingerprint: String,
    phases: Vec<Phase1>,
    state: String,
    on_failure: bool,
    finally: bool,
}

#[derive(Serialize, Deserialize)]
struct Phase1 {
    number: usize,
    steps: Vec<StepDescription>,
}

#[derive(Serialize, Deserialize)]
struct Version2 {
    version: u64,
    name: String,
    fingerprint: String,
    #[serde(skip_deserializing)]
    phases: &'static str,
    body: Vec<ElementDescription>,
    state: String,
    on_failure: bool,
    finally: bool,
}

/// The part that all versions have in common.
#[derive(Deserialize)]
struct Header {
    /// Version 1 does not name its version.
    #[serde(default = "first")]
    version: u64,
}

fn first() -> u64 {
    1
}

impl Description {
    /// Reads a description of any version up to [`NEWEST_VERSION`].
    ///
    /// # Errors
    ///
    /// If it is not the description of a flow, or has a later version.
    pub fn from_json(json: &[u8]) -> Result<Description, DescriptionError> {
        let Header { version } = serde_json::from_slice(json)?;
        match version {
            0 | 1 => Ok(serde_json::from_slice::<Version1>(json)?.into()),
            2 => Ok(serde_json::from_slice::<Version2>(json)?.into()),
            version => Err(DescriptionError::Newer { version }),
        }
    }
}

impl Serialize for Description {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Description { name, fingerprint, body, state, finally } = self.clone();
        let BodyDescription { elements, on_failure } = body;
        match phases(&elements) {
            Some(phases) => Version1 { name, fingerprint, phases, state, on_failure, finally }.serialize(serializer),
            None => {
                let body = elements;
                Version2 { version: 2, name, fingerprint, phases: NOTE, body, state, on_failure, finally }
                    .serialize(serializer)
            }
        }
    }
}

/// The phases as version 1 writes them; `None` for a flow that it cannot describe.
fn phases(elements: &[ElementDescription]) -> Option<Vec<Phase1>> {
    let step = |element: &ElementDescription| match element {
        ElementDescription::Step(step) => Some(step.clone()),
        _ => None,
    };
    let phase = |element: &ElementDescription| match element {
        ElementDescription::Phase(PhaseDescription { number, steps }) => {
            Some(Phase1 { number: *number, steps: steps.iter().map(step).collect::<Option<_>>()? })
        }
        _ => None,
    };
    elements.iter().map(phase).collect()
}

impl From<Version1> for Description {
    fn from(flow: Version1) -> Description {
        let Version1 { name, fingerprint, phases, state, on_failure, finally } = flow;
        let phase = |Phase1 { number, steps }| {
            let steps = steps.into_iter().map(ElementDescription::Step).collect();
            ElementDescription::Phase(PhaseDescription { number, steps })
        };
        let body = BodyDescription { elements: phases.into_iter().map(phase).collect(), on_failure };
        Description { name, fingerprint, body, state, finally }
    }
}

impl From<Version2> for Description {
    fn from(flow: Version2) -> Description {
        let Version2 { name, fingerprint, body, state, on_failure, finally, .. } = flow;
        Description { name, fingerprint, body: BodyDescription { elements: body, on_failure }, state, finally }
    }
}

/// Why a description cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum DescriptionError {
    /// It has a version that this program does not know.
    Newer {
        /// The version.
        version: u64,
    },
    /// It is not the description of a flow.
    Unreadable(serde_json::Error),
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DescriptionError::Newer { version } => write!(
                f,
                "the description is version {version}, and this program reads versions up to {NEWEST_VERSION}"
            ),
            DescriptionError::Unreadable(_) => f.write_str("it is not the description of a flow"),
        }
    }
}

impl std::error::Error for DescriptionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DescriptionError::Newer { .. } => None,
            DescriptionError::Unreadable(error) => Some(error),
        }
    }
}

impl From<serde_json::Error> for DescriptionError {
    fn from(error: serde_json::Error) -> DescriptionError {
        DescriptionError::Unreadable(error)
    }
}
