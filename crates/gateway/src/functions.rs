//! The functions of the gateway: how they are built, started, deployed, and given their requests.

mod backoff;
pub(crate) mod build;
pub(crate) mod command;
pub(crate) mod container;
mod context;
pub(crate) mod deploy;
pub(crate) mod deployment;
pub(crate) mod endings;
mod environment;
pub(crate) mod follow;
mod function;
mod group;
pub(crate) mod limit;
pub(crate) mod logs;
mod no_answer;
pub(crate) mod origin;
pub(crate) mod process;
mod registry;
pub(crate) mod scale;
pub(crate) mod storage;
mod unavailable;
pub(crate) mod upstream;
pub(crate) mod watch_sources;

pub(crate) use context::FunctionContext;
pub(crate) use function::Function;
pub(crate) use no_answer::NoAnswer;
pub(crate) use registry::Functions;
pub(crate) use unavailable::{RunError, Unavailable};
pub(crate) use upstream::{Route, Servers, Upstream};
