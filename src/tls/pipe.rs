//! `Pipe`: what a TLS session takes for its socket.
//!
//! Ciphertext goes in and out without ever blocking. What the socket does not take at once waits
//! here, because OpenSSL, once told "would block", insists on being given the same bytes again,
//! and of a slow client the outbox may by then have something newer to say. The session writes no
//! further record before this one is gone, so what waits is bounded.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};

use super::session::Session;
use crate::deadline::Deadline;
use crate::wire;
use crate::wire::socket::Socket;

/// One record is at most 16 KiB and a little. More than a few waiting means that the peer makes
/// the session answer (key updates, alerts) and reads nothing.
const MAX_UNSENT: usize = 64 * 1024;
/// A whole record that has to come before there is plaintext, and a little of what TLS says for
/// itself. Who sends more of that alone sends key updates, and OpenSSL takes them for as long as
/// they come, within one call and under the session's lock.
const MAX_FRUITLESS: usize = 32 * 1024;
/// An idle connection keeps no more than this for what might wait.
const KEEP: usize = 1024;

/// What lies below the session: the socket, or TLS to a proxy.
#[derive(Debug)]
pub(crate) enum Lower {
    Socket(Arc<Socket>),
    Session(Box<Session>),
}

#[derive(Debug)]
pub(crate) struct Pipe {
    lower: Lower,
    /// Ciphertext that the socket has not taken yet.
    unsent: Vec<u8>,
    /// Bytes read since the last plaintext; not counted in the handshake, which has a deadline.
    fruitless: Option<usize>,
}

impl Pipe {
    pub(crate) fn new(lower: Lower) -> Pipe {
        Pipe {
            lower,
            unsent: Vec::new(),
            fruitless: None,
        }
    }

    /// The handshake is done, or plaintext has come.
    pub(crate) fn bore_fruit(&mut self) {
        self.fruitless = Some(0);
    }

    /// Hands over what waits; `WouldBlock` while something is left.
    pub(crate) fn send_unsent(&mut self) -> io::Result<()> {
        match &mut self.lower {
            // The lower session keeps what waits itself.
            Lower::Session(session) => session.flush(),
            Lower::Socket(socket) => {
                while !self.unsent.is_empty() {
                    let n = socket.send(&self.unsent)?;
                    self.unsent.drain(..n);
                }
                if self.unsent.capacity() > KEEP {
                    self.unsent = Vec::new();
                }
                Ok(())
            }
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        match &self.lower {
            Lower::Session(session) => session.has_unsent(),
            Lower::Socket(_) => !self.unsent.is_empty(),
        }
    }

    /// Whether a read gives something although the socket may be empty.
    pub(crate) fn has_unread(&self) -> bool {
        match &self.lower {
            Lower::Session(session) => session.has_unread(),
            Lower::Socket(_) => false,
        }
    }

    /// For the handshake: waits until it can go on. False when the deadline came first.
    pub(crate) fn wait(&mut self, deadline: Deadline) -> io::Result<bool> {
        let flags = match self.send_unsent() {
            Ok(()) => PollFlags::IN,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                PollFlags::IN | PollFlags::OUT
            }
            Err(error) => return Err(error),
        };
        if self.has_unread() {
            return Ok(true);
        }
        wire::poll(
            &mut [PollFd::from_borrowed_fd(self.as_fd(), flags)],
            deadline,
        )
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.lower {
            Lower::Socket(socket) => socket.as_fd(),
            Lower::Session(session) => session.as_fd(),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fruitless.is_some_and(|bytes| bytes > MAX_FRUITLESS) {
            return Err(io::Error::other(
                "the peer sends TLS records without content",
            ));
        }
        let n = match &mut self.lower {
            Lower::Socket(socket) => socket.recv(buffer)?,
            Lower::Session(session) => session.read(buffer)?,
        };
        self.fruitless = self.fruitless.map(|bytes| bytes + n);
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = match &mut self.lower {
            Lower::Session(session) => return session.write_record(bytes),
            Lower::Socket(socket) => socket,
        };
        let mut sent = 0;
        if self.unsent.is_empty() {
            sent = match socket.send(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                result => result?,
            };
        }
        let rest = &bytes[sent..];
        if self.unsent.len() + rest.len() > MAX_UNSENT {
            return Err(io::Error::other("the peer does not read what TLS answers"));
        }
        self.unsent.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
