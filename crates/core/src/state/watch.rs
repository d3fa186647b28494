//! News of requests that have ended.

use crate::future::BoxFuture;

use super::error::StateError;

/// What a [`Watch`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// The request with this id has ended. It may have been started again since, so read what has become of it.
    Ended(String),
    /// The ends of some requests were lost, because there were more than the watch keeps.
    Missed,
}

/// Tells which requests of a flow end, from the moment at which it was opened.
///
/// A watch may lose news, for example when its connection is cut. So readers also look from time to time by themselves.
pub trait Watch: Send {
    /// Waits for the next piece of news. The future can be dropped at any time, and nothing is lost.
    ///
    /// After an error, the watch tells nothing more. Open another one.
    fn next(&mut self) -> BoxFuture<'_, Result<News, StateError>>;
}
