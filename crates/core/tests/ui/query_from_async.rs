//! A value is made at once; what takes time is an extractor's business.

use faasflow_core::{Call, Context, Query};

fn main() {
    let _ = Call::new("f").query_from("width", async |Query(width): Query<u32>| width);
    let _ = Call::new("f").header_from("x-width", |width: u32, _: Context| width);
}
