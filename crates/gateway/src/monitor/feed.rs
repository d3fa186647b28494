//! The latest events, which all clients read at their own speed.
//!
//! A client has only the number of the event that it reads next. The events are kept once, for all clients, and only the latest ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use faasflow_admin::{GatewayEvent, MOST_EVENT_STREAMS};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How many bytes of events are kept.
const KEPT: usize = 512 << 10;
/// How long events are still made after the last client has gone, so that it can go on where it was.
const LINGER: Duration = Duration::from_secs(60);
/// After how long a client that takes nothing loses its place, if another one needs it. Something is sent more often than that.
const SILENCE: Duration = Duration::from_secs(45);

/// Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Feed(Arc<Shared>);

struct Shared {
    /// Begins every id, so that the ids of another process are not taken for those of this one.
    process: String,
    log: Mutex<Log>,
    /// Whether events are made.
    is_watched: AtomicBool,
    /// The number of the latest event.
    latest: watch::Sender<u64>,
    opened: Notify,
}

struct Log {
    /// The number of the first event that is kept, or of the next one.
    first: u64,
    events: VecDeque<Bytes>,
    bytes: usize,
    /// When each client was last ready for more. A client has a number, and later ones have higher numbers.
    clients: BTreeMap<u64, Instant>,
    next_client: u64,
    /// When the last client went, if there is none.
    alone_since: Option<Instant>,
}

impl Log {
    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.events.pop_front() {
            self.first += 1;
            self.bytes -= first.len();
        }
    }

    /// Takes the place of the client that has been silent for longest, if it has been for long enough.
    fn make_room(&mut self) -> bool {
        let Some((&client, &last)) = self.clients.iter().min_by_key(|(_, last)| **last) else { return false };
        last.elapsed() >= SILENCE && self.clients.remove(&client).is_some()
    }
}

/// What has happened since an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// These events, and the number of the next one.
    Events(Bytes, u64),
    Nothing,
    /// Some of it is no longer kept.
    Lost,
}

/// A client. When it is dropped, there is room for another one.
pub(crate) struct Open {
    feed: Feed,
    client: u64,
}

impl Open {
    /// Notes that the client is ready for more. Returns whether it still has its place.
    pub(crate) fn is_ready(&self) -> bool {
        let mut log = self.feed.lock();
        log.clients.get_mut(&self.client).map(|last| *last = Instant::now()).is_some()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut log = self.feed.lock();
        log.clients.remove(&self.client);
        if log.clients.is_empty() {
            log.alone_since = Some(Instant::now());
        }
    }
}

