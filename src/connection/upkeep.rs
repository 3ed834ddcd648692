//! What an [`Outbox`] does when the caretaker comes by: sends on, pings, and ends what has passed
//! its deadline. Nothing here waits.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use log::debug;

use crate::caretaker::Charge;
use crate::close::{CloseCode, CloseFrame};
use crate::connection::backlog;
use crate::connection::frame::{self, Shown};
use crate::connection::keepalive;
use crate::connection::outbox::{Outbox, State};
use crate::deadline::Deadline;
use crate::error::Result;

impl Charge for Outbox {
    fn id(&self) -> u64 {
        self.id
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }

    fn drain(&self) -> bool {
        let mut state = self.state();
        state.blocked = false;
        Outbox::drain(self, &mut state);
        state.watched = state.blocked;
        state.watched
    }

    fn tend(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        self.check_deadlines(&mut state, now);
        let mut next = state.ending.cut_at;
        if state.ending.is_open() {
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
        next.instant().filter(|_| !state.ending.over)
    }
}

impl Outbox {
    /// Sends a ping now; its answer sets the latency.
    pub(super) fn ping(&self) -> Result<()> {
        let mut state = self.state();
        state.ending.check_open()?;
        self.send_ping(&mut state, Instant::now());
        Ok(())
    }

    fn send_ping(&self, state: &mut State, now: Instant) {
        let payload = state.keepalive.ping(now, self.wire.received());
        let mut bytes = Vec::with_capacity(14);
        frame::encode(self.framing, frame::PING, &payload, &mut bytes);
        debug!(target: keepalive::LOG, "{} > {}", self.name(), Shown(frame::PING, &payload));
        self.queue_control(state, backlog::State::Ping, &bytes);
        self.drain_unless_blocked(state);
    }

    /// Ends the connection if the peer has let a deadline pass.
    pub(super) fn check_deadlines(&self, state: &mut State, now: Instant) {
        let passed = |deadline: Deadline| deadline.instant().is_some_and(|at| at <= now);
        if state.ending.over {
            return;
        }
        if passed(state.ending.cut_at) {
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
            } else if state.ending.is_open() {
                let limit = self.config.ping_timeout.unwrap_or_default();
                let frame = CloseFrame::cut(CloseCode::INTERNAL_ERROR, "keepalive ping timeout");
                self.queue_close(state, frame);
                self.lose(state, format!("no answer to a ping for {limit:?}"));
            }
        }
    }

    pub(super) fn stuck_until(&self, state: &State) -> Deadline {
        let timeout = self.config.write_timeout;
        Deadline::at(timeout.and_then(|timeout| state.stuck.checked_add(timeout)))
    }
}
