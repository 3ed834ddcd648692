//! `Bell`: wakes a thread that sleeps in `poll`, from any other thread, without waiting.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags};

/// Wakes a thread that sleeps in `poll`.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: AtomicBool,
    stopped: AtomicBool,
    inside: UnixStream,
    outside: UnixStream,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Bell> {
        let (inside, outside) = UnixStream::pair()?;
        inside.set_nonblocking(true)?;
        outside.set_nonblocking(true)?;
        let no = || AtomicBool::new(false);
        Ok(Bell {
            rung: no(),
            stopped: no(),
            inside,
            outside,
        })
    }

    /// Wakes the thread, once however often it is rung before the thread looks.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            let _ = (&self.outside).write(&[1]);
        }
    }

    /// Wakes the thread for the last time.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.ring();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.inside.as_fd(), PollFlags::IN)
    }

    /// Makes ready for the next ring; to be called before the look at what was asked for, and at
    /// `is_stopped`. The flag is cleared last, by a swap: who rings from now on is heard by the next
    /// poll, and what stands before a ring that found the flag up is seen after this.
    pub(crate) fn answer(&self) {
        let mut bytes = [0; 16];
        while matches!((&self.inside).read(&mut bytes), Ok(n) if n > 0) {}
        self.rung.swap(false, Ordering::AcqRel);
    }
}
