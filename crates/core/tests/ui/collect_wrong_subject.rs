//! A collect that takes the branches of a graph.
use faasflow_core::{Branches, Flow, ForEach};

async fn bind(branches: Branches) -> String {
    branches.iter().len().to_string()
}

fn main() {
    let _ = ForEach::new(Flow::builder().apply("ocr")).collect(bind);
}
