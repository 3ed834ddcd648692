//! `Pipe`: what a TLS session takes for its socket.
//!
//! Ciphertext goes in and out without ever blocking. What the socket does not take at once waits
//! here, because OpenSSL, once told "would block", insists on being given the same bytes again,
//! and of a slow client the outbox may by then have something newer to say. The session writes no
//! further record before this one is gone, so what waits is bounded.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::event::PollFlags;

use super::failure::Failure;
use crate::deadline::Deadline;
use crate::wire::poll_one;
use crate::wire::session::Session;
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

#[derive(Debug)]
pub(super) struct Pipe {
    socket: Arc<Socket>,
    /// TLS to a proxy, which this goes through.
    below: Option<Box<dyn Session>>,
    /// Ciphertext that has not been taken yet.
    unsent: Vec<u8>,
    /// Bytes read since the last plaintext; not counted in the handshake, which has a deadline.
    fruitless: Option<usize>,
}

impl Pipe {
    pub(super) fn new(socket: &Arc<Socket>, below: Option<Box<dyn Session>>) -> Pipe {
        Pipe {
            socket: Arc::clone(socket),
            below,
            unsent: Vec::new(),
            fruitless: None,
        }
    }

    /// The handshake is done, or plaintext has come.
    pub(super) fn bore_fruit(&mut self) {
        self.fruitless = Some(0);
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.below {
            Some(session) => session.write(bytes),
            None => self.socket.send(bytes),
        }
    }

    /// Hands over what waits; `WouldBlock` while something is left.
    pub(super) fn send_unsent(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let sent = self.send(&unsent);
            self.unsent = unsent;
            self.unsent.drain(..sent?);
        }
        if self.unsent.capacity() > KEEP {
            self.unsent = Vec::new();
        }
        self.below
            .as_mut()
            .map_or(Ok(()), |session| session.flush())
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.below.as_ref().is_some_and(|below| below.has_unsent())
    }

    /// Whether a read gives something although the socket may be empty.
    pub(super) fn has_unread(&self) -> bool {
        self.below.as_ref().is_some_and(|below| below.has_unread())
    }

    /// For the handshake: waits until it can go on.
    pub(super) fn wait(&mut self, deadline: Deadline) -> Result<(), Failure> {
        let flags = match self.send_unsent() {
            Ok(()) => PollFlags::IN,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                PollFlags::IN | PollFlags::OUT
            }
            Err(error) => return Err(Failure::Lost(error)),
        };
        if self.has_unread() {
            return Ok(());
        }
        match poll_one(self.socket.as_fd(), flags, deadline) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Late),
            Err(error) => Err(Failure::Lost(error)),
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
        let n = match &mut self.below {
            Some(session) => session.read(buffer)?,
            None => self.socket.recv(buffer)?,
        };
        self.fruitless = self.fruitless.map(|bytes| bytes + n);
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        if self.unsent.is_empty() {
            sent = match self.send(bytes) {
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
