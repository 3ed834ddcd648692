//! `Session`: what may stand between a wire and its socket, TLS for example.

use std::fmt;
use std::io;

/// Plaintext goes in and out without ever blocking. One thread at a time uses it: the `Wire` that
/// owns it holds a lock for the moment of each call.
pub(crate) trait Session: fmt::Debug + Send {
    /// Takes plaintext that has arrived: `WouldBlock` if there is none, 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Takes as much plaintext as the socket takes at once, and one record more; `WouldBlock` if
    /// nothing. What is left of that record goes out by `flush`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Hands over what waits; `WouldBlock` while something is left.
    fn flush(&mut self) -> io::Result<()>;

    /// Whether there is something to `flush`.
    fn has_unsent(&self) -> bool;

    /// Whether a read gives something although the socket may be empty.
    fn has_unread(&self) -> bool;

    /// Tells the peer that nothing more comes, as far as the socket takes it.
    fn close_notify(&mut self);
}
