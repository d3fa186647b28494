use std::path::{Path, PathBuf};

use faasflow_core::code::{self, Code};

/// A stack file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct StackError {
    path: PathBuf,
    pub(super) what: String,
}

impl StackError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        code::BAD_STACK_FILE
    }

    pub(super) fn new(path: &Path, what: impl Into<String>) -> StackError {
        StackError { path: path.to_owned(), what: what.into() }
    }
}
