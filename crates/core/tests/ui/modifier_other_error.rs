//! The error of a modifier is `faasflow::Error`, into which `?` turns any other.

use faasflow_core::Flow;

async fn number(text: String) -> Result<String, std::num::ParseIntError> {
    Ok(text.parse::<u8>()?.to_string())
}

fn main() {
    let _ = Flow::builder().modify(number);
}
