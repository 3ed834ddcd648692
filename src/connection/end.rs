//! The last minutes of a [`Connection`]: waiting for the peer's goodbye, hanging up, the line in
//! the log. Runs in the thread that closes, and that one waits.

use std::time::Duration;

use crate::connection::framing::Framing;
use log::info;

use crate::close::{CloseCode, CloseFrame};
use crate::connection::{Connection, Inner};
use crate::deadline::Deadline;
use crate::escaped::Escaped;

/// After the last word, what a peer still sends is read and thrown away up to these bounds, so
/// that the last word is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

impl Inner {
    /// Both sides have said goodbye: the server closes first, so that the client's port is free at
    /// once (RFC 6455, section 7.1.1). That also wakes every other thread that waits for bytes.
    pub(super) fn hang_up(&self) {
        self.outbox.flush();
        if self.framing == Framing::Server && self.outbox.is_done() {
            self.outbox.wire.shutdown_both();
        }
    }

    /// Closes, waits for the answer, and leaves nothing behind.
    pub(super) fn finish(&self, frame: CloseFrame) {
        self.outbox.close(frame);
        let (wire, deadline) = (&self.outbox.wire, self.outbox.state().ending.cut_at);
        // Until the peer has answered or is given up; the caretaker cuts at the same deadline,
        // which wakes this thread and any other that receives.
        let heard = loop {
            match self.receive(deadline) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.outbox.lost("not answered in time".to_owned());
                    break false;
                }
                Err(_) => break self.outbox.state().ending.closed.received.is_some(),
            }
        };
        while self.outbox.has_backlog() && matches!(wire.wait_writable(deadline), Ok(true)) {
            self.outbox.flush_blocked();
        }
        match self.framing {
            Framing::Server if heard => self.hang_up(),
            Framing::Server | Framing::Events => {
                wire.shutdown_write();
                wire.discard(LINGER_BYTES, deadline.or(Deadline::after(LINGER)));
            }
            // Waits for the server to close.
            Framing::Client => wire.discard(LINGER_BYTES, deadline),
        }
        self.outbox.state().finish();
        wire.shutdown_both();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A server's connections are closed by the thread that serves them.
        if self.framing == Framing::Client {
            self.finish(CloseFrame::cut(CloseCode::NORMAL, ""));
        }
    }
}

impl Connection {
    /// Starts to close the connection as [`close`](Connection::close) does, and returns at once.
    pub(crate) fn start_closing(&self, frame: CloseFrame) {
        self.inner.outbox.close(frame);
    }

    /// Closes, waits for the answer, and leaves nothing behind. For the owner of the thread.
    pub(crate) fn finish(&self, frame: CloseFrame) {
        self.inner.finish(frame);
    }

    pub(crate) fn is_event_stream(&self) -> bool {
        self.inner.framing == Framing::Events
    }

    /// Gives the peer up at once, for this reason.
    pub(crate) fn cut(&self, why: &str) {
        self.inner.outbox.cut(why.to_owned());
    }

    /// Logs the whole connection at its end: for people as one line, for machines as fields of it.
    pub(crate) fn log_end(&self) {
        let inner = &*self.inner;
        let (id, caller, path) = (self.id(), inner.caller(), Escaped(self.path()));
        let (closed, duration) = (
            inner.outbox.state().ending.closed.clone(),
            inner.receiver.age(),
        );
        let tally = self.tally();
        let (messages_in, messages_out) = (tally.messages_in, tally.messages_out);
        let (bytes_in, bytes_out) = (inner.outbox.wire.received(), inner.outbox.wire.sent());
        let code = closed.code().0;
        info!(
            // Of the connection, in whichever file of it this stands.
            target: "plainws::connection",
            connection = id,
            peer:% = caller,
            path:% = path,
            code,
            reason:% = closed,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            messages_in,
            messages_out,
            bytes_in,
            bytes_out;
            "ws-conn-{id} {caller} {path} closed {code}: {closed}; {duration:.1?}, messages \
             {messages_in} in {messages_out} out, bytes {bytes_in} in {bytes_out} out",
        );
    }
}
