use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::chain;
use crate::code::{self, Code};
use crate::report::{Problem, Report};
use crate::state::StateError;

use super::url::UrlError;

/// How deep flows may be nested.
pub(super) const MAX_DEPTH: usize = 8;

/// The error of a definition that cannot be built. It lists everything that is wrong, and each [`Fault`] names its
/// step.
#[derive(Clone)]
pub struct DefinitionError {
    faults: Vec<Fault>,
}

/// One thing wrong with a definition.
#[derive(Clone, Debug)]
pub struct Fault {
    step: Option<usize>,
    /// The step and where it is in the source, as messages show it.
    place: Option<String>,
    kind: FaultKind,
}

/// What can be wrong with a definition.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// The flow has no step.
    #[error("the flow has no step")]
    NoStep,
    /// A handler or the state manager is set twice. `file` and `line` are those of the second call.
    #[error("`{what}` is set twice (again at {file}:{line})")]
    SetTwice {
        /// The method of the builder.
        what: &'static str,
        /// The source file of the second call.
        file: &'static str,
        /// The line in that file.
        line: u32,
    },
    /// The name of a function is not valid.
    #[error("{}", if .0.is_empty() { "the function name is empty".to_owned() } else { format!("`{}` is not a valid function name", .0) })]
    FunctionName(String),
    /// A URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The name of a header is not valid.
    #[error("`{0}` is not a valid header name")]
    HeaderName(String),
    /// The header with this name has a value that cannot be sent.
    #[error("the value of the header `{0}` contains control characters")]
    HeaderValue(String),
    /// A header has the name of an option of the step.
    #[error("`{name}` is an option of the step, not a header")]
    OptionAsHeader {
        /// The name that was given.
        name: String,
        /// The code to write instead, such as `.sync()`.
        instead: String,
    },
    /// A timeout of zero.
    #[error("a timeout of 0 would make every call fail")]
    ZeroTimeout,
    /// A branch without a name.
    #[error("a branch has no name")]
    UnnamedBranch,
    /// Two branches have the same name, or names that differ only in case. The second one is at `file` and `line`.
    #[error("the name `{name}` is used twice (again at {file}:{line})")]
    DuplicateBranch {
        /// The name.
        name: String,
        /// The source file of the second one.
        file: &'static str,
        /// The line in that file.
        line: u32,
    },
    /// The name of a branch that the graph does not have.
    #[error("the graph has no branch `{0}`")]
    UnknownBranch(String),
    /// Branches wait for each other. Each comes after the next one, and the first and the last are the same.
    #[error("branches wait for each other: {}", .0.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" after "))]
    Cycle(Vec<String>),
    /// A graph or a choice without branches.
    #[error("the {0} has no branch")]
    NoBranch(&'static str),
    /// A method of the builder that only a whole flow can use.
    #[error("`{0}` is set in a branch")]
    NotInABranch(&'static str),
    /// A for-each that could never begin an item.
    #[error("`at_most(0)` would never begin an item")]
    ZeroAtMost,
    /// A policy that can never be met, or is always met. The text explains it.
    #[error("{0}")]
    BadComplete(String),
    /// A branch or an item that would always fail.
    #[error("a `within` of 0 would fail every request")]
    ZeroTime,
    /// A secret field whose pointer leads to no field.
    #[error("`{0}` does not lead to a field that could be secret")]
    SecretPointer(String),
    /// Graphs, choices, for-eaches and sub-flows are nested too deeply.
    #[error("flows are nested more than {} deep", MAX_DEPTH)]
    TooDeep,
    /// The state manager cannot be created.
    #[error("the state manager cannot be used")]
    StateManager(#[source] Arc<StateError>),
}

impl FaultKind {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            FaultKind::NoStep => code::NO_STEP,
            FaultKind::SetTwice { .. } => code::SET_TWICE,
            FaultKind::FunctionName(_) => code::BAD_FUNCTION_NAME,
            FaultKind::Url(error) => error.code(),
            FaultKind::HeaderName(_) => code::BAD_HEADER_NAME,
            FaultKind::HeaderValue(_) => code::BAD_HEADER_VALUE,
            FaultKind::OptionAsHeader { .. } => code::OPTION_AS_HEADER,
            FaultKind::ZeroTimeout => code::ZERO_TIMEOUT,
            FaultKind::UnnamedBranch | FaultKind::DuplicateBranch { .. } => code::BAD_BRANCH_NAME,
            FaultKind::UnknownBranch(_) => code::UNKNOWN_BRANCH,
            FaultKind::Cycle(_) => code::CYCLE,
            FaultKind::NoBranch(_) => code::NO_BRANCH,
            FaultKind::NotInABranch(_) => code::NOT_IN_A_BRANCH,
            FaultKind::ZeroAtMost => code::ZERO_AT_MOST,
            FaultKind::BadComplete(_) => code::BAD_COMPLETE,
            FaultKind::ZeroTime => code::ZERO_TIME,
            FaultKind::SecretPointer(_) => code::SECRET_POINTER,
            FaultKind::TooDeep => code::TOO_DEEP,
            FaultKind::StateManager(error) => error.code(),
        }
    }

    pub(crate) fn set_twice(what: &'static str, location: &'static Location<'static>) -> FaultKind {
        FaultKind::SetTwice { what, file: location.file(), line: location.line() }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            FaultKind::NoStep => "add one with `apply`, `modify` or `callback`".to_owned(),
            FaultKind::SetTwice { what, .. } => format!("remove one of the calls of `{what}`"),
            FaultKind::FunctionName(_) => "use only letters, digits, `-`, `_` and `.`".to_owned(),
            FaultKind::Url(error) => error.help().to_owned(),
            FaultKind::HeaderName(_) => "use letters, digits and `-`, as in `x-token`".to_owned(),
            FaultKind::HeaderValue(_) => "remove line breaks and other control characters".to_owned(),
            FaultKind::OptionAsHeader { instead, .. } => format!("write `{instead}`"),
            FaultKind::ZeroTimeout => "remove the timeout or make it longer".to_owned(),
            FaultKind::UnnamedBranch => "give it a name, which paths and messages can show".to_owned(),
            FaultKind::DuplicateBranch { .. } => {
                "give each branch a name that differs from the others in more than case".to_owned()
            }
            FaultKind::UnknownBranch(_) => "use the name of a branch that has been added to the graph".to_owned(),
            FaultKind::Cycle(_) => "remove one `after` of the cycle".to_owned(),
            FaultKind::NoBranch(_) => "add one with `branch`".to_owned(),
            FaultKind::NotInABranch(what) => format!("call `{what}` on the whole flow instead"),
            FaultKind::ZeroAtMost => "allow at least 1, or leave `at_most` out".to_owned(),
            FaultKind::BadComplete(_) => "use a policy that can be met".to_owned(),
            FaultKind::ZeroTime => "leave `within` out, or give it a longer time".to_owned(),
            FaultKind::SecretPointer(_) => "write a JSON pointer, as in `/card/number`".to_owned(),
            FaultKind::TooDeep => "deploy an inner flow by itself, and call it with `apply`".to_owned(),
            FaultKind::StateManager(error) => return error.help().map(str::to_owned),
        })
    }
}

