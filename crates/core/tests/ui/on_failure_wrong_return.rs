//! A failure handler decides.

use faasflow_core::{Call, Context, Failure, Flow};

fn main() {
    let _ = Flow::builder().apply("f").on_failure(async |_: Context, _: Failure| "not a decision");
    let _ = Call::new("f").on_failure(async |_: Context, _: Failure| ());
}
