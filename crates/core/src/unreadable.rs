use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Why a file cannot be read, as the source of an error such as "FILE cannot be read".
///
/// Its text explains the kinds of error that a wrong path or a wrong owner causes. For any other kind, it is the text of the
/// operating system. [`help`](Unreadable::help) is the remedy.
///
/// ```
/// use std::io::{Error, ErrorKind};
///
/// use faasflow_core::Unreadable;
///
/// assert_eq!(Unreadable::from(Error::from(ErrorKind::NotFound)).to_string(), "there is no such file");
/// assert!(Unreadable::from(Error::from(ErrorKind::PermissionDenied)).help().contains("chmod"));
/// ```
#[derive(Clone, Debug)]
pub struct Unreadable(Arc<io::Error>);

impl Unreadable {
    /// The error of the operating system.
    #[must_use]
    pub fn error(&self) -> &io::Error {
        &self.0
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self.0.kind() {
            ErrorKind::NotFound => "check the path, or create the file",
            ErrorKind::PermissionDenied => {
                "let the user that this program runs as read the file, and enter the folders that it is in, with `chown` \
                 or `chmod`"
            }
            ErrorKind::IsADirectory | ErrorKind::NotADirectory => "check the path",
            ErrorKind::InvalidData => "save the file as UTF-8",
            _ => "check that the file can be read, for example with `cat`",
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable(Arc::new(error))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind() {
            ErrorKind::NotFound => "there is no such file",
            ErrorKind::PermissionDenied => "permission denied",
            ErrorKind::IsADirectory => "it is a folder, and a file was expected",
            ErrorKind::NotADirectory => "a part of its path is a file, and a folder was expected",
            ErrorKind::InvalidData => "it is not text in UTF-8",
            _ => return self.0.fmt(f),
        })
    }
}

impl std::error::Error for Unreadable {}