impl Fault {
    pub(crate) fn of_flow(kind: FaultKind) -> Fault {
        Fault { step: None, place: None, kind }
    }

    /// A fault of a step, given its number in the whole flow, its name, and the names that lead to it.
    pub(crate) fn in_step(step: usize, name: &str, path: &[String], location: &Location<'_>, kind: FaultKind) -> Fault {
        let path = path.iter().map(|name| format!("{name} > ")).collect::<String>();
        let place = format!("{path}step {step} ({name}, {}:{})", location.file(), location.line());
        Fault { step: Some(step), place: Some(place), kind }
    }

    /// A fault of a graph, choice, for-each or sub-flow, or of one of its branches, given the names that lead to it.
    pub(crate) fn in_composite(path: &[String], location: &Location<'_>, kind: FaultKind) -> Fault {
        let (path, location) = (path.join(" > "), format!("{}:{}", location.file(), location.line()));
        let is_known = path.ends_with(&format!(" at {location}"));
        let place = if is_known { path } else { format!("{path} ({location})") };
        Fault { step: None, place: Some(place), kind }
    }

    /// The number of the step, from 1. `None` if the fault is not in a step.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        self.step
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &FaultKind {
        &self.kind
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        self.kind.code()
    }

    fn problem(&self) -> Problem {
        let problem = Problem::from_error(self.code(), self);
        self.kind.help().into_iter().fold(problem, Problem::help)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.kind)
    }
}

impl DefinitionError {
    /// Creates the error from at least one fault.
    pub(crate) fn new(faults: Vec<Fault>) -> DefinitionError {
        DefinitionError { faults }
    }

    /// Everything that is wrong.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The code of the first fault.
    #[must_use]
    pub fn code(&self) -> Code {
        self.faults[0].code()
    }

    /// All faults, formatted for people.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::from_problems(self.faults.iter().map(Fault::problem)).summary("the flow cannot be built")
    }
}

/// A line for each fault, with its causes.
impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the flow cannot be built:")?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  - {}", chain(fault)))
    }
}

/// The [`report`](DefinitionError::report). A `main` that returns the error prints it.
impl fmt::Debug for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.report(), f)
    }
}

impl std::error::Error for DefinitionError {}

/// Allows `?` on the error of a state manager in a function that builds a flow, as in `.state(S3::from_env()?)`.
impl From<StateError> for DefinitionError {
    fn from(error: StateError) -> DefinitionError {
        DefinitionError::new(vec![Fault::of_flow(FaultKind::StateManager(Arc::new(error)))])
    }
}
