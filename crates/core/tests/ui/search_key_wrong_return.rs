//! A search key that is neither a text nor a number.
use faasflow_core::Flow;

fn main() {
    let _ = Flow::builder().search_key(|amount: String| amount.parse::<f64>().unwrap_or_default());
}
