//! `Inbox`: what a connection receives. Bytes come from the wire, tungstenite makes messages of
//! them, its replies (pongs, the answer to a close frame) go to the outbox.
//!
//! Runs in whichever thread receives, under the inbox's own lock, and never waits: when the wire
//! is dry it says so, and the caller waits without the lock. It gives the lock up after a bounded
//! number of bytes, whatever the peer sends.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use crate::close::{CloseCode, CloseFrame};
use crate::connection::frame::{self, Shown};
use crate::connection::keepalive;
use crate::connection::outbox::{Outbox, lost_by};
use crate::connection::progress::{MESSAGE_TIMEOUT, Progress};
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
/// How often a connection that only sends looks for control frames.
const ATTEND_EVERY: Duration = Duration::from_secs(1);
/// How many messages, beside `max_size` bytes of them, may wait because nobody receives.
const MAX_EARLY: usize = 64;

/// The receiving half of a connection; guarded by a lock of its owner.
#[derive(Debug)]
pub(crate) struct Inbox {
    context: WebSocketContext,
    max_size: usize,
    /// What a receiver that waited has brought, and how much of it tungstenite has taken.
    fresh: Vec<u8>,
    taken: usize,
    /// The receiver found the end of the stream, or that the wire is broken.
    end: Option<io::Result<()>>,
    /// A plain socket that gave less than was asked for is empty: saves the call that would only
    /// answer EAGAIN. A TLS session gives a record at a time.
    dry: bool,
    progress: Progress,
    over: bool,
    messages: u64,
    /// Messages that came while control frames were looked for, and their bytes.
    early: VecDeque<Message>,
    early_bytes: usize,
    /// Since when it has been sent without looking, if more than once: an echo, which looks
    /// between two answers, never asks for the time.
    unlooked: Unlooked,
    /// A ping has been answered; the pong waits in the outbox.
    ponged: bool,
    /// Threads in a receiving call. One of them waits for the wire, the others for their turn.
    pub(crate) receivers: usize,
    pub(crate) waiting: bool,
}

/// How long a connection has only sent.
#[derive(Clone, Copy, Debug)]
enum Unlooked {
    No,
    Once,
    Since(Instant),
}

/// What one look into the inbox found.
#[derive(Debug)]
pub(crate) enum Look {
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
    pub(crate) fn new(role: Role, max_size: usize, rest: Vec<u8>) -> Inbox {
        let mut progress = Progress::new();
        progress.feed(&rest);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(READ_BUFFER)
            .max_message_size(Some(max_size))
            .max_frame_size(Some(max_size));
        Inbox {
            context: WebSocketContext::from_partially_read(rest, role, Some(config)),
            max_size,
            fresh: Vec::new(),
            taken: 0,
            end: None,
            dry: true,
            progress,
            over: false,
            messages: 0,
            early: VecDeque::new(),
            early_bytes: 0,
            unlooked: Unlooked::No,
            ponged: false,
            receivers: 0,
            waiting: false,
        }
    }

    /// A buffer for who waits for bytes, without the lock. The last look has used up what was in
    /// it, or it would have found a message.
    pub(crate) fn lend(&mut self) -> Vec<u8> {
        debug_assert_eq!(self.taken, self.fresh.len());
        self.taken = 0;
        let mut buffer = std::mem::take(&mut self.fresh);
        buffer.clear();
        buffer.reserve(READ_BUFFER);
        buffer
    }

    /// Takes the buffer back, with what has come.
    pub(crate) fn bring(&mut self, buffer: Vec<u8>, wire: &Wire) {
        if buffer.is_empty() {
            self.end = Some(Ok(()));
        }
        self.dry = buffer.len() < READ_BUFFER && wire.is_plain();
        self.put_back(buffer);
    }

    /// Takes the buffer back; nothing has come.
    pub(crate) fn put_back(&mut self, buffer: Vec<u8>) {
        self.fresh = buffer;
        self.taken = 0;
    }

    /// The wire is broken, as who waited has found.
    pub(crate) fn broken(&mut self, error: io::Error) {
        self.end = Some(Err(error));
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Takes the next message, if it is there.
    pub(crate) fn look(&mut self, wire: &Wire, outbox: &Arc<Outbox>) -> Look {
        self.unlooked = Unlooked::No;
        if let Some(message) = self.early.pop_front() {
            self.early_bytes -= message.len();
            return Look::Message(message);
        }
        self.look_behind(wire, outbox)
    }

    /// Takes the next message of those that are not early.
    fn look_behind(&mut self, wire: &Wire, outbox: &Arc<Outbox>) -> Look {
        let found = self.read(wire, outbox);
        if std::mem::take(&mut self.ponged) {
            // Not when the handler gets round to it.
            outbox.flush();
        }
        found
    }

    /// For a connection that only sends: answers pings and sees a close frame, now and then.
    /// Messages that come on the way wait for the next look; when they have become many, nothing
    /// is read behind them.
    pub(crate) fn attend(&mut self, wire: &Wire, outbox: &Arc<Outbox>) {
        if self.receivers > 0 {
            return;
        }
        match self.unlooked {
            Unlooked::No => self.unlooked = Unlooked::Once,
            Unlooked::Once => self.unlooked = Unlooked::Since(Instant::now()),
            Unlooked::Since(since) if since.elapsed() < ATTEND_EVERY => {}
            Unlooked::Since(_) => {
                self.unlooked = Unlooked::Once;
                self.dry = false;
                while self.early.len() < MAX_EARLY && self.early_bytes < self.max_size {
                    let Look::Message(message) = self.look_behind(wire, outbox) else {
                        break;
                    };
                    self.early_bytes += message.len();
                    self.early.push_back(message);
                }
            }
        }
    }

    fn read(&mut self, wire: &Wire, outbox: &Arc<Outbox>) -> Look {
        let mut share = SHARE;
        while !self.over {
            let mut tap = Tap {
                wire,
                outbox,
                fresh: &self.fresh[self.taken..],
                taken: &mut self.taken,
                end: &mut self.end,
                dry: &mut self.dry,
                share: &mut share,
                progress: &mut self.progress,
            };
            match self.context.read(&mut tap) {
                Ok(message) => {
                    if let Some(message) = self.received(message, wire, outbox) {
                        return Look::Message(message);
                    }
                }
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.dry_or_done(share, outbox);
                }
                Err(error) => self.fail(error, outbox),
            }
        }
        Look::Over
    }

