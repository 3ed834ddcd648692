//! `Inbox`: what a connection receives. Bytes come from the wire, tungstenite makes messages of
//! them, its replies (pongs, the answer to a close frame) go to the outbox.
//!
//! Runs in whichever thread receives, under the lock of `receiver.rs`, and never waits: when the
//! wire is dry it says so, and the caller waits without the lock. It gives the lock up after a
//! bounded number of bytes, whatever the peer sends.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use log::debug;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::{WebSocketConfig, WebSocketContext};

use crate::close::{CloseCode, CloseFrame};
use crate::connection::ending::lost_by;
use crate::connection::frame::{self, Shown};
use crate::connection::framing::Framing;
use crate::connection::keepalive;
use crate::connection::outbox::Outbox;
use crate::deadline::Deadline;
use crate::message::Message;
use crate::wire::Wire;

/// tungstenite's default of 128 KiB would be resident for every client from its first byte on.
const READ_BUFFER: usize = 4 * 1024;
/// What one look may read before it gives the lock up.
const SHARE: usize = 64 * 1024;
/// Headers of fragments that may come on top of the largest message. tungstenite has no limit of
/// fragments: without this one, empty ones could come for ever.
const FRAGMENTS: usize = 16 * 1024;
/// A peer that takes longer from the first to the last byte of a message holds it open on purpose.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many messages, beside `max_size` bytes of them, may wait because nobody receives.
const MAX_EARLY: usize = 64;

/// What has come and is not received yet; guarded by a lock of its owner.
#[derive(Debug)]
pub(super) struct Inbox {
    context: WebSocketContext,
    framing: Framing,
    max_size: usize,
    source: Source,
    /// How many of the bytes that tungstenite holds came in one read with the end of a message.
    behind: usize,
    /// By when the message under way must be whole.
    whole_until: Deadline,
    over: bool,
    messages: u64,
    /// Messages that came while control frames were looked for, and their bytes.
    early: VecDeque<Message>,
    early_bytes: usize,
    /// A ping has been answered; the pong waits in the outbox.
    ponged: bool,
    /// Threads in a receiving call. One of them waits for the wire, the others for their turn.
    pub(super) receivers: usize,
    pub(super) waiting: bool,
}

/// Where tungstenite's bytes come from: first what a receiver has waited for, then the wire, as
/// long as the share of this look lasts.
#[derive(Debug, Default)]
struct Source {
    arrived: Vec<u8>,
    taken: usize,
    /// The receiver found the end of the stream, or that the wire is broken.
    end: Option<io::Result<()>>,
    /// A plain socket that gave less than was asked for is empty: saves the call that would only
    /// answer EAGAIN. A TLS session gives a record at a time.
    dry: bool,
    share: usize,
    /// Bytes taken that have not been seen in a message or a control frame: what tungstenite
    /// holds, and headers of fragments, which it does not tell of.
    held: usize,
}

/// What one look into the inbox found.
#[derive(Debug)]
pub(super) enum Look {
    Message(Message),
    /// Nothing: wait for bytes, but not longer than a started message may take.
    Empty(Deadline),
    /// Its share of bytes is used up; there may be more.
    Again,
    /// The connection is closed or lost, the outbox knows how.
    Over,
}

impl Inbox {
    /// `rest` is what came behind the opening handshake.
    pub(super) fn new(framing: Framing, max_size: usize, rest: Vec<u8>) -> Inbox {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(READ_BUFFER)
            .max_message_size(Some(max_size))
            .max_frame_size(Some(max_size));
        let source = Source {
            dry: true,
            held: rest.len(),
            ..Source::default()
        };
        Inbox {
            context: WebSocketContext::from_partially_read(rest, framing.role(), Some(config)),
            framing,
            max_size,
            source,
            behind: 0,
            whole_until: Deadline::NEVER,
            over: false,
            messages: 0,
            early: VecDeque::new(),
            early_bytes: 0,
            ponged: false,
            receivers: 0,
            waiting: false,
        }
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// A buffer for who waits for bytes, without the lock. The last look has used up what was in
    /// it, or it would have found a message.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        debug_assert_eq!(self.source.taken, self.source.arrived.len());
        self.source.taken = 0;
        let mut buffer = std::mem::take(&mut self.source.arrived);
        buffer.clear();
        buffer.reserve(READ_BUFFER);
        buffer
    }

