//! The functions: built, started, kept, and given their requests.

pub(crate) mod build;
pub(crate) mod command;
pub(crate) mod container;
pub(crate) mod deploy;
pub(crate) mod deployment;
pub(crate) mod endings;
mod environment;
pub(crate) mod follow;
mod function;
mod group;
pub(crate) mod kept;
pub(crate) mod limit;
pub(crate) mod logs;
mod no_answer;
pub(crate) mod process;
mod registry;
pub(crate) mod scale;
mod surroundings;
pub(crate) mod upstream;
pub(crate) mod watch_sources;

pub(crate) use function::Function;
pub(crate) use no_answer::NoAnswer;
pub(crate) use registry::Functions;
pub(crate) use surroundings::Surroundings;
pub(crate) use upstream::{Servers, Taken, Upstream};
