use std::fmt;
use std::panic::Location;

use crate::state::StateError;

/// A definition that cannot be built: everything that is wrong with it, each fault naming its step.
#[derive(Clone, PartialEq, Eq)]
pub struct DefinitionError {
    faults: Vec<Fault>,
}

/// One thing wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    step: Option<usize>,
    text: String,
}

impl Fault {
    pub(crate) fn of_flow(text: impl Into<String>) -> Fault {
        Fault { step: None, text: text.into() }
    }

    pub(crate) fn in_step(step: usize, name: &str, location: &Location<'_>, text: impl fmt::Display) -> Fault {
        let place = format!("{}:{}", location.file(), location.line());
        Fault { step: Some(step), text: format!("step {step} ({name}, {place}): {text}") }
    }

    /// The number of the step, from 1; `None` if the fault is the flow's own.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        self.step
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl DefinitionError {
    pub(crate) fn new(faults: Vec<Fault>) -> DefinitionError {
        DefinitionError { faults }
    }

    /// Everything that is wrong.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the flow cannot be built:")?;
        for fault in &self.faults {
            write!(f, "\n  - {fault}")?;
        }
        Ok(())
    }
}

/// The same as [`Display`](fmt::Display): it is what a `main` that returns the error prints.
impl fmt::Debug for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DefinitionError {}

/// For `.state(S3::from_env()?)` within a definition.
impl From<StateError> for DefinitionError {
    fn from(error: StateError) -> DefinitionError {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        DefinitionError::new(vec![Fault::of_flow(format!("its state manager cannot be used: {error}{cause}"))])
    }
}
