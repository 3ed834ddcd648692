//! `Outbox`: the one door out of a connection.
//!
//! Every byte to a peer, a handler's message, a broadcast, a pong or a close frame, goes through
//! here under one short lock: two threads that write one socket would interleave inside a single
//! `write`. What the socket does not take at once waits in a bounded backlog, which the caretaker
//! drains. Nothing here waits while holding the lock; only `send` waits for a slow peer at all.
//! The outbox also keeps the record of how the connection ended, as it is the one that ends it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use log::{debug, log_enabled};
use tungstenite::protocol::Role;

use crate::caretaker::Caretaker;
use crate::close::{CloseCode, CloseFrame, Closed};
use crate::config::Config;
use crate::connection::backlog::{Backlog, Kind};
use crate::connection::frame::{self, FrameRef, Frames, Shown};
use crate::connection::keepalive::{self, Keepalive};
use crate::connection::tally::Tally;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::message::Message;
use crate::wire::Wire;

/// `write` hands over to the socket when this much has been queued.
const CORK: usize = 16 * 1024;
/// A peer must take this much of a long frame within the write timeout.
const PROGRESS: usize = 64 * 1024;

/// The sending half of a connection. Any thread may use it, and none waits for another's peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) id: u64,
    role: Role,
    config: Config,
    wire: Arc<Wire>,
    caretaker: Arc<Caretaker>,
    /// Set once the connection is over; lets a broadcast pass by without the lock.
    over: AtomicBool,
    state: Lock<State>,
}

/// What the lock guards.
#[derive(Debug)]
struct State {
    backlog: Backlog,
    /// The socket has refused bytes, and has not said since that it has room.
    blocked: bool,
    /// The caretaker waits for that.
    watched: bool,
    /// Since when the peer has taken nothing that counts, and how much it has taken since.
    stuck: Instant,
    taken: usize,
    closed: Closed,
    /// From our close frame on: when the connection is cut.
    cut_at: Deadline,
    /// No more frames, in either direction.
    over: bool,
    keepalive: Keepalive,
    messages: u64,
    /// It was closed or cut because the peer reads too slowly.
    slow: bool,
}

