//! A split that takes the items that a collect gets.
use faasflow_core::{Flow, ForEach, Items};

async fn pages(items: Items) -> Vec<String> {
    items.iter().map(|item| item.outcome().to_string()).collect()
}

fn main() {
    let _ = ForEach::new(Flow::builder().apply("ocr")).split(pages);
}
