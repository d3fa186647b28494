//! A modifier is async.

use bytes::Bytes;
use faasflow_core::Flow;

fn at_once(photo: Bytes) -> Bytes {
    photo
}

fn main() {
    let _ = Flow::builder().modify(at_once);
}