impl Outbox {
    pub(crate) fn new(
        id: u64,
        role: Role,
        config: Config,
        wire: Arc<Wire>,
        caretaker: Arc<Caretaker>,
    ) -> Arc<Outbox> {
        let keepalive = Keepalive::new(&config);
        let pings = keepalive.is_on();
        let outbox = Arc::new(Outbox {
            id,
            role,
            config,
            wire,
            caretaker,
            over: AtomicBool::new(false),
            state: Lock::new(State {
                backlog: Backlog::default(),
                blocked: false,
                watched: false,
                stuck: Instant::now(),
                taken: 0,
                closed: Closed::default(),
                cut_at: Deadline::NEVER,
                over: false,
                keepalive,
                messages: 0,
                slow: false,
            }),
        });
        if pings {
            outbox.caretaker.tend(&outbox);
        }
        outbox
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    // ---- What handlers send -------------------------------------------------------------------

    /// Queues a message; hands over when much is queued already.
    pub(crate) fn write(self: &Arc<Self>, message: &Message) -> Result<()> {
        if self.queue(message)? >= CORK {
            self.send_queued()
        } else {
            Ok(())
        }
    }

    /// Queues a message and hands over what is queued; waits while more than the backlog limit
    /// is left.
    pub(crate) fn send(self: &Arc<Self>, message: &Message) -> Result<()> {
        self.queue(message)?;
        self.send_queued()
    }

    /// Sends a message without ever waiting.
    pub(crate) fn try_send(self: &Arc<Self>, message: &Message) -> Result<()> {
        let mut state = self.state();
        self.check_open(&state)?;
        if state.blocked && state.backlog.len() + message.len() > self.config.backlog {
            return Err(Error::Full);
        }
        self.append(&mut state, message);
        if !state.blocked {
            self.drain(&mut state);
        }
        self.check_open(&state)
    }

    fn queue(&self, message: &Message) -> Result<usize> {
        let mut state = self.state();
        self.check_open(&state)?;
        self.append(&mut state, message);
        Ok(state.backlog.len())
    }

    fn append(&self, state: &mut State, message: &Message) {
        let (opcode, payload) = (frame::opcode(message), message.as_bytes());
        debug!("{} > {}", self.name(), Shown(opcode, payload));
        state
            .backlog
            .append(|out| frame::encode(self.role, opcode, payload, out));
        state.messages += 1;
    }

    /// Hands over what is queued, waiting for the peer while that is more than the limit.
    fn send_queued(self: &Arc<Self>) -> Result<()> {
        loop {
            let mut state = self.state();
            if !state.blocked {
                self.drain(&mut state);
            }
            if state.over {
                return Err(self.closed_error(&state));
            }
            if state.backlog.len() <= self.config.backlog {
                return Ok(());
            }
            let deadline = self.stuck_until(&state).or(state.cut_at);
            drop(state);
            let writable = self.wire.wait_writable(deadline).unwrap_or(true);
            let mut state = self.state();
            if writable {
                state.blocked = false;
            } else {
                self.check_deadlines(&mut state, Instant::now());
            }
        }
    }

    /// Hands over what `write` has queued, as far as the socket takes it; never waits.
    pub(crate) fn flush(self: &Arc<Self>) {
        let mut state = self.state();
        if !state.blocked && !state.backlog.is_empty() {
            self.drain(&mut state);
        }
    }

    /// The socket has said that it has room: sends on.
    pub(crate) fn flush_blocked(self: &Arc<Self>) {
        let mut state = self.state();
        state.blocked = false;
        self.drain(&mut state);
    }

    // ---- What the hub delivers ----------------------------------------------------------------

    /// Gives the peer all frames from number `first` on: in one system call if it keeps up; if
    /// it does not, the newest of each state and all of a stream. Never waits.
    pub(crate) fn deliver(self: &Arc<Self>, frames: &Frames, first: usize) {
        if self.over.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        if state.over || state.closed.sent.is_some() {
            return;
        }
        if log_enabled!(log::Level::Debug) {
            for frame in frames.iter_from(first) {
                debug!("{} > {}", self.name(), Shown(frame.opcode, frame.payload));
            }
        }
        state.messages += (frames.len() - first) as u64;
        if !state.blocked && !state.backlog.is_empty() {
            // A handler's messages that are not flushed yet come first.
            self.drain(&mut state);
            if state.over {
                return;
            }
        }
        if state.blocked || self.role == Role::Client {
            self.keep(&mut state, frames.iter_from(first));
        } else {
            self.deliver_now(&mut state, frames, first);
        }
    }

    fn deliver_now(self: &Arc<Self>, state: &mut State, frames: &Frames, first: usize) {
        let bytes = frames.bytes_from(first);
        let mut sent = match self.wire.send(bytes) {
            Ok(n) if n == bytes.len() && !self.wire.has_unsent() => return,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return self.lose(state, lost_by(&error)),
        };
        // The socket is full. Its frames have gone out, perhaps with the start of one more; the
        // rest waits.
        self.block(state);
        let mut rest = first;
        for frame in frames.iter_from(first) {
            if sent < frame.bytes.len() {
                break;
            }
            sent -= frame.bytes.len();
            rest += 1;
        }
        if sent > 0 {
            if let Some(started) = frames.iter_from(rest).next() {
                state.backlog.append_started(started.bytes, sent);
            }
            rest += 1;
        }
        self.keep(state, frames.iter_from(rest));
    }

    /// Queues frames behind what waits already, within the limit.
    fn keep<'a>(self: &Arc<Self>, state: &mut State, frames: impl Iterator<Item = FrameRef<'a>>) {
        for frame in frames {
            let mut masked = Vec::new();
            let bytes = match self.role {
                Role::Server => frame.bytes,
                Role::Client => {
                    frame::encode(self.role, frame.opcode, frame.payload, &mut masked);
                    &masked
                }
            };
            match frame.topic {
                Some(topic) => state.backlog.replace(Kind::State(topic.clone()), bytes),
                None => state.backlog.append(|out| out.extend_from_slice(bytes)),
            }
        }
        if !state.blocked {
            self.drain(state);
        }
        if state.backlog.len() > self.config.backlog {
            self.close_slow(state);
        }
    }

