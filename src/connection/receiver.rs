//! `Receiver`: the threads that receive from one connection, and whose turn it is.
//!
//! One of them waits for bytes, without the lock, while the others wait for their turn: they must
//! not all sleep while a message is in the buffer already. A call that sends looks into the inbox,
//! too, if nobody receives for long. What the bytes mean is the inbox's business.

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::connection::inbox::{Inbox, Look};
use crate::connection::outbox::Outbox;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::lock::{Lock, Signal};
use crate::message::Message;

/// How often a connection that only sends looks for control frames.
const CONTROL_EVERY: Duration = Duration::from_secs(1);

// What `Receiver::unread` says beside a time.
const RECEIVED: u64 = 0;
const SENT_ONCE: u64 = 1;
const RECEIVING: u64 = u64::MAX;

/// The receiving half of a connection. Any thread may use it.
#[derive(Debug)]
pub(super) struct Receiver {
    opened: Instant,
    /// Guards tungstenite's reading state for the moment it takes to look at what has arrived.
    inbox: Lock<Inbox>,
    /// Told when a receiver has left and another one waits for its turn.
    turn: Signal,
    /// Since when the connection has only sent, in nanoseconds from `opened` on. It asks for the
    /// time from the second message on, so that an echo, which receives between two answers, never
    /// does. No order with other memory is needed: a look too many or too late does no harm.
    unread: AtomicU64,
}

impl Receiver {
    pub(super) fn new(inbox: Inbox) -> Receiver {
        Receiver {
            opened: Instant::now(),
            inbox: Lock::new(inbox),
            turn: Signal::new(),
            unread: AtomicU64::new(RECEIVED),
        }
    }

    /// Since the opening handshake.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    pub(super) fn messages(&self) -> u64 {
        self.inbox.lock().messages()
    }

    /// For calls that send: answers pings and sees a close frame, now and then, if nobody receives.
    pub(super) fn read_control_frames(&self, outbox: &Outbox) {
        let now = || u64::try_from(self.age().as_nanos()).unwrap_or(RECEIVING - 1);
        let next = match self.unread.load(Ordering::Relaxed) {
            RECEIVING => return,
            RECEIVED => SENT_ONCE,
            SENT_ONCE => now(),
            since if now().saturating_sub(since) < CONTROL_EVERY.as_nanos() as u64 => return,
            _ => {
                // Whoever holds the lock is looking already.
                if let Some(mut inbox) = self.inbox.try_lock()
                    && inbox.receivers == 0
                {
                    inbox.read_control_frames(outbox);
                }
                now()
            }
        };
        self.unread.store(next, Ordering::Relaxed);
    }

    /// The next message, or nothing if none has come until the deadline.
    pub(super) fn receive(&self, outbox: &Outbox, deadline: Deadline) -> Result<Option<Message>> {
        self.unread.store(RECEIVING, Ordering::Relaxed);
        let mut inbox = self.inbox.lock();
        inbox.receivers += 1;
        let (mut inbox, received) = self.receive_in_turn(inbox, outbox, deadline);
        inbox.receivers -= 1;
        if inbox.receivers > 0 {
            // There may be more in the buffer, and somebody must wait for the wire.
            self.turn.notify_one();
        } else {
            self.unread.store(RECEIVED, Ordering::Relaxed);
        }
        received
    }

    fn receive_in_turn<'a>(
        &'a self,
        mut inbox: MutexGuard<'a, Inbox>,
        outbox: &Outbox,
        deadline: Deadline,
    ) -> (MutexGuard<'a, Inbox>, Result<Option<Message>>) {
        let mut looked = false;
        loop {
            let found = inbox.look(outbox);
            match found {
                Look::Message(message) => return (inbox, Ok(Some(message))),
                Look::Over => return (inbox, Err(outbox.state().ending.error())),
                Look::Empty(_) | Look::Again if looked && deadline.has_passed() => {
                    return (inbox, Ok(None));
                }
                Look::Again => {
                    drop(inbox);
                    inbox = self.inbox.lock();
                }
                Look::Empty(_) if inbox.waiting => inbox = self.turn.wait(inbox, deadline),
                Look::Empty(whole_until) => {
                    inbox.waiting = true;
                    let mut buffer = inbox.take_buffer();
                    drop(inbox);
                    outbox.flush();
                    let until = deadline.or(whole_until);
                    let waited = outbox.wire.recv_waiting(&mut buffer, until);
                    inbox = self.inbox.lock();
                    inbox.waiting = false;
                    let late = matches!(waited, Ok(false)) && !deadline.has_passed();
                    inbox.arrived(buffer, waited, &outbox.wire);
                    if late {
                        inbox.overdue(outbox);
                    }
                }
            }
            looked = true;
        }
    }
}
