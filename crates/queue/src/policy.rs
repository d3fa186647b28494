//! The policy, which is the same for every store: how often a call is tried, what an answer means, what a callback contains, and
//! which call is next.

pub(crate) mod callback;
pub(crate) mod options;
pub(crate) mod schedule;
pub(crate) mod verdict;
