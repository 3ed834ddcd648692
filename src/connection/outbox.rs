//! `Outbox`: the one door out of a connection.
//!
//! Every byte to a peer, a handler's message, a broadcast, a pong or a close frame, goes through
//! here under one short lock: two threads that write one socket would interleave inside a single
//! `write`. What the socket does not take at once waits in a bounded backlog, which the caretaker
//! drains. Nothing here waits while holding the lock; only `send` waits for a slow peer at all.
//! What an end and a deadline do to it stands in `closing.rs` and `upkeep.rs`.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Instant;

use crate::connection::framing::Framing;
use log::{debug, log_enabled};

use crate::caretaker::Caretaker;
use crate::config::Config;
use crate::connection::backlog::{self, Backlog};
use crate::connection::ending::Ending;
use crate::connection::frame::{self, Shown};
use crate::connection::frames::{FrameRef, Frames};
use crate::connection::keepalive::Keepalive;
use crate::connection::name::Name;
use crate::connection::tally::Tally;
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
    pub(super) framing: Framing,
    pub(super) config: Config,
    pub(super) wire: Arc<Wire>,
    pub(super) caretaker: Arc<Caretaker>,
    /// What the caretaker is given.
    pub(super) me: Weak<Outbox>,
    /// Something is queued that nobody has tried to send; lets `flush` pass by without the lock.
    queued: AtomicBool,
    state: Lock<State>,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) backlog: Backlog,
    /// The socket has refused bytes, and has not said since that it has room.
    pub(super) blocked: bool,
    /// The caretaker waits for that.
    pub(super) watched: bool,
    /// While it is watched: since when the peer has taken nothing that counts, and how much it has
    /// taken since.
    pub(super) stuck: Instant,
    taken: usize,
    pub(super) ending: Ending,
    pub(super) keepalive: Keepalive,
    messages: u64,
    /// It was closed or cut because the peer reads too slowly.
    pub(super) slow: bool,
}

impl State {
    /// Nothing more will be sent or received.
    pub(super) fn finish(&mut self) {
        self.ending.over = true;
        self.backlog.clear();
    }
}

