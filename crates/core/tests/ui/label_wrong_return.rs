//! A label that is neither a text nor a number.
use faasflow_core::{Flow, ForEach};

fn main() {
    let _ = ForEach::new(Flow::builder().apply("ocr")).label(|text: String| text.into_bytes());
}
