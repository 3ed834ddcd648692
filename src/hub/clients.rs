//! `Clients`: who is registered with a hub, and what each of them gets with the batch that is being made.
//!
//! Closures put messages in; `deliver` gives each member its part of the frames, which are encoded
//! once, in one system call and without waiting for any. All of it on the hub's thread.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{self, Write as _};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::connection::Outbox;
use crate::connection::{Frames, Topic};
use crate::message::Message;

/// The registered connections, as the closures of a [`Hub`](crate::Hub) see them.
///
/// Nothing here waits: what is sent goes out when the closures queued so far have run.
#[derive(Default)]
pub struct Clients {
    members: HashMap<u64, Member>,
    /// Who left during this batch, each before the frame of this number, which is not for it any more.
    gone: Vec<(Member, usize)>,
    /// What all members get with this batch.
    frames: Frames,
    /// Kept for the next text that is written into it.
    text: String,
    /// How many frames there have been for all, ever.
    pub(super) broadcasts: Arc<AtomicU64>,
}

struct Member {
    outbox: Arc<Outbox>,
    /// How often it is registered.
    times: usize,
    /// The first frame of the batch that is meant for it.
    first: usize,
    /// What it alone gets with this batch, each before the frame of this number.
    own: Vec<(usize, Message)>,
}

impl Clients {
    /// The number of registered connections.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Sends a message to all. Who reads so slowly that more than its backlog limit waits is
    /// closed with 1013, as a stream must not have gaps.
    pub fn broadcast(&mut self, message: impl Into<Message>) {
        self.push(&message.into(), None);
    }

    /// Sends the newest value of a state, named `topic`, to all. Who keeps up gets every value;
    /// for who reads too slowly it takes the place of the one that waits. The backlog limit must
    /// have room for two values, one being sent and one waiting.
    pub fn publish(&mut self, topic: impl Into<Topic>, value: impl Into<Message>) {
        self.push(&value.into(), Some(topic.into()));
    }

    /// As [`publish`](Clients::publish), as a text and without a `String` in between: a number, or
    /// `format_args!("{x} {y}")`.
    pub fn publish_text(&mut self, topic: impl Into<Topic>, value: impl fmt::Display) {
        let mut text = mem::take(&mut self.text);
        text.clear();
        // As the buffer of frames: one that once had to be large is given back.
        text.shrink_to(64 * 1024);
        // A string takes all; a value that cannot be shown is as far as it came.
        let _ = write!(text, "{value}");
        let message = Message::Text(text);
        self.push(&message, Some(topic.into()));
        if let Message::Text(text) = message {
            self.text = text;
        }
    }

    /// Sends a message to one registered connection, in order with what all get.
    pub fn send_to(&mut self, id: u64, message: impl Into<Message>) {
        if let Some(member) = self.members.get_mut(&id) {
            member.own.push((self.frames.len(), message.into()));
        }
    }

    fn push(&mut self, message: &Message, topic: Option<Topic>) {
        if !self.members.is_empty() {
            self.frames.push(message, topic);
        }
    }

    /// Whether it was no member before.
    pub(super) fn join(&mut self, outbox: Arc<Outbox>) -> bool {
        let member = self.members.entry(outbox.id).or_insert_with(|| Member {
            outbox,
            times: 0,
            first: self.frames.len(),
            own: Vec::new(),
        });
        member.times += 1;
        member.times == 1
    }

    /// Whether it was a member, and is none any more.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        let Entry::Occupied(mut member) = self.members.entry(id) else {
            return false;
        };
        member.get_mut().times -= 1;
        let left = member.get().times == 0;
        if left {
            // What was said before it left is for it, too; but like the others it gets that when
            // the batch is done.
            self.gone.push((member.remove(), self.frames.len()));
        }
        left
    }

    /// The bytes that wait to be delivered to all.
    pub(super) fn batch_bytes(&self) -> usize {
        self.frames.bytes_from(0).len()
    }

    /// Gives each member its part of the batch.
    pub(super) fn deliver(&mut self) {
        let frames = self.frames.len();
        self.broadcasts.fetch_add(frames as u64, Ordering::Relaxed);
        // First: who has left and come again gets this first.
        for (mut member, end) in self.gone.drain(..) {
            member.deliver(&self.frames, end);
        }
        for member in self.members.values_mut() {
            member.deliver(&self.frames, frames);
            member.first = 0;
        }
        self.frames.clear();
    }
}

impl Member {
    /// Gives it its own messages, and between them the frames from its first to `end`.
    fn deliver(&mut self, frames: &Frames, end: usize) {
        if self.own.is_empty() && (self.first == end || end == frames.len()) {
            if self.first < end {
                self.outbox.deliver(frames, self.first);
            }
            return;
        }
        let mut mixed = Frames::default();
        let mut own = mem::take(&mut self.own).into_iter().peekable();
        for (number, frame) in (self.first..end).zip(frames.iter_from(self.first)) {
            while let Some((_, message)) = own.next_if(|(at, _)| *at <= number) {
                mixed.push(&message, None);
            }
            mixed.push_copy(frame);
        }
        for (_, message) in own {
            mixed.push(&message, None);
        }
        self.outbox.deliver(&mixed, 0);
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({})", self.len())
    }
}
