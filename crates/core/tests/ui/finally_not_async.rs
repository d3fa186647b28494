//! A finaliser is async.

use faasflow_core::{Context, Flow, Outcome};

fn report(context: Context, outcome: Outcome) {
    println!("{}: {outcome}", context.request_id());
}

fn main() {
    let _ = Flow::builder().apply("f").finally(report);
}
