use std::path::{Path, PathBuf};

use faasflow_core::Unreadable;
use faasflow_core::code::{self, Code};

/// A stack file that cannot be used, or an environment file that it names.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct StackError {
    path: PathBuf,
    kind: StackErrorKind,
    pub(super) what: String,
    source: Option<Unreadable>,
}

/// What is wrong with a stack file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackErrorKind {
    /// There is no such file or folder, or no stack file in the folder.
    Missing,
    /// It is there and cannot be read; the source says why.
    Unreadable,
    /// What is in it cannot be used: it is no text in UTF-8, not YAML, or has a key or a value that is refused.
    Invalid,
}

impl StackError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        code::BAD_STACK_FILE
    }

    pub(super) fn missing(path: &Path, what: impl Into<String>) -> StackError {
        StackError { path: path.to_owned(), kind: StackErrorKind::Missing, what: what.into(), source: None }
    }

    pub(super) fn unreadable(path: &Path, error: std::io::Error) -> StackError {
        let (kind, what) = (StackErrorKind::Unreadable, "it cannot be read".to_owned());
        StackError { path: path.to_owned(), kind, what, source: Some(error.into()) }
    }

    pub(super) fn invalid(path: &Path, what: impl Into<String>) -> StackError {
        StackError { path: path.to_owned(), kind: StackErrorKind::Invalid, what: what.into(), source: None }
    }

    /// The file, or the folder in which it was looked for.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    #[must_use]
    pub fn kind(&self) -> StackErrorKind {
        self.kind
    }
}
