//! It is by the types of its parameters that a handler's extractors are found.

use faasflow_core::{Flow, Outcome};

fn main() {
    let _ = Flow::builder().apply("f").finally(async |_, _: Outcome| ());
}
