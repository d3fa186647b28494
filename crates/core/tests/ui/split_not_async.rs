//! A split that is not async.
use faasflow_core::{Flow, ForEach};

fn pages(text: String) -> Vec<String> {
    text.split('\u{c}').map(str::to_owned).collect()
}

fn main() {
    let _ = ForEach::new(Flow::builder().apply("ocr")).split(pages);
}
