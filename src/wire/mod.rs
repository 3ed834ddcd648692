//! `Wire`: the bytes of one connection, over a socket, with or without a session such as TLS.
//!
//! Bytes go in and out without ever blocking; waiting is a `poll` of its own, outside every lock.
//! A session may not be used by two threads at once: it has a lock, held for the moment of one
//! call. All methods take `&self` and any thread may call them; who may write when is the business
//! of `outbox.rs`.

pub(crate) mod bell;
mod poll;
pub(crate) mod session;
pub(crate) mod socket;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};

use rustix::event::PollFlags;

use crate::deadline::Deadline;
use crate::lock::Lock;
pub(crate) use poll::{poll, poll_one};
use session::Session;
use socket::Socket;

/// One connection's way for bytes, and how many have gone through it.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Arc<Socket>,
    /// From a TLS handshake on.
    session: OnceLock<Lock<Box<dyn Session>>>,
    /// Held while waiting for the session's lock: who waits is next. Without, a thread that reads
    /// what a peer floods it with would take the lock again and again before anybody wakes up.
    turn: Lock<()>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Wire {
    pub(crate) fn new(socket: impl Into<Socket>) -> Wire {
        Wire {
            socket: Arc::new(socket.into()),
            session: OnceLock::new(),
            turn: Lock::new(()),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// From now on all bytes go through this session.
    pub(crate) fn secure(&self, session: Box<dyn Session>) {
        let fresh = self.session.set(Lock::new(session)).is_ok();
        debug_assert!(fresh, "a session replaces none");
    }

    /// Takes the session out, for one within it.
    pub(crate) fn take_session(&mut self) -> Option<Box<dyn Session>> {
        Some(self.session.take()?.into_inner())
    }

    /// Whether nothing stands between the socket and us that could keep bytes back.
    pub(crate) fn is_plain(&self) -> bool {
        self.session.get().is_none()
    }

    fn session(&self) -> Option<MutexGuard<'_, Box<dyn Session>>> {
        let session = self.session.get()?;
        let _turn = self.turn.lock();
        Some(session.lock())
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
            match self.socket.recv_blocking(bytes) {
                Ok(n) => {
                    self.received.fetch_add(n as u64, Ordering::Relaxed);
                    return Ok(true);
                }
                // Somebody has made it a socket that does not block: `poll` waits for it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
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

    /// Hands over what the socket takes at once; `WouldBlock` if it takes nothing. A session may
    /// keep a part of what was taken for `flush`.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let n = match self.session() {
            Some(mut session) => session.write(bytes)?,
            None => self.socket.send(bytes)?,
        };
        self.sent.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    /// Hands over what the session has taken and the socket has not; `WouldBlock` while something is left.
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// As BSD hands it over that was accepted from a listener which does not block.
    #[test]
    fn a_socket_that_does_not_block_is_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let wire = Wire::new(ours);
        let late = thread::spawn(move || {
            thread::park_timeout(Duration::from_millis(20));
            theirs.write_all(b"x").expect("a byte");
        });
        let mut bytes = Vec::with_capacity(8);
        let came = wire.recv_waiting(&mut bytes, Deadline::NEVER);
        assert!(matches!(came, Ok(true)), "{came:?}");
        assert_eq!(bytes, b"x");
        late.join().expect("the writer");
    }
}
