use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a thread has panicked that held the lock: a test that fails is to say why, and not that.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
