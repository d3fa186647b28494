//! Limits how much a process handles at once: requests in flight, and bytes of bodies.
//!
//! Requests never wait for room, so that two of them cannot wait for each other. If there is none, a request is refused
//! before its body is read. Answers of functions do wait, for a limited time, because their functions have already done
//! the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::counted;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The unit in which bytes are counted.
const UNIT: u64 = 1024;
/// Bodies up to this size are included in the cost of a request, and not counted.
const SMALL: u64 = 16 * 1024;
/// The cost of a request in flight in bytes, without its body: two connections and the state of its phase.
const REQUEST_COST: u64 = 128 * 1024;

/// This many waiting shares in a row get different timeouts, from three quarters of the full time upwards.
const TIMEOUT_STEPS: usize = 8;
/// How often a waiting share checks for room.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The limits of a [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most requests in flight.
    pub requests: usize,
    /// The most bytes of bodies in memory.
    pub bytes: u64,
}

impl Limits {
    /// Limits for a process with this much memory, in bytes. Half of the memory is for bodies, a quarter for requests,
    /// and the rest for everything else.
    #[must_use]
    pub fn for_memory(memory: u64) -> Limits {
        let requests = usize::try_from(memory / 4 / REQUEST_COST).unwrap_or(usize::MAX);
        Limits { requests: requests.clamp(64, 100_000), bytes: (memory / 2).max(1 << 20) }
    }

    /// Reduces the number of requests to what the limit of open files allows. Each request needs one connection from
    /// its caller and one to a function, and a third file is reserved for everything else.
    #[must_use]
    pub fn within_files(self, files: u64) -> Limits {
        let most = usize::try_from(files.saturating_sub(64) / 3).unwrap_or(usize::MAX).max(16);
        Limits { requests: self.requests.min(most), ..self }
    }
}

/// Counts requests and bytes against limits. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limits: Limits,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    units: usize,
    /// Locked by the first waiting share. The others wait for the lock, in order.
    next: tokio::sync::Mutex<()>,
    /// How many shares have waited so far.
    waited: AtomicUsize,
}

