//! `Wire`: the socket of one connection, TCP or Unix.
//!
//! Bytes go in and out without ever blocking (`MSG_DONTWAIT` a call); waiting is a `poll` of its
//! own, outside every lock. All methods take `&self` and any thread may call them; who may write
//! when is the business of `outbox.rs`.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockRef, TcpKeepalive};

use crate::deadline::Deadline;

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connected socket, and how many bytes have gone through it.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Wire {
    /// Sets what every connection of ours has: no Nagle delay, and TCP keepalive, which finds a
    /// vanished peer where pings are off.
    pub(crate) fn tcp(stream: TcpStream) -> Wire {
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(10));
        // Neither is worth losing a client for: they fail when it has gone already.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        Wire::new(Socket::Tcp(stream))
    }

    pub(crate) fn unix(stream: UnixStream) -> Wire {
        Wire::new(Socket::Unix(stream))
    }

    fn new(socket: Socket) -> Wire {
        Wire {
            socket,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Takes what has arrived; `WouldBlock` if nothing has, 0 at the end of the stream.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = retry(|| rustix::net::recv(self, &mut *buffer, RecvFlags::DONTWAIT))?.0;
        self.received.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    /// Waits for bytes and appends them to the buffer, which has room; none at the end of the
    /// stream. False when the deadline came first. Without a deadline a single call waits and
    /// takes: `poll` before it would cost a tenth of an echo.
    pub(crate) fn recv_waiting(&self, bytes: &mut Vec<u8>, deadline: Deadline) -> io::Result<bool> {
        loop {
            let flags = match deadline {
                Deadline::NEVER => RecvFlags::empty(),
                deadline if !self.wait_readable(deadline)? => return Ok(false),
                _ => RecvFlags::DONTWAIT,
            };
            match retry(|| rustix::net::recv(self, spare_capacity(bytes), flags)) {
                Ok((n, _)) => {
                    self.received.fetch_add(n as u64, Ordering::Relaxed);
                    return Ok(true);
                }
                // Another thread or the system was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands over what the socket takes at once; `WouldBlock` if it takes nothing.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        // NOSIGNAL: std ignores SIGPIPE, but a program with a C main may not.
        let n =
            retry(|| rustix::net::send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))?;
        self.sent.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    /// Hands over all bytes, waiting for room; for the handshake, when nothing else writes.
    pub(crate) fn send_all(&self, mut bytes: &[u8], deadline: Deadline) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.send(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wait_writable(deadline)? {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until `recv` has something to say; false when the deadline came first.
    pub(crate) fn wait_readable(&self, deadline: Deadline) -> io::Result<bool> {
        poll_one(self.as_fd(), PollFlags::IN, deadline)
    }

    /// Waits until `send` takes something; false when the deadline came first.
    pub(crate) fn wait_writable(&self, deadline: Deadline) -> io::Result<bool> {
        poll_one(self.as_fd(), PollFlags::OUT, deadline)
    }

    /// Bytes received so far: any of them is a sign of life.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Says that nothing more will be sent. Errors mean that the peer is gone already.
    pub(crate) fn shutdown_write(&self) {
        self.shutdown(std::net::Shutdown::Write);
    }

    /// Lets a thread that waits for bytes find the end of the stream.
    pub(crate) fn shutdown_read(&self) {
        self.shutdown(std::net::Shutdown::Read);
    }

    /// Ends both directions: every thread that waits for this socket wakes up.
    pub(crate) fn shutdown_both(&self) {
        self.shutdown(std::net::Shutdown::Both);
    }

    fn shutdown(&self, how: std::net::Shutdown) {
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(how),
            Socket::Unix(stream) => stream.shutdown(how),
        };
    }

    /// Gives up on the peer: what it has not taken is thrown away, so that the kernel does not
    /// go on retransmitting to a host that has vanished.
    pub(crate) fn abort(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        self.shutdown_both();
    }

    /// Reads and throws away what still comes, until the peer closes, `limit` bytes, or the
    /// deadline: closing with unread bytes would reset the connection, and the peer could lose
    /// the last thing we said (RFC 9112, section 9.6).
    pub(crate) fn discard(&self, limit: usize, deadline: Deadline) {
        let mut rest = limit;
        let mut buffer = vec![0; limit.min(16 * 1024)];
        while rest > 0 {
            // Not counted as received: nobody looks at it.
            match retry(|| rustix::net::recv(self, &mut buffer[..], RecvFlags::DONTWAIT)) {
                Ok((0, _)) => return,
                Ok(_) if deadline.has_passed() => return,
                Ok((n, _)) => rest = rest.saturating_sub(n),
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
        match &self.socket {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    Ok(rustix::io::retry_on_intr(&mut call)?)
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
