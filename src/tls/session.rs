//! `TlsSession`: an established TLS connection as a wire uses it, whichever library made it.

use std::fmt;
use std::io::{self, Read, Write};

use native_tls::TlsStream;
use openssl::ssl::SslStream;

use super::pipe::Pipe;
use super::words;
use crate::wire::session::Session;

pub(super) struct TlsSession<S> {
    stream: S,
    /// `close_notify` is sent once.
    notified: bool,
}

impl<S: Stream> TlsSession<S> {
    pub(super) fn new(mut stream: S) -> TlsSession<S> {
        stream.pipe_mut().bore_fruit();
        TlsSession {
            stream,
            notified: false,
        }
    }
}

impl<S: Stream> Session for TlsSession<S> {
    /// The end comes with or without a `close_notify`: truncation is told by the missing close
    /// frame.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What the peer made the session answer, a key update, goes out with the next write.
        match self.stream.read(buffer) {
            Ok(n) => {
                self.stream.pipe_mut().bore_fruit();
                Ok(n)
            }
            Err(error) if is_end(&error) => Ok(0),
            Err(error) => Err(in_words(error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.flush() {
                Ok(()) => {
                    let written = self.stream.write(&bytes[taken..]);
                    taken += written.map_err(no_renegotiation)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.pipe_mut().send_unsent()
    }

    fn has_unsent(&self) -> bool {
        self.stream.pipe().has_unsent()
    }

    fn has_unread(&self) -> bool {
        self.stream.unread() > 0 || self.stream.pipe().has_unread()
    }

    /// Without, OpenSSL 3 calls the end unexpected.
    fn close_notify(&mut self) {
        if !self.notified {
            self.notified = true;
            self.stream.notify();
            let _ = self.flush();
        }
    }
}

impl<S> fmt::Debug for TlsSession<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").finish_non_exhaustive()
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

/// What both libraries' streams can do.
pub(super) trait Stream: Read + Write + Send {
    fn pipe(&self) -> &Pipe;
    fn pipe_mut(&mut self) -> &mut Pipe;
    /// Plaintext that is there without reading from the pipe.
    fn unread(&self) -> usize;
    /// Sends the alert `close_notify`, if it can; does not wait for the peer's.
    fn notify(&mut self);
}

impl Stream for TlsStream<Pipe> {
    fn pipe(&self) -> &Pipe {
        self.get_ref()
    }

    fn pipe_mut(&mut self) -> &mut Pipe {
        self.get_mut()
    }

    fn unread(&self) -> usize {
        self.buffered_read_size().unwrap_or(0)
    }

    fn notify(&mut self) {
        let _ = self.shutdown();
    }
}

impl Stream for SslStream<Pipe> {
    fn pipe(&self) -> &Pipe {
        self.get_ref()
    }

    fn pipe_mut(&mut self) -> &mut Pipe {
        self.get_mut()
    }

    fn unread(&self) -> usize {
        self.ssl().pending()
    }

    fn notify(&mut self) {
        let _ = self.shutdown();
    }
}