    /// Takes the buffer back, with what has arrived, and how the waiting ended.
    pub(super) fn arrived(&mut self, buffer: Vec<u8>, waited: io::Result<bool>, wire: &Wire) {
        match waited {
            Ok(false) => {}
            Ok(true) if buffer.is_empty() => self.source.end = Some(Ok(())),
            Ok(true) => self.source.dry = buffer.len() < READ_BUFFER && wire.is_plain(),
            Err(error) => self.source.end = Some(Err(error)),
        }
        self.source.arrived = buffer;
    }

    /// Takes the next message, if it is there.
    pub(super) fn look(&mut self, outbox: &Outbox) -> Look {
        if let Some(message) = self.early.pop_front() {
            self.early_bytes -= message.len();
            return Look::Message(message);
        }
        self.look_behind(outbox)
    }

    /// Takes the next message of those that are not early.
    fn look_behind(&mut self, outbox: &Outbox) -> Look {
        let found = self.read(outbox);
        if std::mem::take(&mut self.ponged) {
            // Not when the handler gets round to it.
            outbox.flush();
        }
        found
    }

    /// For a connection that only sends. Messages that come on the way wait for the next look;
    /// when they have become many, nothing is read behind them.
    pub(super) fn read_control_frames(&mut self, outbox: &Outbox) {
        self.source.dry = false;
        while self.early.len() < MAX_EARLY && self.early_bytes < self.max_size {
            let Look::Message(message) = self.look_behind(outbox) else {
                break;
            };
            self.early_bytes += message.len();
            self.early.push_back(message);
        }
    }

