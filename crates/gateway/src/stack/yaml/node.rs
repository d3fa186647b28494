//! A tree of texts, lists and mappings.

use std::rc::Rc;

use super::At;

/// A value and its place. Cloning is cheap, so an alias can be used any number of times.
#[derive(Clone, Debug)]
pub(in crate::stack) struct Node {
    pub(in crate::stack) at: At,
    pub(in crate::stack) value: Value,
}

#[derive(Clone, Debug)]
pub(in crate::stack) enum Value {
    /// A text, without its quotes and escapes. It is `plain` if it had no quotes and is not a block.
    Scalar {
        text: Rc<str>,
        plain: bool,
        tag: Option<Rc<str>>,
    },
    List(Rc<Vec<Node>>),
    Mapping(Rc<Vec<(Node, Node)>>),
}

impl Node {
    /// Whether it is null: nothing is written here, or `~` or `null`.
    pub(in crate::stack) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain: true, tag: None } => matches!(&**text, "" | "~" | "null" | "Null" | "NULL"),
            _ => false,
        }
    }
}
