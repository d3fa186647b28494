//! A join that returns a value that is not a payload.
use faasflow_core::{Branches, Graph};

async fn join(branches: Branches) -> usize {
    branches.iter().len()
}

fn main() {
    let _ = Graph::new().join(join);
}
