//! What is read from an answer becomes a payload.

use faasflow_core::{CallResponse, Callback};

async fn status(answer: CallResponse) -> u16 {
    answer.status().as_u16()
}

fn main() {
    let _ = Callback::new("storage.io").on_response(status);
}
