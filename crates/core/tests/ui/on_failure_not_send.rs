//! The future of a handler moves between threads.

use std::rc::Rc;

use faasflow_core::{Failure, Flow, Resolution};

async fn holds_rc(failure: Failure) -> Resolution {
    let step = Rc::new(failure.step().to_owned());
    std::future::ready(()).await;
    failure.reply(step.to_string())
}

fn main() {
    let _ = Flow::builder().apply("f").on_failure(holds_rc);
}