    /// A stream's message may not be left out, so the connection ends: what has not been started
    /// makes room for the close frame.
    fn close_slow(self: &Arc<Self>, state: &mut State) {
        if state.over || state.closed.sent.is_some() {
            return;
        }
        state.slow = true;
        state.backlog.drop_unstarted();
        let limit = self.config.backlog;
        let reason = format!("more than {limit} bytes wait to be read");
        self.queue_close(state, CloseFrame::cut(CloseCode::TRY_AGAIN_LATER, &reason));
    }

    // ---- Pings and pongs ----------------------------------------------------------------------

    /// Sends a ping now; its answer sets the latency.
    pub(crate) fn ping(self: &Arc<Self>) -> Result<()> {
        let mut state = self.state();
        self.check_open(&state)?;
        self.send_ping(&mut state, Instant::now());
        Ok(())
    }

    fn send_ping(self: &Arc<Self>, state: &mut State, now: Instant) {
        let payload = state.keepalive.ping(now, self.wire.received());
        let mut bytes = Vec::with_capacity(14);
        frame::encode(self.role, frame::PING, &payload, &mut bytes);
        debug!(target: keepalive::LOG, "{} > {}", self.name(), Shown(frame::PING, &payload));
        state.backlog.replace(Kind::Ping, &bytes);
        if !state.blocked {
            self.drain(state);
        }
    }

    /// The peer answered a ping.
    pub(crate) fn received_pong(&self, payload: &[u8]) {
        self.state().keepalive.pong(payload);
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        self.state().keepalive.latency()
    }

    /// Takes a pong or the answer to a close frame that tungstenite has made.
    pub(crate) fn reply(self: &Arc<Self>, bytes: &[u8]) {
        const OPCODE: u8 = 0x0f;
        const CLOSE: u8 = 0x08;
        let mut state = self.state();
        if state.over || state.closed.sent.is_some() {
            // RFC 6455, section 5.5.1: nothing is sent after a close frame, not another one.
            return;
        }
        if bytes.first().is_some_and(|byte| byte & OPCODE == CLOSE) {
            let answer = state.closed.received.clone().map(|mut frame| {
                if frame.code != CloseCode::NO_STATUS && !frame.code.may_be_sent() {
                    frame.code = CloseCode::PROTOCOL_ERROR;
                }
                frame
            });
            if let Some(frame) = &answer {
                debug!("{} > Close {frame}", self.name());
            }
            state.backlog.append(|out| out.extend_from_slice(bytes));
            self.closing(&mut state, answer);
        } else {
            // The pong leaves with the next flush. Only of a peer that reads slowly is just the
            // newest ping answered (RFC 6455, section 5.5.3): its pongs stay bounded.
            if state.blocked {
                state.backlog.replace(Kind::Pong, bytes);
            } else {
                state.backlog.append(|out| out.extend_from_slice(bytes));
                if state.backlog.len() >= CORK {
                    self.drain(&mut state);
                }
            }
        }
    }

    // ---- The end ------------------------------------------------------------------------------

    /// Queues a close frame behind what waits; false if the connection is closing already. From
    /// now on the peer has the close timeout to answer, then the caretaker cuts the connection.
    pub(crate) fn close(self: &Arc<Self>, frame: CloseFrame) -> bool {
        let mut state = self.state();
        if state.over || state.closed.sent.is_some() {
            return false;
        }
        self.queue_close(&mut state, frame);
        true
    }

