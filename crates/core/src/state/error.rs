use std::fmt;

use crate::code::{self, Code};
use crate::report::Problem;

/// The error of a state manager.
#[derive(Debug)]
pub struct StateError {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    sizes: Option<(u64, u64)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorKind {
    Temporary,
    Permanent,
    Misconfigured,
    Unsupported,
}

impl StateError {
    fn new(kind: ErrorKind, message: String) -> StateError {
        StateError { kind, message, help: None, sizes: None, source: None }
    }

    /// Creates an error that may go away: the backend is unreachable or overloaded.
    #[must_use]
    pub fn temporary(message: impl Into<String>) -> StateError {
        StateError::new(ErrorKind::Temporary, message.into())
    }

    /// Creates an error that will not go away, such as wrong credentials or a missing bucket.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> StateError {
        StateError::new(ErrorKind::Permanent, message.into())
    }

    /// Creates the error of a setting or secret that cannot be used, so that the state manager cannot even be created.
    #[must_use]
    pub fn misconfigured(message: impl Into<String>) -> StateError {
        StateError::new(ErrorKind::Misconfigured, message.into())
    }

    /// Creates the error of an operation that the backend does not support. `what` names the operation.
    #[must_use]
    pub fn unsupported(what: impl fmt::Display) -> StateError {
        StateError::new(ErrorKind::Unsupported, format!("this state manager does not support {what}"))
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> StateError {
        self.source = Some(Box::new(source));
        self
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.kind {
            ErrorKind::Temporary => code::STATE_UNREACHABLE,
            ErrorKind::Permanent => code::STATE_REFUSED,
            ErrorKind::Misconfigured => code::BAD_STATE_SETTING,
            ErrorKind::Unsupported => code::STATE_UNSUPPORTED,
        }
    }

    /// Adds that the value is too large: its size and the limit, both in bytes. If a step fails because of it, the caller sees
    /// both.
    ///
    /// ```
    /// use faasflow_core::state::StateError;
    ///
    /// let error = StateError::permanent("the bucket refuses the object").with_sizes(5000, 4096);
    /// assert_eq!(error.sizes(), Some((5000, 4096)));
    /// ```
    #[must_use]
    pub fn with_sizes(mut self, size: u64, limit: u64) -> StateError {
        self.sizes = Some((size, limit));
        self
    }

    /// The size of the value and the limit, both in bytes, if the value is too large.
    #[must_use]
    pub fn sizes(&self) -> Option<(u64, u64)> {
        self.sizes
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> StateError {
        self.help = Some(help.into());
        self
    }

    /// What to do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        let unsupported = self.is_unsupported().then_some("use another operation, or another state manager");
        self.help.as_deref().or(unsupported)
    }

    /// The error as it is printed for people: with its causes, and what to do.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::from_error(self.code(), self);
        match self.help() {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.kind == ErrorKind::Temporary
    }

    /// Whether the backend does not support the operation.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind == ErrorKind::Unsupported
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
