//! A future that holds an `Rc` across an `.await` cannot move between threads.

use std::rc::Rc;

use faasflow_core::Flow;

async fn holds_rc(text: String) -> String {
    let shared = Rc::new(text);
    std::future::ready(()).await;
    shared.to_string()
}

fn main() {
    let _ = Flow::builder().modify(holds_rc);
}
