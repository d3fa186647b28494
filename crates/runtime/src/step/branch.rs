use faasflow_core::graph::ItemPath;

/// A branch of a graph or an item of a for-each that is executed within a phase.
#[derive(Debug)]
pub(crate) struct Branch {
    /// The items that lead to it. Its steps put them into their idempotency keys.
    pub(super) items: ItemPath,
}
