//! What every queue does alike, wherever its calls are kept: how often it tries, what an answer means, what a callback
//! carries, and who is next.

pub(crate) mod callback;
pub(crate) mod options;
pub(crate) mod schedule;
pub(crate) mod verdict;
