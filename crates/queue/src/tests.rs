//! Every store against the conformance suite.

use std::sync::Arc;

use crate::{MemoryStore, conformance};

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_memory_conforms() {
    conformance::check(async |options| Arc::new(MemoryStore::new(options)) as Arc<dyn crate::Store>).await;
}
