//! What several of the tests need.

pub(crate) mod logs;
pub(crate) mod raw;
