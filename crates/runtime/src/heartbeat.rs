//! Keeps the runtime watching its sockets and timers while code of the flow may block its threads.
//!
//! Code that computes on a large picture, say, may block the very thread that polls for events. Nothing else polls until
//! that code is done, even if other threads are idle, because tokio wakes an idle thread only for work. While code of the
//! flow runs, a separate thread therefore spawns an empty task now and then. The thread that runs the task then polls for
//! events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use tokio::runtime::Handle;

/// The longest time for which nothing may poll for events.
const BEAT: Duration = Duration::from_millis(20);

/// Counts the running pieces of the flow's code. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeat(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    /// Whether the thread is waiting to be woken.
    asleep: AtomicBool,
    stopped: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Heartbeat {
    /// Marks code of the flow as running until the guard is dropped.
    pub(crate) fn enter(&self) -> UserCode<'_> {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        if self.0.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
        UserCode(&self.0)
    }

    fn wake(&self) {
        if let Some(thread) = self.0.thread.get() {
            thread.unpark();
        }
    }

    /// Starts the thread, which spawns its tasks on the current runtime.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the thread.
    pub(crate) fn start(&self) -> std::io::Result<HeartbeatThread> {
        // One thread is enough, even if the flow function is served more than once.
        if self.0.thread.get().is_some() {
            return Ok(HeartbeatThread { heartbeat: self.clone(), thread: None });
        }
        let (heartbeat, runtime) = (self.clone(), Handle::current());
        let thread =
            std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || heartbeat.beat(&runtime))?;
        let _ = self.0.thread.set(thread.thread().clone());
        Ok(HeartbeatThread { heartbeat: self.clone(), thread: Some(thread) })
    }

    fn beat(&self, runtime: &Handle) {
        while !self.0.stopped.load(Ordering::SeqCst) {
            self.0.asleep.store(true, Ordering::SeqCst);
            while self.0.running.load(Ordering::SeqCst) == 0 && self.0.asleep.load(Ordering::SeqCst) {
                std::thread::park();
                if self.0.stopped.load(Ordering::SeqCst) {
                    return;
                }
            }
            self.0.asleep.store(false, Ordering::SeqCst);
            std::thread::sleep(BEAT);
            // The task does nothing. It only has to run.
            drop(runtime.spawn(async {}));
        }
    }
}

/// Code of the flow is running while this exists.
pub(crate) struct UserCode<'a>(&'a Shared);

impl Drop for UserCode<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The heartbeat thread. It ends when this is dropped.
pub(crate) struct HeartbeatThread {
    heartbeat: Heartbeat,
    thread: Option<JoinHandle<()>>,
}

impl Drop for HeartbeatThread {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.heartbeat.0.stopped.store(true, Ordering::SeqCst);
            self.heartbeat.wake();
            let _ = thread.join();
        }
    }
}