    fn dry_or_done(&mut self, share: usize, outbox: &Arc<Outbox>) -> Look {
        if self.progress.bytes() > self.max_size.saturating_add(FRAGMENTS) {
            self.give_up(CloseCode::POLICY, "a message in too many fragments", outbox);
            return Look::Over;
        }
        match share {
            0 => Look::Again,
            _ => Look::Empty(self.progress.until()),
        }
    }

    /// Nothing has come until the time that the last look named.
    pub(crate) fn overdue(&mut self, outbox: &Arc<Outbox>) {
        let reason = format!("a message took longer than {MESSAGE_TIMEOUT:?}");
        self.give_up(CloseCode::POLICY, &reason, outbox);
    }

    /// A data message for the caller, or nothing for a control frame, which is handled here.
    fn received(
        &mut self,
        message: tungstenite::Message,
        wire: &Wire,
        outbox: &Arc<Outbox>,
    ) -> Option<Message> {
        // Copied out of tungstenite's buffer, which a message that lives on would pin whole.
        let message = match message {
            tungstenite::Message::Text(text) => Message::Text(text.as_str().to_owned()),
            tungstenite::Message::Binary(bytes) => Message::Binary(bytes.into()),
            tungstenite::Message::Ping(payload) => {
                debug!(target: keepalive::LOG, "{} < {}", outbox.name(), Shown(frame::PING, &payload));
                // tungstenite answers by itself, unless the connection is closing.
                if !outbox.is_closing() {
                    debug!(target: keepalive::LOG, "{} > {}", outbox.name(), Shown(frame::PONG, &payload));
                }
                self.ponged = true;
                return None;
            }
            tungstenite::Message::Pong(payload) => {
                debug!(target: keepalive::LOG, "{} < {}", outbox.name(), Shown(frame::PONG, &payload));
                outbox.received_pong(&payload);
                return None;
            }
            tungstenite::Message::Close(frame) => {
                outbox.received_close(CloseFrame::from_tungstenite(frame.as_ref()));
                let mut tap = Tap {
                    wire,
                    outbox,
                    fresh: &[],
                    taken: &mut 0,
                    end: &mut None,
                    dry: &mut true,
                    share: &mut 0,
                    progress: &mut self.progress,
                };
                // Hands the answer to the outbox; that the connection is closed we know.
                let _ = self.context.flush(&mut tap);
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
        self.messages += 1;
        Some(message)
    }

    /// Answers what tungstenite refuses: it returns an error and leaves the rest to us.
    fn fail(&mut self, error: tungstenite::Error, outbox: &Arc<Outbox>) {
        use tungstenite::Error as E;
        let (code, reason) = match error {
            E::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | E::ConnectionClosed
            | E::AlreadyClosed => {
                self.over = true;
                return outbox.lost("the peer has gone without a close frame".to_owned());
            }
            E::Io(error) => {
                self.over = true;
                return outbox.lost(lost_by(&error));
            }
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

    fn give_up(&mut self, code: CloseCode, reason: &str, outbox: &Arc<Outbox>) {
        self.over = true;
        outbox.close(CloseFrame::cut(code, reason));
    }
}

/// What tungstenite takes for its stream: reads come from what was brought, then from the wire, as
/// long as the share lasts; writes are whole control frames and go to the outbox.
struct Tap<'a> {
    wire: &'a Wire,
    outbox: &'a Arc<Outbox>,
    fresh: &'a [u8],
    taken: &'a mut usize,
    end: &'a mut Option<io::Result<()>>,
    dry: &'a mut bool,
    share: &'a mut usize,
    progress: &'a mut Progress,
}

impl Read for Tap<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if *self.share == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.fresh.is_empty() {
            let n = buffer.len().min(self.fresh.len());
            let (now, later) = self.fresh.split_at(n);
            buffer[..n].copy_from_slice(now);
            self.fresh = later;
            *self.taken += n;
            *self.share = self.share.saturating_sub(n);
            self.progress.feed(now);
            return Ok(n);
        }
        if let Some(end) = self.end.take() {
            return end.map(|()| 0);
        }
        if *self.dry {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = self.wire.recv(buffer);
        match &result {
            Ok(n) => {
                self.progress.feed(&buffer[..*n]);
                *self.share = self.share.saturating_sub(*n);
                // The end of the stream is not dry: it is found again by the next call.
                *self.dry = *n > 0 && *n < buffer.len() && self.wire.is_plain();
            }
            Err(error) => *self.dry = error.kind() == io::ErrorKind::WouldBlock,
        }
        result
    }
}

impl Write for Tap<'_> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.outbox.reply(frame);
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
