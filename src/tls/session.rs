//! `Session`: an established TLS connection. Plaintext goes in and out, never blocking.
//!
//! Its object may be used by one thread at a time only; the `Wire` that owns it holds a lock for
//! the moment of each call.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::pipe::Pipe;
use super::words;

/// What both libraries' streams can do.
pub(crate) trait Stream: Read + Write + Send {
    fn pipe(&self) -> &Pipe;
    fn pipe_mut(&mut self) -> &mut Pipe;
    /// Plaintext that is there without reading from the pipe.
    fn unread(&self) -> usize;
    /// Sends the alert `close_notify`; does not wait for the peer's.
    fn notify(&mut self) -> io::Result<()>;
}

pub(crate) struct Session {
    stream: Box<dyn Stream>,
    /// `close_notify` is sent once.
    notified: bool,
}

impl Session {
    pub(crate) fn new(mut stream: impl Stream + 'static) -> Session {
        stream.pipe_mut().bore_fruit();
        Session {
            stream: Box::new(stream),
            notified: false,
        }
    }

    /// Takes plaintext that has arrived: `WouldBlock` if there is none, 0 at the end, with or
    /// without a `close_notify`. Truncation is told by the missing close frame.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.stream.read(buffer);
        if result.is_ok() {
            self.stream.pipe_mut().bore_fruit();
        }
        // What the peer made the session answer, a key update, goes out with the next write.
        match result {
            Err(error) if is_end(&error) => Ok(0),
            result => result.map_err(in_words),
        }
    }

    /// Takes as much plaintext as the socket takes ciphertext, and one record more; `WouldBlock`
    /// if nothing. What is left of that record goes out by `flush`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.flush() {
                Ok(()) => {
                    taken += self
                        .stream
                        .write(&bytes[taken..])
                        .map_err(no_renegotiation)?
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// For a session within this one: takes its record whole.
    pub(super) fn write_record(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write_all(bytes).map_err(no_renegotiation)?;
        Ok(bytes.len())
    }

    /// Hands over what waits; `WouldBlock` while something is left.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stream.pipe_mut().send_unsent()
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.stream.pipe().has_unsent()
    }

    /// Whether a read gives something although the socket may be empty.
    pub(crate) fn has_unread(&self) -> bool {
        self.stream.unread() > 0 || self.stream.pipe().has_unread()
    }

    /// Tells the peer that nothing more comes, as far as the socket takes it: without, OpenSSL 3
    /// calls the end unexpected.
    pub(crate) fn close_notify(&mut self) {
        if !self.notified {
            self.notified = true;
            let _ = self.stream.notify();
            let _ = self.flush();
        }
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.pipe().as_fd()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The end of the stream without `close_notify`, for which there is no error kind.
fn is_end(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::WouldBlock && error.to_string().contains("unexpected eof")
}

/// The pipe takes every write: one that blocks waits to read, for a renegotiation of TLS 1.2.
/// Nobody would know what to wait for, and TLS 1.3 has none.
fn no_renegotiation(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::other("the peer wants to renegotiate TLS"),
        _ => in_words(error),
    }
}

/// What the library says, without its numbers and file names; errors of the socket as they are.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Other => io::Error::other(words::of_session(&error.to_string())),
        _ => error,
    }
}

impl Stream for native_tls::TlsStream<Pipe> {
    fn pipe(&self) -> &Pipe {
        self.get_ref()
    }

    fn pipe_mut(&mut self) -> &mut Pipe {
        self.get_mut()
    }

    fn unread(&self) -> usize {
        self.buffered_read_size().unwrap_or(0)
    }

    fn notify(&mut self) -> io::Result<()> {
        self.shutdown()
    }
}