    fn read(&mut self, outbox: &Outbox) -> Look {
        if self.framing == Framing::Events {
            return self.read_nothing(outbox);
        }
        if self.source.held == 0 && self.source.is_empty() && !self.over {
            // tungstenite would only say so, too.
            return Look::Empty(Deadline::NEVER);
        }
        self.source.share = SHARE;
        while !self.over {
            match self.context.read(&mut Stream(&mut self.source, outbox)) {
                Ok(message) => {
                    if let Some(message) = self.received(message, outbox) {
                        return Look::Message(message);
                    }
                }
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.unfinished(outbox);
                }
                Err(error) => self.fail(error, outbox),
            }
        }
        Look::Over
    }

    /// Throws away what the client of an event stream says; its end is the end.
    fn read_nothing(&mut self, outbox: &Outbox) -> Look {
        self.source.taken = self.source.arrived.len();
        self.source.held = 0;
        match self.source.end.take() {
            Some(Err(error)) => outbox.lost(lost_by(&error)),
            Some(Ok(())) => outbox.lost("the client has gone".to_owned()),
            None => {}
        }
        let state = outbox.state();
        match state.ending.over || state.ending.is_complete() {
            true => Look::Over,
            false => Look::Empty(Deadline::NEVER),
        }
    }

    /// tungstenite has made all it can of what has come.
    ///
    /// It does not tell whether a message is under way. But bytes that are neither of a control
    /// frame nor of a whole message are of one that is not whole. Only what came in one read with
    /// the end of a message is not counted: it may be headers of that message's fragments, and is
    /// a buffer's worth, that every client has anyway.
    fn unfinished(&mut self, outbox: &Outbox) -> Look {
        let unfinished = self.source.held - self.behind;
        if unfinished > self.max_size.saturating_add(FRAGMENTS) {
            self.give_up(CloseCode::POLICY, "a message in too many fragments", outbox);
            return Look::Over;
        }
        if unfinished == 0 {
            self.whole_until = Deadline::NEVER;
        }
        if self.source.share == 0 {
            return Look::Again;
        }
        if unfinished > 0 && self.whole_until == Deadline::NEVER {
            self.whole_until = Deadline::after(MESSAGE_TIMEOUT);
        }
        Look::Empty(self.whole_until)
    }

    /// Nothing has come until the time that the last look named.
    pub(super) fn overdue(&mut self, outbox: &Outbox) {
        let reason = format!("a message took longer than {MESSAGE_TIMEOUT:?}");
        self.give_up(CloseCode::POLICY, &reason, outbox);
    }

    /// A data message for the caller, or nothing for a control frame, which is handled here.
    fn received(&mut self, message: tungstenite::Message, outbox: &Outbox) -> Option<Message> {
        let length = frame::received_len(self.framing, message.len());
        self.source.held = self.source.held.saturating_sub(length);
        self.behind = self.behind.min(self.source.held);
        // Copied out of tungstenite's buffer, which a message that lives on would pin whole.
        let message = match message {
            tungstenite::Message::Text(text) => Message::Text(text.as_str().to_owned()),
            tungstenite::Message::Binary(bytes) => Message::Binary(bytes.into()),
            tungstenite::Message::Ping(payload) => {
                debug!(target: keepalive::LOG, "{} < {}", outbox.name(), Shown(frame::PING, &payload));
                // tungstenite answers with the next read, unless the connection is closing.
                if !outbox.state().ending.has_begun() {
                    debug!(target: keepalive::LOG, "{} > {}", outbox.name(), Shown(frame::PONG, &payload));
                }
                self.ponged = true;
                return None;
            }
            tungstenite::Message::Pong(payload) => {
                debug!(target: keepalive::LOG, "{} < {}", outbox.name(), Shown(frame::PONG, &payload));
                outbox.state().keepalive.pong(&payload);
                return None;
            }
            tungstenite::Message::Close(frame) => {
                outbox.received_close(CloseFrame::from_tungstenite(frame.as_ref()));
                // Hands the answer to the outbox; that the connection is closed we know.
                let _ = self.context.flush(&mut Stream(&mut self.source, outbox));
                self.over = true;
                return None;
            }
            tungstenite::Message::Frame(_) => return None,
        };
        debug!(
            "{} < {}",
            outbox.name(),
            Shown(frame::opcode(&message), message.as_bytes())
        );
        self.behind = self.source.held;
        self.whole_until = Deadline::NEVER;
        self.messages += 1;
        Some(message)
    }

    /// Answers what tungstenite refuses: it returns an error and leaves the rest to us.
    fn fail(&mut self, error: tungstenite::Error, outbox: &Outbox) {
        use tungstenite::Error as E;
        let (code, reason) = match error {
            E::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | E::ConnectionClosed
            | E::AlreadyClosed => {
                return self.lost("the peer has gone without a close frame".to_owned(), outbox);
            }
            E::Io(error) => return self.lost(lost_by(&error), outbox),
            E::Capacity(CapacityError::MessageTooLong { size, max_size }) => (
                CloseCode::TOO_BIG,
                format!("message of {size} bytes exceeds the limit of {max_size} bytes"),
            ),
            E::Utf8(_) => (
                CloseCode::INVALID_DATA,
                "text is not valid UTF-8".to_owned(),
            ),
            E::Protocol(error) => (CloseCode::PROTOCOL_ERROR, error.to_string()),
            error => (CloseCode::PROTOCOL_ERROR, error.to_string()),
        };
        self.give_up(code, &reason, outbox);
    }

    fn lost(&mut self, why: String, outbox: &Outbox) {
        self.over = true;
        outbox.lost(why);
    }

    fn give_up(&mut self, code: CloseCode, reason: &str, outbox: &Outbox) {
        self.over = true;
        outbox.close(CloseFrame::cut(code, reason));
    }
}

impl Source {
    /// Whether there is nothing to take.
    fn is_empty(&self) -> bool {
        self.dry && self.end.is_none() && self.taken == self.arrived.len()
    }

    fn take(&mut self, buffer: &mut [u8], wire: &Wire) -> io::Result<usize> {
        let arrived = &self.arrived[self.taken..];
        let n = if self.share == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        } else if !arrived.is_empty() {
            let n = buffer.len().min(arrived.len());
            buffer[..n].copy_from_slice(&arrived[..n]);
            self.taken += n;
            n
        } else if let Some(end) = self.end.take() {
            return end.map(|()| 0);
        } else if self.dry {
            return Err(io::ErrorKind::WouldBlock.into());
        } else {
            let result = wire.recv(buffer);
            self.dry = match &result {
                // The end of the stream is not dry: it is found again by the next call.
                Ok(n) => *n > 0 && *n < buffer.len() && wire.is_plain(),
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            result?
        };
        self.share = self.share.saturating_sub(n);
        self.held += n;
        Ok(n)
    }
}

/// What tungstenite takes for its stream; its writes are whole control frames.
struct Stream<'a>(&'a mut Source, &'a Outbox);

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.take(buffer, &self.1.wire)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        match frame::is_close(frame) {
            true => self.1.answer_close(frame),
            false => self.1.pong(frame),
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
