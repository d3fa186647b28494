//! What several of the tests need.

pub(crate) mod contract;
pub(crate) mod logs;
pub(crate) mod posts;
pub(crate) mod raw;
pub(crate) mod store;
