//! Reads `stack.yml` and environment files as `faas-cli` does.

mod check;
mod error;
mod fault;
mod file;
mod function;
mod image;
mod inflight;
mod kind;
mod locate;
mod names;
mod process;
mod read;
mod replicas;
mod spec;
mod substitute;
mod yaml;

pub(crate) use check::{DEPLOYMENT, check};
pub use error::StackError;
pub(crate) use fault::Fault;
pub(crate) use image::{ResourceBounds, health_path, port};
pub(crate) use inflight::{MAX_INFLIGHT, max_inflight};
pub use kind::StackErrorKind;
pub(crate) use names::{LONGEST_NAME, check_secret_name, is_name};
pub(crate) use process::{CommandLine, misplaced, url_or_command, wrong_wish};
pub use read::Stack;
pub(crate) use replicas::Replicas;
pub use spec::{Amounts, FunctionSpec, Kind, RUN_ANNOTATION, Resources, URL_ANNOTATION};

#[cfg(test)]
mod tests;