impl Feed {
    pub(super) fn new() -> Feed {
        let log = Log {
            first: 1,
            events: VecDeque::new(),
            bytes: 0,
            clients: BTreeMap::new(),
            next_client: 0,
            alone_since: None,
        };
        Feed(Arc::new(Shared {
            process: hex::encode(rand::random::<[u8; 4]>()),
            log: Mutex::new(log),
            is_watched: AtomicBool::new(false),
            latest: watch::Sender::new(0),
            opened: Notify::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody reads events, or did a moment ago.
    pub(super) fn is_watched(&self) -> bool {
        self.0.is_watched.load(Ordering::Relaxed)
    }

    /// Waits until a client comes.
    pub(super) async fn opened(&self) {
        self.0.opened.notified().await;
    }

    /// Lets another client read; `None` if there are too many, and all of them read.
    pub(crate) fn open(&self) -> Option<Open> {
        let mut log = self.lock();
        if log.clients.len() >= MOST_EVENT_STREAMS && !log.make_room() {
            return None;
        }
        let client = log.next_client;
        log.next_client += 1;
        log.clients.insert(client, Instant::now());
        log.alone_since = None;
        self.0.is_watched.store(true, Ordering::Relaxed);
        self.0.opened.notify_one();
        Some(Open { feed: self.clone(), client })
    }

    /// Stops making events if nobody has read any for a while. Those who come back later begin anew.
    pub(super) fn rest(&self) {
        let mut log = self.lock();
        if log.alone_since.is_some_and(|since| since.elapsed() >= LINGER) {
            self.0.is_watched.store(false, Ordering::Relaxed);
            log.alone_since = None;
            // The number is used up, so that the id of the latest event is no longer valid.
            log.first = log.next() + 1;
            log.events.clear();
            log.bytes = 0;
        }
    }

    pub(crate) fn publish(&self, name: &str, event: &GatewayEvent) {
        let mut log = self.lock();
        let number = log.next();
        let bytes = self.write(name, number, event);
        log.bytes += bytes.len();
        log.events.push_back(bytes);
        while log.bytes > KEPT && log.events.len() > 1 {
            log.drop_first();
        }
        drop(log);
        self.0.latest.send_replace(number);
    }

    /// Tells when there are more events.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.0.latest.subscribe()
    }

    /// The number of the next event.
    pub(crate) fn next(&self) -> u64 {
        self.lock().next()
    }

    pub(crate) fn since(&self, next: u64) -> Since {
        let log = self.lock();
        let Some(skipped) = next.checked_sub(log.first) else { return Since::Lost };
        match usize::try_from(skipped) {
            Ok(skipped) if skipped < log.events.len() => {
                let events: Vec<&[u8]> = log.events.iter().skip(skipped).map(|event| &event[..]).collect();
                Since::Events(events.concat().into(), log.next())
            }
            Ok(skipped) if skipped == log.events.len() => Since::Nothing,
            // An id that this process has not made.
            _ => Since::Lost,
        }
    }

    /// An event as it is sent.
    pub(crate) fn write(&self, name: &str, number: u64, event: &GatewayEvent) -> Bytes {
        let mut text = format!("id: {}-{number}\nevent: {name}\ndata: ", self.0.process).into_bytes();
        // JSON has no line breaks outside of texts, and inside of texts they are escaped.
        serde_json::to_writer(&mut text, event).expect("numbers and texts can be written");
        text.extend_from_slice(b"\n\n");
        text.into()
    }

    /// The number of the event after the one with this id; `None` if another process has made it.
    pub(crate) fn after(&self, id: &str) -> Option<u64> {
        let (process, number) = id.split_once('-')?;
        let number: u64 = number.parse().ok()?;
        (process == self.0.process).then(|| number.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: u64) -> GatewayEvent {
        let mut event = GatewayEvent::default();
        event.at_ms = at_ms;
        event
    }

    fn publish(feed: &Feed, at_ms: u64) {
        feed.publish("change", &event(at_ms));
    }

    fn times(since: Since) -> (Vec<String>, u64) {
        let Since::Events(events, next) = since else { panic!("{since:?}") };
        let text = String::from_utf8(events.to_vec()).unwrap();
        let times = text.split("\"at_ms\":").skip(1).map(|rest| rest.split(',').next().unwrap().to_owned());
        (times.collect(), next)
    }

    #[test]
    fn a_client_goes_on_after_the_last_event_that_it_got() {
        let feed = Feed::new();
        assert_eq!(feed.since(feed.next()), Since::Nothing);
        (1..=3).for_each(|at_ms| publish(&feed, at_ms));
        let id = format!("{}-1", feed.0.process);
        let next = feed.after(&id).unwrap();
        assert_eq!(times(feed.since(next)), (vec!["2".to_owned(), "3".to_owned()], 4));
        assert_eq!(feed.since(4), Since::Nothing);
        publish(&feed, 4);
        assert_eq!(times(feed.since(4)), (vec!["4".to_owned()], 5));
    }

    #[test]
    fn an_id_of_another_process_is_not_taken_for_one_of_this_process() {
        let feed = Feed::new();
        publish(&feed, 1);
        for id in ["", "1", "-1", "00000000-1", "x", "00000000-"] {
            assert_eq!(feed.after(id), None, "{id}");
        }
        let far = format!("{}-{}", feed.0.process, u64::MAX);
        assert_eq!(feed.since(feed.after(&far).unwrap()), Since::Lost);
        assert_eq!(feed.since(3), Since::Lost);
    }

    #[test]
    fn a_limited_number_of_bytes_is_kept_and_slow_clients_are_told() {
        let feed = Feed::new();
        let mut large = event(1);
        large.ended = vec![faasflow_admin::EndedCall::default(); 100];
        (0..1000).for_each(|_| feed.publish("change", &large));
        let log = feed.lock();
        assert!(log.bytes <= KEPT && log.events.iter().map(Bytes::len).sum::<usize>() == log.bytes);
        let first = log.first;
        drop(log);
        assert_eq!(feed.since(first - 1), Since::Lost);
        assert!(matches!(feed.since(first), Since::Events(_, 1001)));
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_made_while_somebody_reads_and_a_while_longer() {
        let feed = Feed::new();
        assert!(!feed.is_watched());
        let (first, second) = (feed.open().unwrap(), feed.open().unwrap());
        publish(&feed, 1);
        drop(first);
        tokio::time::advance(2 * LINGER).await;
        feed.rest();
        assert!(feed.is_watched());
        drop(second);
        tokio::time::advance(LINGER / 2).await;
        feed.rest();
        assert!(feed.is_watched(), "it may come back");
        assert_eq!(feed.since(2), Since::Nothing);
        drop(feed.open().unwrap());
        tokio::time::advance(LINGER / 2).await;
        feed.rest();
        assert!(feed.is_watched(), "it came back");
        tokio::time::advance(LINGER).await;
        feed.rest();
        assert!(!feed.is_watched());
        // What happens now is in no event, so it must begin anew.
        assert_eq!(feed.since(2), Since::Lost);
        assert_eq!(feed.since(feed.next()), Since::Nothing);
    }

    #[test]
    fn a_limited_number_of_clients_reads_at_once() {
        let feed = Feed::new();
        let mut open: Vec<Open> = (0..MOST_EVENT_STREAMS).map(|_| feed.open().unwrap()).collect();
        assert!(feed.open().is_none());
        open.pop();
        assert!(feed.open().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_loses_its_place_to_another_one() {
        let feed = Feed::new();
        let open: Vec<Open> = (0..MOST_EVENT_STREAMS).map(|_| feed.open().unwrap()).collect();
        tokio::time::advance(SILENCE - Duration::from_secs(1)).await;
        assert!(open[1..].iter().all(Open::is_ready));
        assert!(feed.open().is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        let another = feed.open().expect("the first client has been silent");
        assert!(!open[0].is_ready());
        assert!(open[1..].iter().all(Open::is_ready) && another.is_ready());
        assert!(feed.open().is_none());
        drop(open);
        assert_eq!(feed.lock().clients.len(), 1);
    }
}
