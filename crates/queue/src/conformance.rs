//! The tests that every store has to pass. Use them if you write a store.
//!
//! [`check`] is for all stores. [`check_durable`] is for stores that outlive their process: it closes and opens them again, and kills
//! the process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::steps::call;
use crate::error::QueueError;
use crate::policy::options::QueueOptions;
use crate::store::Store;

mod durable;
mod killed;
mod letters;
mod order;
pub(crate) mod steps;

pub use killed::{Victim, killed, victim};

/// Checks a store. `open` is called once for each test, and has to return an empty store with these options.
///
/// # Panics
///
/// If the store breaks a rule; the message and the place say which.
pub async fn check(open: impl AsyncFn(QueueOptions) -> Arc<dyn Store>) {
    let options = QueueOptions::default;
    order::calls_come_in_order_and_are_gone(&*open(options()).await).await;
    order::lanes_take_turns_within_their_limits(&*open(options()).await).await;
    order::a_dropped_claim_claims_nothing(&*open(options()).await).await;
    order::a_call_comes_again_when_it_is_due(&*open(options()).await).await;
    order::a_long_queue_is_delivered_once_and_in_order(&*open(options()).await).await;
    order::bodies_that_find_no_room_are_read_again(&*open(QueueOptions { kept_bodies: 10, ..options() }).await).await;
    order::calls_in_the_queue_are_listed(&*open(options()).await).await;
    letters::duplicates_are_dropped(&*open(options()).await).await;
    let window = QueueOptions { duplicate_window: Duration::ZERO, ..options() };
    letters::an_id_is_forgotten_after_the_window(&*open(window).await).await;
    letters::a_callback_is_accepted_with_the_conclusion(&*open(options()).await).await;
    letters::a_letter_is_revived_once(&*open(options()).await).await;
    letters::letters_are_discarded(&*open(options()).await).await;
    letters::letters_are_limited(&*open(QueueOptions { dead_letter_count: 3, ..options() }).await).await;
    let store = open(options()).await;
    store.close().await;
    assert!(matches!(store.accept(call("c", "f")).await, Err(QueueError::Closed)), "a closed store accepts nothing");
    assert!(matches!(store.claim(&|_| 1).await, Err(QueueError::Closed)), "a closed store gives nothing");
}

/// Checks a store that outlives its process. `open` gets a path in a temporary folder, and is called again with the same path after
/// the store was closed.
///
/// # Panics
///
/// If the store breaks a rule; the message and the place say which.
pub async fn check_durable(open: impl AsyncFn(&Path, QueueOptions) -> Result<Arc<dyn Store>, QueueError>) {
    durable::all_is_there_after_a_restart(&open).await;
    durable::a_long_queue_is_taken_up(&open).await;
    durable::unacknowledged_claims_come_again(&open).await;
}

/// Checks that damage to the one file of a store is noticed when it is opened, and that the file is left as it was. `open` is
/// called with the path of the file.
///
/// # Panics
///
/// If the store breaks a rule; the message and the place say which.
pub async fn check_file(open: impl AsyncFn(&Path, QueueOptions) -> Result<Arc<dyn Store>, QueueError>) {
    durable::a_damaged_file_is_refused_and_left_as_it_is(&open).await;
}
