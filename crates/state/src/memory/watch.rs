//! Watches of requests in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{News, Scope, StateError, Watch};

/// How much news a watch keeps that was not read yet.
const MOST: usize = 1_000;

/// The open watches.
#[derive(Debug, Default)]
pub(super) struct Watches(Vec<(String, Weak<Mutex<Unread>>)>);

#[derive(Debug, Default)]
struct Unread {
    news: VecDeque<News>,
    reader: Option<Waker>,
}

struct MemoryWatch(Arc<Mutex<Unread>>);

fn lock(unread: &Mutex<Unread>) -> MutexGuard<'_, Unread> {
    unread.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watches {
    pub(super) fn open(&mut self, flow: &str) -> Box<dyn Watch> {
        let unread = Arc::default();
        self.0.retain(|(_, unread)| unread.strong_count() > 0);
        self.0.push((flow.to_owned(), Arc::downgrade(&unread)));
        Box::new(MemoryWatch(unread))
    }

    /// Tells that a request has ended.
    pub(super) fn tell(&mut self, scope: &Scope) {
        for unread in self.0.iter().filter(|(flow, _)| *flow == scope.flow).filter_map(|(_, unread)| unread.upgrade()) {
            let mut unread = lock(&unread);
            if unread.news.len() < MOST {
                unread.news.push_back(News::Ended(scope.request.clone()));
            } else if unread.news.back() != Some(&News::Missed) {
                unread.news.push_back(News::Missed);
            }
            if let Some(reader) = unread.reader.take() {
                reader.wake();
            }
        }
    }
}

impl Watch for MemoryWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<News, StateError>> {
        Box::pin(std::future::poll_fn(|context| {
            let mut unread = lock(&self.0);
            match unread.news.pop_front() {
                Some(news) => Poll::Ready(Ok(news)),
                None => {
                    unread.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}
