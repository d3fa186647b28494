//! Extractors come first, the payload last.

use bytes::Bytes;
use faasflow_core::{Context, Flow};

async fn swapped(photo: Bytes, _context: Context) -> Bytes {
    photo
}

fn main() {
    let _ = Flow::builder().modify(swapped);
}
