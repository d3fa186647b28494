//! A join that takes the items of a for-each.
use faasflow_core::{Graph, Items};

async fn join(items: Items) -> String {
    items.len().to_string()
}

fn main() {
    let _ = Graph::new().join(join);
}
