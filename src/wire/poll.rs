//! `poll`: waits for sockets, in whatever thread calls it, outside every lock.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::deadline::Deadline;

/// Waits until something is ready (true) or the deadline has passed (false).
pub(crate) fn poll(fds: &mut [PollFd<'_>], deadline: Deadline) -> io::Result<bool> {
    loop {
        let timeout = deadline.remaining().map(|d| Timespec {
            tv_sec: d.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: d.subsec_nanos().into(),
        });
        match rustix::event::poll(fds, timeout.as_ref()) {
            Ok(0) if deadline.has_passed() => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            // The time already waited is not lost: the deadline is absolute.
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The same for one descriptor.
pub(crate) fn poll_one(
    fd: BorrowedFd<'_>,
    flags: PollFlags,
    deadline: Deadline,
) -> io::Result<bool> {
    poll(&mut [PollFd::from_borrowed_fd(fd, flags)], deadline)
}
