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

use super::member::Member;
use super::rooms::Rooms;
use crate::close::{CloseCode, CloseFrame};
use crate::connection::Outbox;
use crate::connection::{Frames, Topic};
use crate::message::Message;

/// The registered connections, as the closures of a [`Hub`](crate::Hub) see them.
///
/// Nothing here waits: what is sent goes out when the closures queued so far have run. Each connection
/// gets what is for it in the order of the calls, whether it is for all, for a room or for it alone.
#[derive(Default)]
pub struct Clients {
    members: HashMap<u64, Member>,
    rooms: Rooms,
    /// Who left during this batch, each before the frame of this number, which is not for it any more.
    gone: Vec<(Member, usize)>,
    /// What all members get with this batch.
    all: Frames,
    /// What some get: those in a room, or one alone.
    some: Frames,
    /// Who they are.
    touched: Vec<u64>,
    /// Kept for the next text that is written into it.
    text: String,
    /// How many frames there have been for all or for a room, ever.
    pub(super) broadcasts: Arc<AtomicU64>,
}

/// Who is to get a message.
#[derive(Clone, Copy)]
enum To<'a> {
    All,
    AllBut(u64),
    Room(&'a str, Option<u64>),
    One(u64),
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

    /// The ids of the registered connections, in no order.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.members.keys().copied()
    }

    /// Sends a message to all. Who reads so slowly that more than its backlog limit waits is
    /// closed with 1013, as a stream must not have gaps.
    pub fn broadcast(&mut self, message: impl Into<Message>) {
        self.push(&message.into(), None, To::All);
    }

    /// As [`broadcast`](Clients::broadcast), but not to this connection: the sender, for example.
    pub fn broadcast_but(&mut self, id: u64, message: impl Into<Message>) {
        self.push(&message.into(), None, To::AllBut(id));
    }

    /// Sends the newest value of a state, named `topic`, to all. Who keeps up gets every value;
    /// for who reads too slowly it takes the place of the one that waits. The backlog limit must
    /// have room for two values, one being sent and one waiting.
    pub fn publish(&mut self, topic: impl Into<Topic>, value: impl Into<Message>) {
        self.push(&value.into(), Some(topic.into()), To::All);
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
        self.push(&message, Some(topic.into()), To::All);
        if let Message::Text(text) = message {
            self.text = text;
        }
    }

    /// Sends a message to one registered connection.
    pub fn send_to(&mut self, id: u64, message: impl Into<Message>) {
        self.push(&message.into(), None, To::One(id));
    }

    /// Closes one registered connection: behind what is sent to it with this batch, it gets this code
    /// and reason, which may be cut to 123 bytes. Nothing waits for its answer.
    pub fn close(&mut self, id: u64, code: CloseCode, reason: &str) {
        if let Some(member) = self.members.get_mut(&id) {
            if !member.is_touched() {
                self.touched.push(id);
            }
            let frame = CloseFrame::cut(code, reason);
            member.closing.get_or_insert_with(|| Box::new(frame));
        }
    }

    /// Lets a registered connection enter a room, which is there as long as somebody is in it. Rooms
    /// are named like paths: who enters `a/b/*` gets what is sent to `a/b/c` and to all rooms whose
    /// names begin with `a/b/`, and who enters `*` what is sent to any. Ends with the registration.
    pub fn enter(&mut self, id: u64, room: &str) {
        if let Some(member) = self.members.get_mut(&id)
            && self.rooms.enter(room, id)
        {
            member.rooms.push(room.into());
        }
    }

    /// Lets a connection leave a room.
    pub fn exit(&mut self, id: u64, room: &str) {
        if let Some(member) = self.members.get_mut(&id) {
            member.rooms.retain(|name| &**name != room);
            self.rooms.exit(room, id);
        }
    }

    /// Those in a room.
    ///
    /// ```
    /// let hub = plainws::Hub::builder(()).start()?;
    /// plainws::Server::builder(move |ws| {
    ///     let user = hub.register(ws);
    ///     user.update(|_, clients, id| clients.enter(id, "kitchen"));
    ///     for message in ws {
    ///         let message = message?;
    ///         user.update(|_, clients, id| clients.room("kitchen").but(id).broadcast(message));
    ///     }
    ///     Ok(())
    /// });
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn room<'a>(&'a mut self, name: &'a str) -> Room<'a> {
        Room {
            clients: self,
            name,
            but: None,
        }
    }

    fn push(&mut self, message: &Message, topic: Option<Topic>, to: To<'_>) {
        if matches!(to, To::All) {
            if !self.members.is_empty() {
                self.all.push(message, topic);
            }
            return;
        }
        let (at, number) = (self.all.len(), self.some.len());
        let (members, touched) = (&mut self.members, &mut self.touched);
        let mut picked = false;
        let mut pick = |id: u64, member: &mut Member| {
            if !member.is_touched() {
                touched.push(id);
            }
            member.pick(at, number);
            picked = true;
        };
        match to {
            To::All => {}
            To::AllBut(but) => {
                let others = members.iter_mut().filter(|(id, _)| **id != but);
                others.for_each(|(id, member)| pick(*id, member));
            }
            To::Room(room, but) => {
                for id in self.rooms.audience(room).filter(|id| Some(*id) != but) {
                    members
                        .get_mut(&id)
                        .into_iter()
                        .for_each(|member| pick(id, member));
                }
            }
            To::One(id) => members
                .get_mut(&id)
                .into_iter()
                .for_each(|member| pick(id, member)),
        }
        if picked {
            self.some.push(message, topic);
            if !matches!(to, To::One(_)) {
                self.broadcasts.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether it was no member before.
    pub(super) fn join(&mut self, outbox: Arc<Outbox>) -> bool {
        let new = self.members.entry(outbox.id);
        let member = new.or_insert_with(|| Member::new(outbox, self.all.len()));
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
            let member = member.remove();
            for room in &member.rooms {
                self.rooms.exit(room, id);
            }
            self.gone.push((member, self.all.len()));
        }
        left
    }

    /// The bytes that wait to be delivered.
    pub(super) fn batch_bytes(&self) -> usize {
        self.all.size() + self.some.size()
    }

    /// Gives each member its part of the batch.
    pub(super) fn deliver(&mut self) {
        let (all, some, end) = (&self.all, &self.some, self.all.len());
        self.broadcasts.fetch_add(end as u64, Ordering::Relaxed);
        // First: who has left and come again gets this first.
        for (mut member, end) in self.gone.drain(..) {
            member.deliver(all, some, end);
        }
        if end > 0 {
            for member in self.members.values_mut() {
                member.deliver(all, some, end);
                member.first = 0;
            }
        } else {
            // Nobody else has anything to get: a message to one room is no work for the others.
            for id in &self.touched {
                let member = self.members.get_mut(id);
                member
                    .into_iter()
                    .for_each(|member| member.deliver(all, some, end));
            }
        }
        self.touched.clear();
        self.touched.shrink_to(1024);
        self.all.clear();
        self.some.clear();
    }
}

/// Those in a room of [`Clients`], and in a prefix above it.
#[derive(Debug)]
pub struct Room<'a> {
    clients: &'a mut Clients,
    name: &'a str,
    but: Option<u64>,
}

impl Room<'_> {
    /// All but this connection: the sender, for example.
    pub fn but(mut self, id: u64) -> Self {
        self.but = Some(id);
        self
    }

    /// As [`Clients::broadcast`].
    pub fn broadcast(&mut self, message: impl Into<Message>) {
        let to = To::Room(self.name, self.but);
        self.clients.push(&message.into(), None, to);
    }

    /// As [`Clients::publish`].
    pub fn publish(&mut self, topic: impl Into<Topic>, value: impl Into<Message>) {
        let to = To::Room(self.name, self.but);
        self.clients.push(&value.into(), Some(topic.into()), to);
    }

    /// The number of connections in exactly this room.
    pub fn len(&self) -> usize {
        self.ids().count()
    }

    /// Whether nobody would get a message: nobody is in the room or in a prefix above it.
    pub fn is_empty(&self) -> bool {
        let mut audience = self.clients.rooms.audience(self.name);
        !audience.any(|id| Some(id) != self.but)
    }

    /// The ids of the connections in exactly this room, in no order.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        let ids = self.clients.rooms.members(self.name);
        ids.filter(|id| Some(*id) != self.but)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({})", self.len())
    }
}
