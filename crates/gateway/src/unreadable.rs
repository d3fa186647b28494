use std::fmt;
use std::io;
use std::sync::Arc;

use faasflow_core::why_unreadable;

/// Why a file cannot be read. If its path or its owner is wrong, the text says what to do.
#[derive(Clone, Debug)]
pub struct Unreadable(Arc<io::Error>);

impl Unreadable {
    /// The error of the operating system.
    #[must_use]
    pub fn error(&self) -> &io::Error {
        &self.0
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable(Arc::new(error))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&why_unreadable(&self.0))
    }
}

impl std::error::Error for Unreadable {}
