//! YAML as a stack file needs it: a tree of texts, lists and mappings, each with its place in the file.
//!
//! OpenFaaS reads environments with a Go reader into `map[string]string`: a value is the text as it is written, whatever
//! type YAML would give it. A reader that makes numbers and dates of texts cannot give that back (`1.10`, `0644`), so the
//! tree is built from the parser's events, which have the text.

mod explain;
mod fault;
mod node;
mod parse;
mod read;

pub(super) use fault::{At, Fault};
pub(super) use node::Node;
pub(super) use parse::parse;
pub(super) use read::{Entry, list, mapping, switch, text};

#[cfg(test)]
mod tests;
