//! `Lock` and `Signal`: a mutex and a condition variable whose poison does not matter.
//!
//! A thread that panics with the lock held is one client's handler or one update of a hub. Code that
//! holds a lock here does not leave it half changed, so the others go on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::deadline::Deadline;

/// A mutex that a panic does not poison.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, unless another thread has it now.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable that waits until a deadline.
#[derive(Debug, Default)]
pub(crate) struct Signal(Condvar);

impl Signal {
    pub(crate) const fn new() -> Signal {
        Signal(Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits to be notified, or until the deadline; may also wake for no reason.
    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> MutexGuard<'a, T> {
        match deadline.remaining() {
            None => self.0.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(left) => {
                let waited = self.0.wait_timeout(guard, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}
