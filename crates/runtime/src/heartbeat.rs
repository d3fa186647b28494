//! Keeps the runtime at its sockets while code of the flow may block its threads.
//!
//! Such code, computing on a large picture say, may block the very thread that watches the sockets and the time. Nobody
//! then watches until it is done, however many threads have nothing to do: tokio wakes one of them only for work. So a
//! thread apart gives it a little work now and then while such code runs, and who has done it watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use tokio::runtime::Handle;

/// How long nobody may watch, at most.
const BEAT: Duration = Duration::from_millis(20);

/// Counts the code of the flow that runs. Cloning yields the same count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeat(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    /// The thread waits to be woken.
    asleep: AtomicBool,
    stopped: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Heartbeat {
    /// Code of the flow runs from here on until this is dropped.
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

    /// Starts the thread, for the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread.
    pub(crate) fn start(&self) -> std::io::Result<HeartbeatThread> {
        // One is enough for all who serve the same flow function.
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
            // Nothing to wait for: to have been run is all that it is for.
            drop(runtime.spawn(async {}));
        }
    }
}

/// Code of the flow that runs.
pub(crate) struct UserCode<'a>(&'a Shared);

impl Drop for UserCode<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The thread, which ends with this.
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
