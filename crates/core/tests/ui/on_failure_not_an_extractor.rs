//! What a handler takes before its subject comes from the context.

use faasflow_core::{Call, Failure, Resolution};

struct Settings;

async fn decide(_settings: Settings, failure: Failure) -> Resolution {
    failure.decline()
}

fn main() {
    let _ = Call::new("f").on_failure(decide);
}