    fn queue_close(self: &Arc<Self>, state: &mut State, frame: CloseFrame) {
        debug!("{} > Close {frame}", self.name());
        state
            .backlog
            .append(|out| frame::encode_close(self.role, &frame, out));
        self.closing(state, Some(frame));
        if !state.blocked {
            self.drain(state);
        }
    }

    fn closing(self: &Arc<Self>, state: &mut State, sent: Option<CloseFrame>) {
        state.closed.sent = sent.or(state.closed.sent.take());
        state.cut_at = Deadline::after(self.config.close_timeout);
        self.caretaker.tend(self);
    }

    /// The peer's close frame has come.
    pub(crate) fn received_close(&self, frame: CloseFrame) {
        debug!("{} < Close {frame}", self.name());
        let mut state = self.state();
        if state.closed.received.is_none() {
            state.closed.received_first = state.closed.sent.is_none();
            state.closed.received = Some(frame);
        }
    }

    /// The connection is lost, for this reason, unless it had ended before.
    pub(crate) fn lost(&self, why: String) {
        let mut state = self.state();
        self.lose(&mut state, why);
    }

    fn lose(&self, state: &mut State, why: String) {
        if !state.over {
            let complete = state.closed.received.is_some() && state.closed.sent.is_some();
            if state.closed.lost.is_none() && !complete {
                state.closed.lost = Some(why);
            }
            self.finish(state);
            self.wire.shutdown_both();
        }
    }

