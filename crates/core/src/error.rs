//! The error of user code, and the two questions a flow asks of it: may the caller see it, and may it pass.

use std::error::Error as StdError;
use std::fmt;

use crate::chain;
use crate::code::Code;
use crate::definition::DefinitionError;
use crate::report::Report;
use crate::state::StateError;

/// What a handler returns when it cannot go on.
///
/// Any standard error becomes one by `?`. Its text goes to the log, never to the caller: it may hold
/// internals. What the caller may know is said on purpose, with [`Error::refused`]:
///
/// ```
/// use faasflow_core::Error;
///
/// fn exactly_one(faces: usize) -> Result<(), Error> {
///     match faces {
///         1 => Ok(()),
///         n => Err(Error::refused(format!("exactly one face is needed, found {n}"))),
///     }
/// }
///
/// fn quality(text: &str) -> Result<u8, Error> {
///     Ok(text.parse::<u8>()?) // internal: the caller learns only which step failed
/// }
/// # assert!(exactly_one(2).unwrap_err().is_refusal());
/// # assert!(!quality("x").unwrap_err().is_refusal());
/// ```
///
/// Like `anyhow::Error` it does not implement [`std::error::Error`] itself, which is what lets `?` take any error.
pub struct Error(Box<Inner>);

enum Inner {
    /// A reason written for the caller.
    Refused(String),
    /// A text for the log.
    Message(String),
    /// Somebody's error, for the log.
    Source(Box<dyn StdError + Send + Sync>),
    /// A text put before another error.
    Wrapped(String, Error),
    /// An error with all that a person is to read of it.
    Reported(Box<dyn StdError + Send + Sync>, Report),
}

/// A result whose error is a [`struct@Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error for the log. The caller sees only that the step failed.
    #[must_use]
    pub fn msg(text: impl Into<String>) -> Error {
        Error(Box::new(Inner::Message(text.into())))
    }

    /// A refusal: `reason` is written for the caller and reaches it word for word.
    #[must_use]
    pub fn refused(reason: impl Into<String>) -> Error {
        Error(Box::new(Inner::Refused(reason.into())))
    }

    /// Puts a text before the error in the log. What the caller sees stays as it was.
    #[must_use]
    pub fn context(self, text: impl Into<String>) -> Error {
        Error(Box::new(Inner::Wrapped(text.into(), self)))
    }

    /// An error that ends the program, with what is printed of it then: `main` prints the report.
    #[must_use]
    pub fn reported(error: impl StdError + Send + Sync + 'static, report: Report) -> Error {
        Error(Box::new(Inner::Reported(Box::new(error), report)))
    }

    /// The code, if the error is one of Faasflow's: of a definition, of a start, or of a state manager.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match &*self.0 {
            Inner::Reported(_, report) => report.problems().first().map(crate::report::Problem::code),
            Inner::Wrapped(_, inner) => inner.code(),
            Inner::Source(source) => {
                let of_definition = source.downcast_ref().map(DefinitionError::code);
                of_definition.or_else(|| source.downcast_ref().map(StateError::code))
            }
            Inner::Refused(_) | Inner::Message(_) => None,
        }
    }

    /// What is printed of the error when it ends the program, if it is one with a code.
    fn report(&self) -> Option<Report> {
        match &*self.0 {
            Inner::Reported(_, report) => Some(report.clone()),
            Inner::Source(source) => {
                let of_definition = source.downcast_ref().map(DefinitionError::report);
                of_definition.or_else(|| source.downcast_ref().map(|error: &StateError| Report::new(error.problem())))
            }
            Inner::Wrapped(text, inner) => inner.report().map(|report| report.summary(text)),
            Inner::Refused(_) | Inner::Message(_) => None,
        }
    }

    /// Whether the error was made by [`Error::refused`].
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.public_reason().is_some()
    }

    /// The reason the caller may see, if there is one.
    #[must_use]
    pub fn public_reason(&self) -> Option<&str> {
        match &*self.0 {
            Inner::Refused(reason) => Some(reason),
            Inner::Wrapped(_, inner) => inner.public_reason(),
            Inner::Message(_) | Inner::Source(_) | Inner::Reported(..) => None,
        }
    }

    /// Whether trying again later may help, as when the state manager cannot be reached. A queue that
    /// redelivers is then told to.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match &*self.0 {
            Inner::Source(source) => source.downcast_ref::<StateError>().is_some_and(StateError::is_temporary),
            Inner::Wrapped(_, inner) => inner.is_temporary(),
            Inner::Refused(_) | Inner::Message(_) | Inner::Reported(..) => false,
        }
    }

    /// The error this one was made from, if it is of type `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match &*self.0 {
            Inner::Source(source) | Inner::Reported(source, _) => source.downcast_ref(),
            Inner::Wrapped(_, inner) => inner.downcast_ref(),
            Inner::Refused(_) | Inner::Message(_) => None,
        }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        Error(Box::new(Inner::Source(Box::new(error))))
    }
}

/// What went wrong, without its causes; the alternate form, `{error:#}`, has all of them on one line, for a log.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Inner::Refused(text) | Inner::Message(text) => f.write_str(text),
            Inner::Wrapped(text, inner) if f.alternate() => write!(f, "{text}: {inner:#}"),
            Inner::Wrapped(text, _) => f.write_str(text),
            Inner::Source(source) | Inner::Reported(source, _) if f.alternate() => f.write_str(&chain(&**source)),
            Inner::Source(source) | Inner::Reported(source, _) => fmt::Display::fmt(source, f),
        }
    }
}

/// What a `main` that returns an error prints: the report of an error with a code, else the error and its causes on one line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.report() {
            Some(report) => fmt::Display::fmt(&report, f),
            None => write!(f, "{self:#}"),
        }
    }
}
