use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use faasflow_core::code::{self, Code};
use faasflow_core::{Problem, Unreadable};

use super::fault::Fault;

/// A stack file that cannot be used, or an environment file that it names.
///
/// The error can have several [`problems`](StackError::problems). Each has its own code and help.
#[derive(Clone, Debug)]
pub struct StackError {
    path: PathBuf,
    /// At least one.
    faults: Vec<Fault>,
    /// Keys that look misspelt, which may explain the faults.
    hints: Vec<String>,
    source: Option<Unreadable>,
}

/// The kind of a [`StackError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackErrorKind {
    /// The file or folder does not exist, or the folder has no stack file.
    Missing,
    /// The file cannot be read. The source says why.
    Unreadable,
    /// The file is not saved as UTF-8.
    Encoding,
    /// The file is not YAML.
    Syntax,
    /// A variable cannot be inserted.
    Substitution,
    /// A key is missing, or a value has the wrong type.
    Structure,
    /// A value of a function cannot be used.
    Value,
    /// A function does not say how it runs.
    HowToRun,
}

impl StackErrorKind {
    /// The code of errors of this kind.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            StackErrorKind::Missing => code::NO_STACK_FILE,
            StackErrorKind::Unreadable => code::STACK_FILE_UNREADABLE,
            StackErrorKind::Encoding => code::NOT_UTF8,
            StackErrorKind::Syntax => code::NOT_YAML,
            StackErrorKind::Substitution => code::BAD_SUBSTITUTION,
            StackErrorKind::Structure => code::BAD_STACK_FILE,
            StackErrorKind::Value => code::BAD_FUNCTION_VALUE,
            StackErrorKind::HowToRun => code::HOW_TO_RUN,
        }
    }
}

impl StackError {
    pub(super) fn new(path: &Path, faults: Vec<Fault>, hints: Vec<String>) -> StackError {
        StackError { path: path.to_owned(), faults, hints, source: None }
    }

    pub(super) fn one(path: &Path, fault: Fault) -> StackError {
        StackError::new(path, vec![fault], Vec::new())
    }

    pub(super) fn unreadable(path: &Path, error: std::io::Error) -> StackError {
        let fault = Fault::of_function(StackErrorKind::Unreadable, "it cannot be read");
        StackError { source: Some(error.into()), ..StackError::one(path, fault) }
    }

    /// The code of the error, or of the first problem if there are several.
    #[must_use]
    pub fn code(&self) -> Code {
        self.kind().code()
    }

    /// The kind of the error, or of the first problem if there are several.
    #[must_use]
    pub fn kind(&self) -> StackErrorKind {
        self.faults[0].kind
    }

    /// The file, or the folder that was searched for a stack file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that is wrong with the file, with codes and help.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let path = self.path.display();
        let mut problems: Vec<Problem> = self
            .faults
            .iter()
            .map(|fault| {
                let mut problem = Problem::new(fault.kind.code(), format_args!("{path}: {fault}"));
                if let Some(source) = &self.source {
                    problem = problem.because(source);
                }
                fault.help.iter().fold(problem, Problem::help)
            })
            .collect();
        if let Some(last) = problems.pop() {
            problems.push(self.hints.iter().fold(last, Problem::help));
        }
        problems
    }

    /// All faults and hints with what to do, each on its own lines.
    #[cfg(test)]
    pub(super) fn describe(&self) -> String {
        let faults = self.faults.iter().map(Fault::describe);
        faults.chain(self.hints.iter().cloned()).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.path.display())?;
        for (index, fault) in self.faults.iter().enumerate() {
            write!(formatter, "{}{fault}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl Error for StackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as &(dyn Error + 'static))
    }
}