    /// Nothing more will be sent or received.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        self.finish(&mut state);
    }

    /// Gives the peer up, for this reason: what it has not taken is thrown away.
    pub(crate) fn cut(&self, why: &str) {
        let mut state = self.state();
        self.cut_off(&mut state, why.to_owned());
    }

    fn cut_off(&self, state: &mut State, why: String) {
        self.lose(state, why);
        self.wire.abort();
    }

    fn finish(&self, state: &mut State) {
        state.over = true;
        self.over.store(true, Ordering::Relaxed);
        state.backlog.clear();
    }

    /// When the connection is cut; never, unless it is closing.
    pub(crate) fn cut_at(&self) -> Deadline {
        self.state().cut_at
    }

    /// Whether something waits that can still be sent.
    pub(crate) fn has_backlog(&self) -> bool {
        let state = self.state();
        !state.over && (!state.backlog.is_empty() || self.wire.has_unsent())
    }

    /// Whether a close frame was sent or received, or the connection was lost.
    pub(crate) fn is_closing(&self) -> bool {
        let state = self.state();
        state.over || state.closed.sent.is_some() || state.closed.received.is_some()
    }

    pub(crate) fn closed(&self) -> Closed {
        self.state().closed.clone()
    }

    pub(crate) fn messages(&self) -> u64 {
        self.state().messages
    }

    /// What went out, and what waits.
    pub(crate) fn tally(&self) -> Tally {
        let state = self.state();
        Tally {
            messages_out: state.messages,
            slow_closed: state.slow.into(),
            backlog_bytes: state.backlog.len() as u64,
            ..Tally::default()
        }
    }

    fn check_open(&self, state: &State) -> Result<()> {
        if state.over || state.closed.sent.is_some() {
            return Err(self.closed_error(state));
        }
        Ok(())
    }

    fn closed_error(&self, state: &State) -> Error {
        Error::Closed(Box::new(state.closed.clone()))
    }

    // ---- What the caretaker calls -------------------------------------------------------------

    /// The socket has room again: sends on. Returns whether it is full still.
    pub(crate) fn drain_more(self: &Arc<Self>) -> bool {
        let mut state = self.state();
        state.blocked = false;
        self.drain(&mut state);
        state.watched = state.blocked;
        state.watched
    }

    /// Sends a ping if one is due, ends what is overdue, and says when to look again.
    pub(crate) fn tend(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        self.check_deadlines(&mut state, now);
        if state.over {
            return None;
        }
        let mut next = state.cut_at;
        if state.closed.sent.is_none() {
            // A ping that waits behind a backlog measures nothing: then the write timeout tells
            // whether the peer is alive.
            if state.keepalive.is_due(now) && !state.blocked {
                self.send_ping(&mut state, now);
            }
            next = next.or(state.keepalive.next());
        }
        if state.watched {
            next = next.or(self.stuck_until(&state));
        }
        if state.over { None } else { next.instant() }
    }

    /// Ends the connection if the peer has let a deadline pass.
    fn check_deadlines(self: &Arc<Self>, state: &mut State, now: Instant) {
        let passed = |deadline: Deadline| deadline.instant().is_some_and(|at| at <= now);
        if state.over {
            return;
        }
        if passed(state.cut_at) {
            let limit = self.config.close_timeout;
            self.cut_off(state, format!("closing took longer than {limit:?}"));
        } else if state.watched && passed(self.stuck_until(state)) {
            state.slow = true;
            let limit = self.config.write_timeout.unwrap_or_default();
            self.cut_off(state, format!("nothing was read for {limit:?}"));
        } else if passed(state.keepalive.silent_until()) {
            let unread = || self.wire.wait_readable(Deadline::after(Duration::ZERO));
            let silent = state.keepalive.is_silent(self.wire.received());
            if !silent || state.blocked || matches!(unread(), Ok(true)) {
                // Any byte counts as life, also one that our side has not read yet.
                state.keepalive.heard();
            } else if state.closed.sent.is_none() {
                let limit = self.config.ping_timeout.unwrap_or_default();
                let frame = CloseFrame::cut(CloseCode::INTERNAL_ERROR, "keepalive ping timeout");
                self.queue_close(state, frame);
                self.lose(state, format!("no answer to a ping for {limit:?}"));
            }
        }
    }

    fn stuck_until(&self, state: &State) -> Deadline {
        Deadline::at(
            self.config
                .write_timeout
                .and_then(|timeout| state.stuck.checked_add(timeout)),
        )
    }

    // ---- To the socket ------------------------------------------------------------------------

    /// Sends what waits until the socket is full; then the caretaker sends the rest.
    fn drain(self: &Arc<Self>, state: &mut State) {
        while !state.over && !state.backlog.is_empty() {
            let front = state.backlog.front();
            match self.wire.send(front) {
                Ok(n) => {
                    // A whole entry, or much of a long one, counts as progress of the peer.
                    state.taken += n;
                    if n == front.len() || state.taken >= PROGRESS {
                        state.stuck = Instant::now();
                        state.taken = 0;
                    }
                    state.backlog.advance(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.block(state);
                }
                Err(error) => return self.lose(state, lost_by(&error)),
            }
        }
        // Of what TLS has taken, the end may still wait for room.
        match self.wire.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.block(state),
            Err(error) if !state.over => self.lose(state, lost_by(&error)),
            _ => {}
        }
    }

    /// The socket is full: asks the caretaker to send on when there is room.
    fn block(self: &Arc<Self>, state: &mut State) {
        state.blocked = true;
        if !state.watched {
            state.watched = true;
            state.stuck = Instant::now();
            state.taken = 0;
            self.caretaker.drain(self);
        }
    }

    pub(crate) fn name(&self) -> Name {
        Name(self.role, self.id)
    }
}

/// How a connection is called in logs, and its thread on a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name(Role, u64);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.0 == Role::Server {
            "conn"
        } else {
            "client"
        };
        write!(f, "ws-{kind}-{}", self.1)
    }
}

/// In words: what an error of the socket says about the peer.
pub(crate) fn lost_by(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "reset by the peer".to_owned(),
        io::ErrorKind::BrokenPipe => "the peer has gone".to_owned(),
        io::ErrorKind::TimedOut => "the peer does not answer".to_owned(),
        _ => error.to_string(),
    }
}
