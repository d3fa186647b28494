//! The watch of a store that tells which requests have ended. It is opened again when it is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use faasflow_core::Retry;
use faasflow_core::state::{News, StateManager, Watch};
use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout, timeout_at};

/// How long it may take to open a watch. Nothing is asked meanwhile.
const TO_OPEN: Duration = Duration::from_secs(1);
/// A watch that tells nothing for so long is replaced, because its connection may have been cut without a word.
const SILENT: Duration = Duration::from_secs(30);
/// When a watch is opened again that could not be opened or was lost soon.
const RETRY: Retry = Retry::unlimited().initial_delay(Duration::from_secs(1)).max_delay(Duration::from_secs(60));
/// A watch that was open for so long was not lost soon.
const LONG: Duration = Duration::from_secs(10);
/// How many ends are taken at once.
const MOST: usize = 500;

/// Hears which requests of a flow have ended.
pub(super) struct Listener {
    manager: Arc<dyn StateManager>,
    flow: String,
    watch: Option<Box<dyn Watch>>,
    /// When it was opened, and when it told something most recently.
    opened: Instant,
    heard: Instant,
    failures: u32,
    /// When it may be opened; `None` if the store has no watches.
    next: Option<Instant>,
}

/// What was heard.
pub(super) enum Heard {
    /// These requests have ended.
    Requests(HashSet<String>),
    /// Nothing until the time was over, or something may have been lost.
    Nothing,
}

impl Listener {
    pub(super) fn new(manager: Arc<dyn StateManager>, flow: String) -> Listener {
        let now = Instant::now();
        Listener { manager, flow, watch: None, opened: now, heard: now, failures: 0, next: Some(now) }
    }

    /// Whether a watch is open.
    pub(super) fn hears(&self) -> bool {
        self.watch.is_some()
    }

    /// Opens the watch, unless it is open or it is too early to try again.
    pub(super) async fn open(&mut self) {
        let now = Instant::now();
        if self.hears() || self.next.is_none_or(|next| next > now) {
            return;
        }
        match timeout(TO_OPEN, self.manager.watch(&self.flow)).await {
            Ok(Ok(Some(watch))) => {
                let now = Instant::now();
                (self.watch, self.opened, self.heard) = (Some(watch), now, now);
            }
            Ok(Ok(None)) => self.next = None,
            Ok(Err(_)) | Err(_) => self.failed(),
        }
    }

    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.next = Some(Instant::now() + RETRY.delay(self.failures, rand::random(), None));
    }

    /// Listens until this time.
    pub(super) async fn listen(&mut self, until: Instant) -> Heard {
        let Some(watch) = &mut self.watch else {
            tokio::time::sleep_until(until).await;
            return Heard::Nothing;
        };
        let mut ended = HashSet::new();
        let mut news = timeout_at(until, watch.next()).await.ok();
        loop {
            match news {
                Some(Ok(News::Ended(request))) => {
                    ended.insert(request);
                }
                // What was taken so far is among what is asked next.
                Some(Ok(_)) => return Heard::Nothing,
                Some(Err(_)) => {
                    self.watch = None;
                    if self.opened.elapsed() < LONG {
                        self.failed();
                    } else {
                        (self.failures, self.next) = (0, Some(Instant::now()));
                    }
                    return Heard::Nothing;
                }
                None => break,
            }
            if ended.len() == MOST {
                break;
            }
            news = watch.next().now_or_never();
        }
        if !ended.is_empty() {
            self.heard = Instant::now();
            return Heard::Requests(ended);
        }
        if self.heard.elapsed() >= SILENT {
            (self.watch, self.next) = (None, Some(Instant::now()));
        }
        Heard::Nothing
    }
}