/// An admitted request. It counts as in flight until this is dropped.
#[derive(Debug)]
#[must_use = "the request is over when this is dropped"]
pub struct Admission(#[expect(dead_code, reason = "it counts until it is dropped")] OwnedSemaphorePermit);

impl Budget {
    /// A budget with nothing in use.
    #[must_use]
    pub fn new(limits: Limits) -> Budget {
        // The semaphore cannot count more than this, and no machine has more.
        let units = usize::try_from(limits.bytes / UNIT).unwrap_or(usize::MAX).clamp(1, u32::MAX as usize);
        Budget(Arc::new(Counts {
            limits,
            requests: Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            units: units.min(Semaphore::MAX_PERMITS),
            next: tokio::sync::Mutex::new(()),
            waited: AtomicUsize::new(0),
        }))
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// The largest body for which there can be room, in bytes. This is the limit, rounded down to whole units.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.0.units as u64 * UNIT
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn requests(&self) -> usize {
        let most = self.0.limits.requests.min(Semaphore::MAX_PERMITS);
        most.saturating_sub(self.0.requests.available_permits())
    }

    /// How many bytes are in use.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.used() as u64 * UNIT
    }

    fn used(&self) -> usize {
        self.0.units.saturating_sub(self.0.bytes.available_permits())
    }

    /// Admits a request.
    ///
    /// # Errors
    ///
    /// If the limit of requests is reached.
    pub fn admit(&self) -> Result<Admission, NoRoom> {
        let place = self.0.requests.clone().try_acquire_owned();
        place.map(Admission).map_err(|_| NoRoom::Requests { limit: self.0.limits.requests })
    }

    /// The share of a request's body. It is refused if there is no room. Bodies of requests may use half of the budget,
    /// so that the rest is left for their answers. A body may use more only if it is the only one.
    #[must_use]
    pub fn request_share(&self) -> Share {
        self.share(None)
    }

    /// The share of a body that waits for room, such as an answer, for `patience` at most.
    #[must_use]
    pub fn answer_share(&self, patience: Duration) -> Share {
        self.share(Some(patience))
    }

    fn share(&self, patience: Option<Duration>) -> Share {
        Share { budget: self.clone(), patience, copies: 1, beside: 0, room: 0, permit: None }
    }
}

/// The part of a budget that one body uses. Dropping it gives the room back.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    /// How long to wait for room. `None` to refuse at once.
    patience: Option<Duration>,
    copies: u64,
    /// What the owner of this share holds in addition, in bytes.
    beside: u64,
    /// The size of body that there is room for.
    room: u64,
    permit: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Counts each byte `copies` times, for code that copies the body.
    #[must_use]
    pub fn copied(mut self, copies: u64) -> Share {
        self.copies = copies.max(1);
        self
    }

    /// Says that the owner of this share already holds `bytes` bytes until it has this body. If both do not fit
    /// together, there will never be room.
    #[must_use]
    pub fn beside(mut self, bytes: u64) -> Share {
        self.beside = if bytes > SMALL { bytes } else { 0 };
        self
    }

    /// Makes room for a body of `length` bytes in total.
    ///
    /// # Errors
    ///
    /// If there is no room, or can never be any.
    pub async fn make_room(&mut self, length: u64) -> Result<(), NoRoom> {
        if length <= SMALL.max(self.room) {
            return Ok(());
        }
        let Counts { limits, units, bytes, next, waited, .. } = &*self.budget.0;
        if length.saturating_add(self.beside).div_ceil(UNIT) > *units as u64 {
            return Err(NoRoom::Never { limit: limits.bytes });
        }
        let full = || NoRoom::Bytes { limit: limits.bytes };
        let wanted = length.saturating_mul(self.copies).div_ceil(UNIT).min(*units as u64);
        let occupied = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = (usize::try_from(wanted).unwrap_or(usize::MAX)).saturating_sub(occupied);
        let asked = u32::try_from(more).unwrap_or(u32::MAX);
        let permit = match self.patience {
            None => {
                let used = self.budget.used();
                // The half is not a strict limit. Two requests that check at the same time may both pass.
                let own = occupied + usize::try_from(self.beside.div_ceil(UNIT)).unwrap_or(usize::MAX);
                if used + more > units / 2 && used > own {
                    return Err(full());
                }
                bytes.clone().try_acquire_many_owned(asked).map_err(|_: TryAcquireError| full())?
            }
            Some(patience) => {
                // The semaphore's own queue would give every freed byte to its first waiter, and requests would be
                // refused although nobody uses that room.
                let room = async {
                    let _next = next.lock().await;
                    loop {
                        match bytes.clone().try_acquire_many_owned(asked) {
                            Ok(room) => return room,
                            Err(_) => tokio::time::sleep(CHECK_INTERVAL).await,
                        }
                    }
                };
                // Owners that wait for each other must not give up at the same time: what the first one frees is room
                // for the next. Later ones wait longer, so that their timeouts differ.
                let turn = waited.fetch_add(1, Ordering::Relaxed) % TIMEOUT_STEPS;
                let patience = patience.mul_f64(0.75 + 0.25 * turn as f64 / TIMEOUT_STEPS as f64);
                tokio::time::timeout(patience, room).await.map_err(|_| full())?
            }
        };
        match &mut self.permit {
            Some(own) => own.merge(permit),
            none => *none = Some(permit),
        }
        self.room = length;
        Ok(())
    }

    /// Makes room for at least `length` bytes of a body of unknown length, or for twice as much if possible.
    ///
    /// # Errors
    ///
    /// As for [`make_room`](Share::make_room).
    pub async fn grow(&mut self, length: u64, limit: u64) -> Result<(), NoRoom> {
        if length <= SMALL.max(self.room) {
            return Ok(());
        }
        let ample = length.saturating_mul(2).min(limit).max(length);
        let patience = self.patience.take();
        let grown = self.make_room(ample).await;
        self.patience = patience;
        match grown {
            Ok(()) => Ok(()),
            Err(_) => self.make_room(length).await,
        }
    }

    /// Binds the share to a body. The room is given back when the body is dropped. Room that the body does not need is
    /// given back at once.
    #[must_use]
    pub fn keep(self, body: Bytes) -> Bytes {
        let Some(mut permit) = self.permit else { return body };
        let length = body.len() as u64;
        if length <= SMALL {
            return body;
        }
        let needed = usize::try_from(length.saturating_mul(self.copies).div_ceil(UNIT)).unwrap_or(usize::MAX);
        drop(permit.num_permits().checked_sub(needed).and_then(|spare| permit.split(spare)));
        Bytes::from_owner(CountedBody { body, _permit: permit })
    }
}

