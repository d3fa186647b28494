//! Extractors come first, the failure last.

use faasflow_core::{Context, Failure, Flow, Resolution};

async fn swapped(failure: Failure, _context: Context) -> Resolution {
    failure.decline()
}

fn main() {
    let _ = Flow::builder().apply("f").on_failure(swapped);
}
