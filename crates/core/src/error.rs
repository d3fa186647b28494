//! The error type of user code. A flow asks two questions of it: may the caller see it, and is it temporary?

use std::error::Error as StdError;
use std::fmt;

use crate::chain;
use crate::code::Code;
use crate::definition::DefinitionError;
use crate::report::Report;
use crate::state::StateError;

/// What a handler returns when it cannot go on.
///
/// The `?` operator converts any standard error into it. The text of such an error goes to the log and never to the
/// caller, because it may contain internals. To give the caller a reason, use [`Error::refused`]:
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
/// Like `anyhow::Error`, it does not implement [`std::error::Error`] itself. This is what allows `?` to convert any
/// error.
pub struct Error(Box<Repr>);

enum Repr {
    /// A reason written for the caller.
    Refused(String),
    /// A text for the log.
    Message(String),
    /// An error of another type, for the log.
    Source(Box<dyn StdError + Send + Sync>),
    /// A text in front of another error.
    Wrapped(String, Error),
    /// An error with the report that is printed when it ends the program.
    Reported(Box<dyn StdError + Send + Sync>, Report),
}

/// A result whose error is a [`struct@Error`] by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error for the log. The caller learns only that the step failed.
    #[must_use]
    pub fn msg(text: impl Into<String>) -> Error {
        Error(Box::new(Repr::Message(text.into())))
    }

    /// A refusal. The caller gets `reason` word for word, so write it for them.
    #[must_use]
    pub fn refused(reason: impl Into<String>) -> Error {
        Error(Box::new(Repr::Refused(reason.into())))
    }

    /// Adds a text in front of the error in the log. What the caller sees does not change.
    #[must_use]
    pub fn context(self, text: impl Into<String>) -> Error {
        Error(Box::new(Repr::Wrapped(text.into(), self)))
    }

    /// An error that ends the program. When `main` returns it, `report` is printed.
    #[must_use]
    pub fn reported(error: impl StdError + Send + Sync + 'static, report: Report) -> Error {
        Error(Box::new(Repr::Reported(Box::new(error), report)))
    }

    /// The code, if this is one of Faasflow's own errors: an invalid definition, a failed start, or an error of a state
    /// manager.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match &*self.0 {
            Repr::Reported(_, report) => report.problems().first().map(crate::report::Problem::code),
            Repr::Wrapped(_, inner) => inner.code(),
            Repr::Source(source) => {
                let of_definition = source.downcast_ref().map(DefinitionError::code);
                of_definition.or_else(|| source.downcast_ref().map(StateError::code))
            }
            Repr::Refused(_) | Repr::Message(_) => None,
        }
    }

    /// The report to print when the error ends the program, if the error has a code.
    fn report(&self) -> Option<Report> {
        match &*self.0 {
            Repr::Reported(_, report) => Some(report.clone()),
            Repr::Source(source) => {
                let of_definition = source.downcast_ref().map(DefinitionError::report);
                of_definition.or_else(|| source.downcast_ref().map(|error: &StateError| Report::new(error.problem())))
            }
            Repr::Wrapped(text, inner) => inner.report().map(|report| report.summary(text)),
            Repr::Refused(_) | Repr::Message(_) => None,
        }
    }

    /// Whether the error was made by [`Error::refused`].
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.public_reason().is_some()
    }

    /// The reason that the caller may see, if there is one.
    #[must_use]
    pub fn public_reason(&self) -> Option<&str> {
        match &*self.0 {
            Repr::Refused(reason) => Some(reason),
            Repr::Wrapped(_, inner) => inner.public_reason(),
            Repr::Message(_) | Repr::Source(_) | Repr::Reported(..) => None,
        }
    }

    /// Whether trying again later may help, for example because the state manager cannot be reached. The queue is then
    /// asked to deliver again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match &*self.0 {
            Repr::Source(source) => source.downcast_ref::<StateError>().is_some_and(StateError::is_temporary),
            Repr::Wrapped(_, inner) => inner.is_temporary(),
            Repr::Refused(_) | Repr::Message(_) | Repr::Reported(..) => false,
        }
    }

    /// The underlying error, if it is of type `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match &*self.0 {
            Repr::Source(source) | Repr::Reported(source, _) => source.downcast_ref(),
            Repr::Wrapped(_, inner) => inner.downcast_ref(),
            Repr::Refused(_) | Repr::Message(_) => None,
        }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        Error(Box::new(Repr::Source(Box::new(error))))
    }
}

/// What went wrong, without the causes. The alternate form, `{error:#}`, adds all causes on the same line, for a log.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Repr::Refused(text) | Repr::Message(text) => f.write_str(text),
            Repr::Wrapped(text, inner) if f.alternate() => write!(f, "{text}: {inner:#}"),
            Repr::Wrapped(text, _) => f.write_str(text),
            Repr::Source(source) | Repr::Reported(source, _) if f.alternate() => f.write_str(&chain(&**source)),
            Repr::Source(source) | Repr::Reported(source, _) => fmt::Display::fmt(source, f),
        }
    }
}

/// What a `main` that returns the error prints: the report if the error has a code, otherwise the error and its causes
/// on one line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.report() {
            Some(report) => fmt::Display::fmt(&report, f),
            None => write!(f, "{self:#}"),
        }
    }
}