struct CountedBody {
    body: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for CountedBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRoom {
    /// The limit of requests in flight is reached.
    #[error("the limit of {} in flight is reached", counted(*limit as u64, "request"))]
    Requests {
        /// The most requests in flight.
        limit: usize,
    },
    /// The bodies in flight leave too little room at the moment.
    #[error("the bodies in flight leave too little of the {limit} bytes that they share")]
    Bytes {
        /// The most bytes of bodies.
        limit: u64,
    },
    /// The body is larger than the limit, or than what is left of it beside the body of its request.
    #[error("the body needs more than is left of the {limit} bytes that all bodies in flight share")]
    Never {
        /// The most bytes of bodies.
        limit: u64,
    },
}

impl NoRoom {
    /// The code of the error.
    #[must_use]
    pub fn code(self) -> Code {
        if self.is_temporary() { code::NO_ROOM } else { code::NEVER_ROOM }
    }

    /// What to do about it. The caller adds the name of its setting, if the error is not temporary.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self.is_temporary() {
            true => "try again later",
            false => "send a smaller body, or raise the limit",
        }
    }

    /// Whether it may help to try again later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !matches!(self, NoRoom::Never { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn budget(bytes: u64) -> Budget {
        Budget::new(Limits { requests: 2, bytes })
    }

    #[test]
    fn r7_limits_fit_the_memory() {
        assert_eq!(Limits::for_memory(512 * MIB), Limits { requests: 1024, bytes: 256 * MIB });
        assert_eq!(Limits::for_memory(0), Limits { requests: 64, bytes: MIB });
        assert_eq!(Limits::for_memory(u64::MAX).requests, 100_000);
        assert_eq!(Limits::for_memory(u64::MAX).within_files(1024).requests, 320);
        assert_eq!(Limits::for_memory(u64::MAX).within_files(10).requests, 16);
        assert_eq!(Limits::for_memory(512 * MIB).within_files(1 << 20), Limits::for_memory(512 * MIB));
    }

    #[test]
    fn r7_requests_beyond_the_limit_are_refused() {
        let budget = budget(MIB);
        let places = [budget.admit().unwrap(), budget.admit().unwrap()];
        assert_eq!(budget.admit().unwrap_err(), NoRoom::Requests { limit: 2 });
        assert_eq!(budget.requests(), 2);
        drop(places);
        assert!(budget.admit().is_ok());
    }

    #[tokio::test]
    async fn r7_requests_leave_half_of_the_budget_to_answers() {
        let budget = budget(100 * MIB);
        let mut first = budget.request_share();
        first.make_room(60 * MIB).await.unwrap();
        let mut second = budget.request_share();
        assert_eq!(second.make_room(MIB).await, Err(NoRoom::Bytes { limit: 100 * MIB }));
        second.make_room(SMALL).await.unwrap();
        budget.answer_share(Duration::ZERO).make_room(40 * MIB).await.unwrap();
        drop(first);
        assert_eq!(budget.bytes(), 0);
        second.make_room(30 * MIB).await.unwrap();
        budget.request_share().make_room(20 * MIB).await.unwrap();
        assert_eq!(budget.request_share().make_room(21 * MIB).await, Err(NoRoom::Bytes { limit: 100 * MIB }));
        assert_eq!(budget.request_share().make_room(101 * MIB).await, Err(NoRoom::Never { limit: 100 * MIB }));
    }

    #[tokio::test]
    async fn r7_a_kept_body_counts_with_its_size_until_it_is_dropped() {
        let budget = budget(100 * MIB);
        let mut share = budget.request_share().copied(3);
        share.grow(5 * MIB, 20 * MIB).await.unwrap();
        assert_eq!(budget.bytes(), 30 * MIB);
        let body = share.keep(Bytes::from(vec![7; 5 << 20]));
        assert_eq!(budget.bytes(), 15 * MIB);
        let part = body.slice(1..3);
        drop(body);
        assert_eq!((budget.bytes(), &part[..]), (15 * MIB, &[7, 7][..]));
        drop(part);
        assert_eq!(budget.bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn r7_an_answer_waits_for_room_for_a_limited_time() {
        let budget = budget(10 * MIB);
        let mut first = budget.answer_share(Duration::from_secs(1));
        first.make_room(8 * MIB).await.unwrap();
        let mut second = budget.answer_share(Duration::from_secs(1));
        assert_eq!(second.make_room(8 * MIB).await, Err(NoRoom::Bytes { limit: 10 * MIB }));
        let (_, room) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                drop(first);
            },
            second.make_room(8 * MIB)
        );
        room.unwrap();
    }

    #[tokio::test]
    async fn h10_a_body_and_its_decoded_form_count_as_one() {
        let budget = budget(100 * MIB);
        let mut encoded = budget.request_share();
        encoded.make_room(MIB).await.unwrap();
        assert_eq!(budget.request_share().make_room(60 * MIB).await, Err(NoRoom::Bytes { limit: 100 * MIB }));
        let mut decoded = budget.request_share().beside(MIB);
        decoded.make_room(60 * MIB).await.unwrap();
        drop(decoded);
        let mut another = budget.answer_share(Duration::ZERO);
        another.make_room(MIB).await.unwrap();
        let beside_another = budget.request_share().beside(MIB).make_room(60 * MIB).await;
        assert_eq!(beside_another, Err(NoRoom::Bytes { limit: 100 * MIB }));
        assert_eq!(
            budget.request_share().beside(MIB).make_room(100 * MIB).await,
            Err(NoRoom::Never { limit: 100 * MIB })
        );
    }

    #[tokio::test]
    async fn r2_an_answer_that_does_not_fit_beside_its_request_never_will() {
        let budget = budget(84 * MIB);
        let mut request = budget.request_share();
        request.make_room(60 * MIB).await.unwrap();
        let mut answer = budget.answer_share(Duration::from_secs(60)).beside(60 * MIB);
        answer.make_room(20 * MIB).await.unwrap();
        assert_eq!(answer.make_room(30 * MIB).await, Err(NoRoom::Never { limit: 84 * MIB }));
        assert_eq!(answer.grow(21 * MIB, 64 * MIB).await, Ok(()));
    }

    /// Each of them holds half and waits for the other half. With the same timeout, both would give up at the same
    /// moment.
    #[tokio::test(start_paused = true)]
    async fn r7_if_two_answers_wait_for_each_other_one_gives_way() {
        let budget = budget(10 * MIB);
        let mut shares = [(); 2].map(|()| budget.answer_share(Duration::from_secs(60)));
        for share in &mut shares {
            share.make_room(5 * MIB).await.unwrap();
        }
        let [one, other] = shares.map(async |share| {
            let room = budget.answer_share(Duration::from_secs(4)).make_room(5 * MIB).await;
            // Dropping the body takes a moment.
            tokio::time::sleep(Duration::from_millis(30)).await;
            drop(share);
            room
        });
        let (one, other) = tokio::join!(one, other);
        assert!(one.is_err() && other.is_ok(), "{one:?} {other:?}");
    }
}
