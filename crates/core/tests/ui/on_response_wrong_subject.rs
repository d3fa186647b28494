//! The answer of a call is a `CallResponse`.

use bytes::Bytes;
use faasflow_core::{Call, Context};

async fn read(_context: Context, answer: Bytes) -> Bytes {
    answer
}

fn main() {
    let _ = Call::new("f").on_response(read);
}
