//! What a modifier returns becomes the next payload.

use faasflow_core::Flow;

async fn length(text: String) -> usize {
    text.len()
}

fn main() {
    let _ = Flow::builder().modify(length);
}
