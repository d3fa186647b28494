//! A split that returns a list of values that are not payloads.
use faasflow_core::{Flow, ForEach};

async fn pages(text: String) -> Vec<usize> {
    text.split('\u{c}').map(str::len).collect()
}

fn main() {
    let _ = ForEach::new(Flow::builder().apply("ocr")).split(pages);
}
