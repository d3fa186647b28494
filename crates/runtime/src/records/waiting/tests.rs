use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{News, StateError, StateManager as _, Watch};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::testing::Shelf;

fn scope(request: &str) -> Scope {
    Scope { flow: "f".to_owned(), request: request.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn the_end_in_the_store_is_noticed() {
    let (waiting, shelf) = (Waiting::new(TaskTracker::new()), Shelf::default());
    let manager: Arc<dyn StateManager> = Arc::new(shelf.clone());
    let mut waits: Vec<Wait> = (0..1000).map(|_| waiting.begin(&manager, scope("a"), 0).unwrap()).collect();
    assert_eq!(waiting.count(), 1);
    assert!(!waits[0].until(Instant::now() + Duration::from_secs(2)).await);
    shelf.set(&scope("a"), over_key(0).as_str(), Bytes::from_static(b"{}")).await.unwrap();
    for wait in &mut waits {
        assert!(wait.until(Instant::now() + Duration::from_secs(2)).await);
    }
    drop(waits);
    assert_eq!(waiting.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_in_this_process_wakes_at_once() {
    let waiting = Waiting::new(TaskTracker::new());
    let manager: Arc<dyn StateManager> = Arc::new(Shelf::default());
    let mut wait = waiting.begin(&manager, scope("a"), 0).unwrap();
    waiting.ended(&scope("b"), 0);
    assert!(!wait.until(Instant::now()).await);
    waiting.ended(&scope("a"), 0);
    assert!(wait.until(Instant::now()).await);
}

#[tokio::test(start_paused = true)]
async fn not_everybody_may_wait() {
    let waiting = Waiting::new(TaskTracker::new());
    let manager: Arc<dyn StateManager> = Arc::new(Shelf::default());
    let mut waits: Vec<Option<Wait>> = (0..=MOST).map(|_| waiting.begin(&manager, scope("a"), 0)).collect();
    assert!(waits.pop().unwrap().is_none() && waits.iter().all(Option::is_some));
    waits.pop();
    assert!(waiting.begin(&manager, scope("b"), 0).is_some());
}

/// A store that counts what it is asked, and tells which requests have ended when a test says so.
#[derive(Clone, Default)]
struct Teller {
    shelf: Shelf,
    told: Arc<Mutex<Vec<UnboundedSender<News>>>>,
    reads: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
    /// How many watches cannot be opened.
    refused: Arc<AtomicUsize>,
}

struct Told(UnboundedReceiver<News>);

impl Watch for Told {
    fn next(&mut self) -> BoxFuture<'_, Result<News, StateError>> {
        Box::pin(async { self.0.recv().await.ok_or_else(|| StateError::temporary("cut")) })
    }
}

impl StateManager for Teller {
    fn name(&self) -> &str {
        "teller"
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        self.shelf.get(scope, key)
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.shelf.set(scope, key, value)
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.shelf.remove(scope, key)
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.shelf.remove_request(scope)
    }

    fn get_across<'a>(
        &'a self,
        scopes: &'a [Scope],
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.shelf.get_across(scopes, key)
    }

    fn watch<'a>(&'a self, flow: &'a str) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, StateError>> {
        assert_eq!(flow, "f");
        self.opened.fetch_add(1, Ordering::SeqCst);
        let refused = self.refused.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let (teller, told) = unbounded_channel();
        if !refused {
            self.told.lock().unwrap().push(teller);
        }
        Box::pin(async move {
            if refused {
                return Err(StateError::temporary("no permission"));
            }
            Ok(Some(Box::new(Told(told)) as Box<dyn Watch>))
        })
    }
}

impl Teller {
    async fn end(&self, request: &str) {
        self.shelf.set(&scope(request), over_key(0).as_str(), Bytes::from_static(b"{}")).await.unwrap();
    }

    /// Tells this to all watches.
    fn tell(&self, news: &News) {
        self.told.lock().unwrap().retain(|teller| teller.send(news.clone()).is_ok());
    }

    /// The number of watches that somebody reads.
    fn open(&self) -> usize {
        self.told.lock().unwrap().iter().filter(|teller| !teller.is_closed()).count()
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Begins to wait, and returns when the watch is open.
    async fn wait(&self, waiting: &Waiting, request: &str) -> Wait {
        let manager: Arc<dyn StateManager> = Arc::new(self.clone());
        let wait = waiting.begin(&manager, scope(request), 0).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        wait
    }
}

/// How long it takes until a wait ends, if that is less than this.
async fn ends(wait: &mut Wait, within: Duration) -> Option<Duration> {
    let begun = Instant::now();
    wait.until(begun + within).await.then(|| begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn news_of_a_request_wakes_its_callers_and_asks_about_no_other() {
    let (waiting, teller) = (Waiting::new(TaskTracker::new()), Teller::default());
    let manager: Arc<dyn StateManager> = Arc::new(teller.clone());
    let begin = |number: usize| waiting.begin(&manager, scope(&format!("r{number}")), 0).unwrap();
    let mut waits: Vec<Wait> = (0..1000).map(begin).collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(teller.open(), 1);

    // Each question about all is two reads, because of the number of requests.
    let before = teller.reads();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let polls = teller.reads() - before;
    assert!((22..=26).contains(&polls), "{polls} reads in a minute");

    for number in [7, 500] {
        let before = teller.reads();
        teller.end(&format!("r{number}")).await;
        teller.tell(&News::Ended("somebody else's".to_owned()));
        teller.tell(&News::Ended(format!("r{number}")));
        let took = ends(&mut waits[number], Duration::from_millis(10)).await;
        assert!(took.is_some(), "the wait for r{number} has not ended");
        assert_eq!(teller.reads() - before, 1);
    }
    drop(waits);
    tokio::time::sleep(LAST_WATCHING).await;
    assert_eq!((teller.open(), waiting.lock().asks), (0, false), "nobody waits, and it still listens");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_although_the_news_is_lost() {
    let (waiting, teller) = (Waiting::new(TaskTracker::new()), Teller::default());
    let mut wait = teller.wait(&waiting, "a").await;
    teller.end("a").await;
    assert!(ends(&mut wait, FIRST_WATCHING).await.is_some());

    let mut wait = teller.wait(&waiting, "b").await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    teller.end("b").await;
    assert!(ends(&mut wait, LAST_WATCHING).await.is_some());

    let mut wait = teller.wait(&waiting, "c").await;
    teller.end("c").await;
    teller.tell(&News::Missed);
    assert!(ends(&mut wait, Duration::from_millis(10)).await.is_some(), "it is told that something was lost");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_says_nothing_is_replaced() {
    let (waiting, teller) = (Waiting::new(TaskTracker::new()), Teller::default());
    let mut wait = teller.wait(&waiting, "a").await;
    // The connection is cut without a word: what is told does not arrive.
    let cut = std::mem::take(&mut *teller.told.lock().unwrap());
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!((teller.opened.load(Ordering::SeqCst), teller.open()), (2, 1));
    assert!(cut[0].is_closed());
    teller.end("a").await;
    teller.tell(&News::Ended("a".to_owned()));
    assert!(ends(&mut wait, Duration::from_millis(10)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_lost_is_opened_again_with_pauses() {
    let (waiting, teller) = (Waiting::new(TaskTracker::new()), Teller::default());
    let mut wait = teller.wait(&waiting, "a").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    teller.refused.store(usize::MAX, Ordering::SeqCst);
    teller.told.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let opened = teller.opened.load(Ordering::SeqCst);
    assert!((6..=16).contains(&opened), "opened {opened} times");
    // Without a watch, the store is asked often.
    teller.end("a").await;
    assert!(ends(&mut wait, LAST).await.is_some());
    let mut wait = teller.wait(&waiting, "b").await;
    teller.refused.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(teller.open(), 1);
    teller.end("b").await;
    teller.tell(&News::Ended("b".to_owned()));
    assert!(ends(&mut wait, Duration::from_millis(10)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn news_that_is_ahead_of_the_record_does_not_delay_the_wait() {
    let (waiting, teller) = (Waiting::new(TaskTracker::new()), Teller::default());
    let mut wait = teller.wait(&waiting, "a").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    teller.tell(&News::Ended("a".to_owned()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    teller.end("a").await;
    let took = ends(&mut wait, Duration::from_secs(6)).await.unwrap();
    assert!(took < Duration::from_millis(1500), "{took:?}");
}
