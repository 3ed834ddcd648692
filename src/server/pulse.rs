//! `Pulse`: how an accept loop is reached from outside: told to stop, or asked whether it still comes
//! round.
//!
//! The loop is rung at its bell and beats each time it has answered it; who asks waits for a beat.
//! Nothing is asked, and nobody woken, by itself.

use std::io;

use crate::deadline::Deadline;
use crate::lock::{Lock, Signal};
use crate::wire::bell::Bell;

/// The bell of a thread that sleeps in `poll`, and how often it has answered.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) bell: Bell,
    beats: Lock<u64>,
    beaten: Signal,
}

impl Pulse {
    pub(crate) fn new() -> io::Result<Pulse> {
        Ok(Pulse {
            bell: Bell::new()?,
            beats: Lock::default(),
            beaten: Signal::new(),
        })
    }

    /// The thread is alive: it has answered its bell.
    pub(crate) fn beat(&self) {
        let mut beats = self.beats.lock();
        *beats = beats.wrapping_add(1);
        drop(beats);
        self.beaten.notify_all();
    }

    /// Ends the thread. Who waits for a beat gets none any more.
    pub(crate) fn stop(&self) {
        // Under the lock: nobody begins to wait between the two steps.
        let beats = self.beats.lock();
        self.bell.stop();
        drop(beats);
        self.beaten.notify_all();
    }

    /// Rings the thread and waits until it has beaten since; false at the deadline, and once the
    /// thread is stopped.
    pub(crate) fn is_felt(&self, deadline: Deadline) -> bool {
        let mut now = self.beats.lock();
        // A beat for an earlier ring counts as well, since it comes after this look.
        let before = *now;
        self.bell.ring();
        loop {
            if self.bell.is_stopped() {
                return false;
            }
            if *now != before {
                return true;
            }
            if deadline.has_passed() {
                return false;
            }
            now = self.beaten.wait(now, deadline);
        }
    }
}
