//! A finaliser returns nothing, or a result of nothing.

use faasflow_core::{Context, Flow, Outcome};

fn main() {
    let _ = Flow::builder().apply("f").finally(async |_: Context, outcome: Outcome| outcome.to_string());
}
