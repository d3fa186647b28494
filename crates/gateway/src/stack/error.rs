use std::path::{Path, PathBuf};

/// A stack file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct StackError {
    path: PathBuf,
    pub(super) what: String,
}

impl StackError {
    pub(super) fn new(path: &Path, what: impl Into<String>) -> StackError {
        StackError { path: path.to_owned(), what: what.into() }
    }
}