impl Outbox {
    pub(super) fn new(
        id: u64,
        framing: Framing,
        mut config: Config,
        wire: Arc<Wire>,
        caretaker: Arc<Caretaker>,
    ) -> Arc<Outbox> {
        if framing == Framing::Events {
            // Nobody answers a comment: that it is not taken is what tells.
            config.ping_timeout = None;
        }
        let keepalive = Keepalive::new(&config);
        let pings = keepalive.is_on();
        let outbox = Arc::new_cyclic(|me| Outbox {
            id,
            framing,
            config,
            wire,
            caretaker,
            me: Weak::clone(me),
            queued: AtomicBool::new(false),
            state: Lock::new(State {
                backlog: Backlog::default(),
                blocked: false,
                watched: false,
                stuck: Instant::now(),
                taken: 0,
                ending: Ending::default(),
                keepalive,
                messages: 0,
                slow: false,
            }),
        });
        if pings {
            outbox.caretaker.tend(outbox.me.clone());
        }
        outbox
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn name(&self) -> Name {
        Name(self.framing, self.id)
    }

    /// What went out, and what waits.
    pub(super) fn tally(&self) -> Tally {
        let state = self.state();
        Tally {
            messages_out: state.messages,
            slow_closed: state.slow.into(),
            backlog_bytes: state.backlog.len() as u64,
            ..Tally::default()
        }
    }

    /// Whether something waits that can still be sent.
    pub(super) fn has_backlog(&self) -> bool {
        let state = self.state();
        !state.ending.over && (!state.backlog.is_empty() || self.wire.has_unsent())
    }

    // ---- What handlers send -------------------------------------------------------------------

    /// Queues a message; hands over when much is queued already.
    pub(super) fn write(&self, message: &Message) -> Result<()> {
        let state = self.queue(message)?;
        if state.backlog.len() >= CORK {
            return self.hand_over(state);
        }
        self.queued.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Queues a message and hands over what is queued; waits while more than the backlog limit
    /// is left.
    pub(super) fn send(&self, message: &Message) -> Result<()> {
        let state = self.queue(message)?;
        self.hand_over(state)
    }

    /// Sends a message without ever waiting.
    pub(super) fn try_send(&self, message: &Message) -> Result<()> {
        let mut state = self.state();
        state.ending.check_open()?;
        if state.blocked && state.backlog.size() + message.len() > self.config.backlog {
            return Err(Error::Full);
        }
        self.append(&mut state, message);
        self.drain_unless_blocked(&mut state);
        state.ending.check_open()
    }

    fn queue(&self, message: &Message) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.ending.check_open()?;
        self.append(&mut state, message);
        Ok(state)
    }

    fn append(&self, state: &mut State, message: &Message) {
        let (opcode, payload) = (frame::opcode(message), message.as_bytes());
        debug!("{} > {}", self.name(), Shown(opcode, payload));
        state
            .backlog
            .append(|out| frame::encode(self.framing, opcode, payload, out));
        state.messages += 1;
    }

    /// Hands over what is queued, waiting for the peer while that is more than the limit.
    fn hand_over<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<()> {
        loop {
            self.drain_unless_blocked(&mut state);
            if state.ending.over {
                return Err(state.ending.error());
            }
            if state.backlog.size() <= self.config.backlog {
                return Ok(());
            }
            let deadline = self.stuck_until(&state).or(state.ending.cut_at);
            drop(state);
            let writable = self.wire.wait_writable(deadline).unwrap_or(true);
            state = self.state();
            if writable {
                state.blocked = false;
            } else {
                self.check_deadlines(&mut state, Instant::now());
            }
        }
    }

    /// Hands over what `write` has queued, as far as the socket takes it; never waits.
    pub(super) fn flush(&self) {
        // What another thread queues at this moment is for that one's flush, or the next.
        if self.queued.load(Ordering::Relaxed) {
            self.drain_unless_blocked(&mut self.state());
        }
    }

    /// The socket has said that it has room: sends on.
    pub(super) fn flush_blocked(&self) {
        let mut state = self.state();
        state.blocked = false;
        self.drain(&mut state);
    }

    /// Takes a pong that tungstenite has made. It leaves with the next flush.
    pub(super) fn pong(&self, frame: &[u8]) {
        let mut state = self.state();
        if state.ending.is_open() {
            self.queue_control(&mut state, backlog::State::Pong, frame);
            self.queued.store(true, Ordering::Relaxed);
            if state.backlog.len() >= CORK {
                self.drain_unless_blocked(&mut state);
            }
        }
    }

    /// Queues a ping or a pong. Of those for a peer that reads slowly only the newest stays, so that
    /// they are bounded.
    pub(super) fn queue_control(&self, state: &mut State, kind: backlog::State, frame: &[u8]) {
        match state.blocked {
            true => state.backlog.replace(kind, frame),
            false => state.backlog.append(|out| out.extend_from_slice(frame)),
        }
    }

    // ---- What the hub delivers ----------------------------------------------------------------

    /// Gives the peer these of the frames: in one system call if it keeps up; if it does not, the
    /// newest of each state and all of a stream. Never waits.
    pub(crate) fn deliver(&self, frames: &Frames, range: Range<usize>) {
        let mut state = self.state();
        if !state.ending.is_open() {
            return;
        }
        if log_enabled!(log::Level::Debug) {
            for frame in frames.iter(range.clone()) {
                debug!("{} > {}", self.name(), Shown(frame.opcode, frame.payload));
            }
        }
        state.messages += range.len() as u64;
        if !state.blocked && !state.backlog.is_empty() {
            // A handler's messages that are not flushed yet come first.
            self.drain(&mut state);
            if state.ending.over {
                return;
            }
        }
        if state.blocked || self.framing != Framing::Server {
            self.keep(&mut state, frames.iter(range));
        } else {
            self.deliver_now(&mut state, frames, range);
        }
    }

    fn deliver_now(&self, state: &mut State, frames: &Frames, range: Range<usize>) {
        let bytes = frames.bytes(range.clone());
        let mut sent = match self.wire.send(bytes) {
            Ok(n) if n == bytes.len() && !self.wire.has_unsent() => return,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return self.lose_by(state, &error),
        };
        // The socket is full. Its frames have gone out, perhaps with the start of one more; the
        // rest waits.
        self.block(state);
        let mut rest = range.start;
        for frame in frames.iter(range.clone()) {
            if sent < frame.bytes.len() {
                break;
            }
            sent -= frame.bytes.len();
            rest += 1;
        }
        if sent > 0 {
            if let Some(started) = frames.iter(rest..range.end).next() {
                state.backlog.append_started(started.bytes, sent);
            }
            rest += 1;
        }
        self.keep(state, frames.iter(rest..range.end));
    }

    /// Queues frames behind what waits already, within the limit.
    fn keep<'a>(&self, state: &mut State, frames: impl Iterator<Item = FrameRef<'a>>) {
        for frame in frames {
            let mut masked = Vec::new();
            let bytes = match self.framing {
                Framing::Server => frame.bytes,
                Framing::Events => frame.payload,
                Framing::Client => {
                    frame::encode(self.framing, frame.opcode, frame.payload, &mut masked);
                    &masked
                }
            };
            match frame.topic {
                Some(topic) => {
                    let state_of = backlog::State::Topic(topic.clone());
                    state.backlog.replace(state_of, bytes);
                }
                None => state.backlog.append(|out| out.extend_from_slice(bytes)),
            }
        }
        self.drain_unless_blocked(state);
        if state.backlog.size() > self.config.backlog {
            self.close_slow(state);
        }
    }

    // ---- To the socket ------------------------------------------------------------------------

    pub(super) fn drain_unless_blocked(&self, state: &mut State) {
        if !state.blocked {
            self.drain(state);
        }
    }

    /// Sends what waits until the socket is full; then the caretaker sends the rest.
    pub(super) fn drain(&self, state: &mut State) {
        self.queued.store(false, Ordering::Relaxed);
        while !state.ending.over && !state.backlog.is_empty() {
            let front = state.backlog.front();
            match self.wire.send(front) {
                Ok(n) => {
                    // A whole entry, or much of a long one, counts as progress of the peer.
                    state.taken += n;
                    if state.watched && (n == front.len() || state.taken >= PROGRESS) {
                        state.stuck = Instant::now();
                        state.taken = 0;
                    }
                    state.backlog.advance(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.block(state);
                }
                Err(error) => return self.lose_by(state, &error),
            }
        }
        // Of what TLS has taken, the end may still wait for room.
        match self.wire.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.block(state),
            Err(error) if !state.ending.over => self.lose_by(state, &error),
            _ if self.framing == Framing::Events && state.ending.is_complete() => {
                // The end of the stream, which also wakes who waits for the client's.
                self.wire.shutdown_both();
            }
            _ => {}
        }
    }

    /// The socket is full: asks the caretaker to send on when there is room.
    fn block(&self, state: &mut State) {
        state.blocked = true;
        if !state.watched
            && let Some(me) = self.me.upgrade()
        {
            state.watched = true;
            state.stuck = Instant::now();
            state.taken = 0;
            self.caretaker.drain(me);
        }
    }
}
