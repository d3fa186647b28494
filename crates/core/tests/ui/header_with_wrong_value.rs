//! A header or query value is a text, a number or nothing.

use faasflow_core::Call;

fn main() {
    let _ = Call::new("f").header_with("x-values", |context| context.query_all("value"));
}
