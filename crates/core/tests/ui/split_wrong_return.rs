//! A split that does not return a list.
use faasflow_core::{Flow, ForEach};

async fn pages(text: String) -> String {
    text
}

fn main() {
    let _ = ForEach::new(Flow::builder().apply("ocr")).split(pages);
}
