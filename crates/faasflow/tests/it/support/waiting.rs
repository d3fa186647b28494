//! Waiting for what a test expects, with a limit that no machine needs.

use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until this is so.
pub(crate) async fn until(done: impl AsyncFn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < limit, "it did not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same in the code of a flow, whose futures have to be `Send`.
pub(crate) async fn until_seen(done: impl Fn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < limit, "it did not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
