//! `Pulse`: asks a thread that sleeps in `poll` whether it still comes round.
//!
//! The thread is rung at its bell and beats each time it has answered it; who asks waits for a beat.
//! Nothing is asked, and nobody woken, by itself.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::deadline::Deadline;
use crate::wire::bell::Bell;

/// How often a thread has answered its bell.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: Mutex<u64>,
    beaten: Condvar,
}

impl Pulse {
    /// The thread is alive: it has answered its bell.
    pub(crate) fn beat(&self) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        *beats = beats.wrapping_add(1);
        drop(beats);
        self.beaten.notify_all();
    }

    /// Rings `bell` and waits until its thread has beaten since; false at the deadline.
    pub(crate) fn is_felt(&self, bell: &Bell, deadline: Deadline) -> bool {
        let beats = || self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = beats();
        // A beat for an earlier ring counts as well, since it comes after this look.
        let before = *now;
        bell.ring();
        while *now == before {
            match deadline.remaining() {
                Some(left) if left.is_zero() => return false,
                Some(left) => {
                    let waited = self.beaten.wait_timeout(now, left);
                    now = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    now = self
                        .beaten
                        .wait(now)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        true
    }
}
