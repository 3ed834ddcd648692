//! `Wire`: the bytes of one connection, over a socket, with or without TLS.
//!
//! Bytes go in and out without ever blocking; waiting is a `poll` of its own, outside every lock.
//! A TLS session may not be used by two threads at once: it has a lock, held for the moment of
//! one call. All methods take `&self` and any thread may call them; who may write when is the
//! business of `outbox.rs`.

pub(crate) mod bell;
pub(crate) mod socket;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::deadline::Deadline;
use crate::tls::Session;
use crate::wire::socket::Socket;

/// One connection's way for bytes, and how many have gone through it.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Arc<Socket>,
    /// From the TLS handshake on.
    session: OnceLock<Mutex<Session>>,
    /// Held while waiting for the session's lock: who waits is next. Without, a thread that reads
    /// what a peer floods it with would take the lock again and again before anybody wakes up.
    turn: Mutex<()>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Wire {
    pub(crate) fn new(socket: impl Into<Socket>) -> Wire {
        Wire {
            socket: Arc::new(socket.into()),
            session: OnceLock::new(),
            turn: Mutex::new(()),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    #[cfg(feature = "tls")]
    /// From now on all bytes go through this session.
    pub(crate) fn secure(&self, session: Session) {
        let fresh = self.session.set(Mutex::new(session)).is_ok();
        debug_assert!(fresh, "a session replaces none");
    }

    #[cfg(feature = "tls")]
    /// Takes the session out, for one within it.
    pub(crate) fn take_session(&mut self) -> Option<Session> {
        let session = self.session.take()?.into_inner();
        Some(session.unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing stands between the socket and us that could keep bytes back.
    pub(crate) fn is_plain(&self) -> bool {
        self.session.get().is_none()
    }

    fn session(&self) -> Option<MutexGuard<'_, Session>> {
        let session = self.session.get()?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Some(session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what has arrived; `WouldBlock` if nothing has, 0 at the end of the stream.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.take(buffer)?;
        self.received.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.session() {
            Some(mut session) => session.read(buffer),
            None => self.socket.recv(buffer),
        }
    }

    /// Waits for bytes and appends them to the buffer, which has room; none at the end of the
    /// stream. False when the deadline came first.
    pub(crate) fn recv_waiting(&self, bytes: &mut Vec<u8>, deadline: Deadline) -> io::Result<bool> {
        if deadline == Deadline::NEVER && self.is_plain() {
            // A single call waits and takes: `poll` before it would cost a tenth of an echo.
            let n = self.socket.recv_blocking(bytes)?;
            self.received.fetch_add(n as u64, Ordering::Relaxed);
            return Ok(true);
        }
        loop {
            if !self.wait_readable(deadline)? {
                return Ok(false);
            }
            let start = bytes.len();
            bytes.resize(bytes.capacity(), 0);
            let result = self.recv(&mut bytes[start..]);
            bytes.truncate(start + *result.as_ref().unwrap_or(&0));
            match result {
                Ok(_) => return Ok(true),
                // Another thread was faster, or it was only a part of a TLS record.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands over what the socket takes at once; `WouldBlock` if it takes nothing. With TLS
    /// a part of what was taken may wait for `flush`.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let n = match self.session() {
            Some(mut session) => session.write(bytes)?,
            None => self.socket.send(bytes)?,
        };
        self.sent.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    /// Hands over what TLS has taken and the socket has not; `WouldBlock` while something is left.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.session().map_or(Ok(()), |mut session| session.flush())
    }

    /// Whether there is something to `flush`.
    pub(crate) fn has_unsent(&self) -> bool {
        self.session().is_some_and(|session| session.has_unsent())
    }

    /// Hands over all bytes, waiting for room; for the handshake, when nothing else writes.
    pub(crate) fn send_all(&self, mut bytes: &[u8], deadline: Deadline) -> io::Result<()> {
        loop {
            let result = match bytes {
                [] => return self.flush_all(deadline),
                bytes => self.send(bytes),
            };
            match result {
                Ok(n) => bytes = &bytes[n..],
                Err(error) => self.wait_out(error, deadline)?,
            }
        }
    }

    fn flush_all(&self, deadline: Deadline) -> io::Result<()> {
        while let Err(error) = self.flush() {
            self.wait_out(error, deadline)?;
        }
        Ok(())
    }

    /// Waits until there is room, if that was the error.
    fn wait_out(&self, error: io::Error, deadline: Deadline) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock if self.wait_writable(deadline)? => Ok(()),
            io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            _ => Err(error),
        }
    }

    /// Waits until `recv` has something to say; false when the deadline came first.
    pub(crate) fn wait_readable(&self, deadline: Deadline) -> io::Result<bool> {
        if self.session().is_some_and(|session| session.has_unread()) {
            return Ok(true);
        }
        poll_one(self.as_fd(), PollFlags::IN, deadline)
    }

    /// Waits until `send` takes something; false when the deadline came first.
    pub(crate) fn wait_writable(&self, deadline: Deadline) -> io::Result<bool> {
        poll_one(self.as_fd(), PollFlags::OUT, deadline)
    }

    /// Bytes received so far, without those of TLS: any of them is a sign of life.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shutdown_write(&self) {
        self.notify();
        self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// Lets a thread that waits for bytes find the end of the stream.
    pub(crate) fn shutdown_read(&self) {
        self.socket.shutdown(std::net::Shutdown::Read);
    }

    /// Ends both directions: every thread that waits for this socket wakes up.
    pub(crate) fn shutdown_both(&self) {
        self.notify();
        self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn notify(&self) {
        if let Some(mut session) = self.session() {
            session.close_notify();
        }
    }

    /// Gives up on the peer: what it has not taken is thrown away.
    pub(crate) fn abort(&self) {
        self.socket.drop_unsent();
        self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Reads and throws away what still comes, until the peer closes, `limit` bytes, or the
    /// deadline: closing with unread bytes would reset the connection, and the peer could lose
    /// the last thing we said (RFC 9112, section 9.6).
    pub(crate) fn discard(&self, limit: usize, deadline: Deadline) {
        let mut rest = limit;
        let mut buffer = vec![0; limit.min(16 * 1024)];
        while rest > 0 {
            // Not counted as received: nobody looks at it.
            match self.take(&mut buffer) {
                Ok(0) => return,
                Ok(_) if deadline.has_passed() => return,
                Ok(n) => rest = rest.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !matches!(self.wait_readable(deadline), Ok(true)) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn poll_one(fd: BorrowedFd<'_>, flags: PollFlags, deadline: Deadline) -> io::Result<bool> {
    poll(&mut [PollFd::from_borrowed_fd(fd, flags)], deadline)
}

/// `poll` until something is ready (true) or the deadline has passed (false).
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
