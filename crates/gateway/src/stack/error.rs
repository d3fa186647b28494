use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use faasflow_core::code::Code;
use faasflow_core::{Problem, Unreadable};

use super::fault::Fault;
use super::kind::StackErrorKind;

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

impl StackError {
    pub(super) fn new(path: &Path, faults: Vec<Fault>, hints: Vec<String>) -> StackError {
        StackError { path: path.to_owned(), faults, hints, source: None }
    }

    pub(super) fn one(path: &Path, fault: Fault) -> StackError {
        StackError::new(path, vec![fault], Vec::new())
    }

    pub(super) fn unreadable(path: &Path, error: std::io::Error) -> StackError {
        let why = Unreadable::from(error);
        let fault = Fault::of_function(StackErrorKind::Unreadable, "it cannot be read").help(why.help());
        StackError { source: Some(why), ..StackError::one(path, fault) }
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
