//! Reads YAML into a tree of texts, lists and mappings, each with its place in the file.
//!
//! OpenFaaS reads environments with a Go reader into `map[string]string`: a value is the text as it is written, whatever
//! type YAML would give it. A reader that converts texts to numbers and dates loses that text (`1.10`, `0644`). So the tree
//! is built from the parser's events, which have the text.

mod explain;
mod node;
mod parse;
mod read;

use super::fault::{At, Fault};
pub(super) use node::Node;
pub(super) use parse::parse;
pub(super) use read::{Entry, list, mapping, switch, text};

#[cfg(test)]
mod tests;
