//! `Clients`: who is registered with a hub, and what each of them gets with the batch that is being made.
//!
//! Closures put messages in; `deliver` encodes nothing again and gives each member its part in one
//! system call, without waiting for any. All of it on the hub's thread.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::connection::frame::{Frames, Topic};
use crate::connection::outbox::Outbox;
use crate::message::Message;

/// The registered connections, as the closures of a [`Hub`](crate::Hub) see them.
///
/// Nothing here waits: what is sent goes out when the closures queued so far have run.
#[derive(Default)]
pub struct Clients {
    members: HashMap<u64, Member>,
    /// Who left during this batch and still gets a part of it.
    gone: Vec<Gone>,
    /// What all members get with this batch.
    frames: Frames,
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

/// A member that is none any more.
struct Gone {
    member: Member,
    /// The first frame of the batch that is not meant for it.
    end: usize,
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

    /// Sends a message to one registered connection, in order with what all get.
    pub fn send_to(&mut self, id: u64, message: impl Into<Message>) {
        let at = self.frames.len();
        if let Some(member) = self.members.get_mut(&id) {
            member.own.push((at, message.into()));
        }
    }

    fn push(&mut self, message: &Message, topic: Option<Topic>) {
        if !self.members.is_empty() {
            self.frames.push(message, topic);
        }
    }

    /// Whether it is a member only now.
    pub(super) fn join(&mut self, outbox: Arc<Outbox>) -> bool {
        let first = self.frames.len();
        let id = outbox.id;
        let new = || Member {
            outbox,
            times: 0,
            first,
            own: Vec::new(),
        };
        let member = self.members.entry(id).or_insert_with(new);
        member.times += 1;
        member.times == 1
    }

    /// Whether it is a member no more.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        let Some(member) = self.members.get_mut(&id) else {
            return false;
        };
        member.times -= 1;
        if member.times > 0 {
            return false;
        }
        let end = self.frames.len();
        // What was said before it left is for it, too; but like the others it gets that when the
        // batch is done.
        let gone = self.members.remove(&id).map(|member| Gone { member, end });
        let waits = |gone: &Gone| gone.member.first < end || !gone.member.own.is_empty();
        self.gone.extend(gone.filter(waits));
        true
    }

    /// The bytes that wait to be delivered to all.
    pub(super) fn batch_bytes(&self) -> usize {
        self.frames.bytes_from(0).len()
    }

    /// Gives each member its part of the batch.
    pub(super) fn deliver(&mut self) {
        let frames = self.frames.len() as u64;
        self.broadcasts.fetch_add(frames, Ordering::Relaxed);
        // First: who has left and come again gets this first.
        for Gone { mut member, end } in self.gone.drain(..) {
            member.deliver_until(&self.frames, end);
        }
        for member in self.members.values_mut() {
            member.deliver(&self.frames);
            member.first = 0;
        }
        self.frames.clear();
    }
}

impl Member {
    fn deliver(&mut self, frames: &Frames) {
        if self.own.is_empty() {
            if self.first < frames.len() {
                self.outbox.deliver(frames, self.first);
            }
            return;
        }
        self.deliver_until(frames, frames.len());
    }

    fn deliver_until(&mut self, frames: &Frames, end: usize) {
        let mut mixed = Frames::default();
        let mut own = std::mem::take(&mut self.own).into_iter().peekable();
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
        f.debug_struct("Clients")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
