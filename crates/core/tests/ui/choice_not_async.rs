//! A choice that is not async.
use faasflow_core::{Choice, Flow};

fn size(photo: String) -> &'static str {
    if photo.len() > 1_000_000 { "large" } else { "small" }
}

fn main() {
    let _ = Choice::new(size).branch("large", Flow::builder().apply("shrink"));
}
