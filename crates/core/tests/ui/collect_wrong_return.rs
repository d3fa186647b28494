//! A collect that returns the items themselves.
use faasflow_core::{Flow, ForEach, Items};

async fn bind(items: Items) -> Items {
    items
}

fn main() {
    let _ = ForEach::new(Flow::builder().apply("ocr")).collect(bind);
}
