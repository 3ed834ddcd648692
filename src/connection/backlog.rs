//! `Backlog`: the bytes that a socket has not taken yet, in order and within a limit.
//!
//! A plain data structure without locks or sockets. Frames of a stream are all kept; of a state
//! (a topic, and pongs and pings) only the newest one is, and replacing it takes no search however
//! many states wait. A frame that has been sent in part is never taken back, as the peer could not
//! find the next frame then.

use std::collections::{BTreeMap, HashMap};

use crate::connection::frame;
use crate::connection::frames::Topic;

/// Frames of a stream share an allocation up to this size: fewer system calls to drain them.
const CHUNK: usize = 16 * 1024;
/// A buffer up to this size is kept for the next message, so that an echo allocates nothing.
const KEPT: usize = 4 * 1024;
/// What an entry costs beside its bytes and its topic's name: its share of both maps, and what
/// allocations are rounded up by.
const OVERHEAD: usize = 256;

/// What only the newest frame is needed of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Topic(Topic),
    /// Of a peer that reads slowly only the latest ping needs an answer (RFC 6455, section 5.5.3).
    Pong,
    Ping,
}

/// Frames of a stream, or the one frame of a state.
#[derive(Debug)]
struct Entry {
    state: Option<State>,
    bytes: Vec<u8>,
}

impl Entry {
    /// What it costs beside its bytes: the name stands here and in the index.
    fn overhead(&self) -> usize {
        match &self.state {
            Some(State::Topic(topic)) => OVERHEAD + 2 * topic.len(),
            _ => OVERHEAD,
        }
    }

    fn has_room(&self) -> bool {
        self.state.is_none() && self.bytes.len() < CHUNK
    }
}

/// Frames waiting to be sent.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// What is sent first: frames of a stream, or a frame that has been started.
    first: Vec<u8>,
    /// How much of `first` has been sent.
    sent: usize,
    /// What comes behind it, by a number that grows; nothing of it has been started.
    rest: BTreeMap<u64, Entry>,
    next: u64,
    /// Where the entry of each waiting state stands in `rest`.
    states: HashMap<State, u64>,
    /// The number of the last entry of a stream.
    last_stream: u64,
    /// Unsent bytes.
    len: usize,
    /// What the entries of `rest` cost beside them.
    overhead: usize,
}

impl Backlog {
    /// Unsent bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What the unsent bytes cost in memory, about: what the limit of a backlog is for.
    pub(super) fn size(&self) -> usize {
        self.len + self.overhead
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next bytes to send, or nothing.
    pub(super) fn front(&self) -> &[u8] {
        match self.first.is_empty() {
            false => &self.first[self.sent..],
            true => self.rest.values().next().map_or(&[], |entry| &entry.bytes),
        }
    }

    /// Takes note that the first `n` bytes of [`Backlog::front`] were sent.
    pub(super) fn advance(&mut self, n: usize) {
        if self.first.is_empty()
            && n > 0
            && let Some(&number) = self.rest.keys().next()
        {
            self.first = self.remove(number);
            self.len += self.first.len();
        }
        self.sent += n;
        self.len -= n;
        if self.sent >= self.first.len() {
            self.sent = 0;
            self.first.clear();
            if self.first.capacity() > KEPT {
                self.first = Vec::new();
            }
            if self.len == 0 && self.states.capacity() > 0 {
                self.clear();
            }
        }
    }

    /// Lets `write` append frames of a stream at the end.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let bytes = match self.rest.last_entry() {
            None if self.first.len() < CHUNK => &mut self.first,
            Some(last) if last.get().has_room() => &mut last.into_mut().bytes,
            _ => {
                self.last_stream = self.insert(None, Vec::new());
                match self.rest.get_mut(&self.last_stream) {
                    Some(entry) => &mut entry.bytes,
                    None => return,
                }
            }
        };
        let before = bytes.len();
        write(bytes);
        self.len += bytes.len() - before;
    }

    /// Appends one frame of which `sent` bytes have gone out already.
    pub(super) fn append_started(&mut self, frame: &[u8], sent: usize) {
        debug_assert!(self.is_empty() && sent < frame.len());
        self.first.clear();
        self.first.extend_from_slice(frame);
        self.sent = sent;
        self.len = frame.len() - sent;
    }

    /// Puts a newer frame in the place of the unsent older one of its state. Where a stream's
    /// frames were queued behind the older one, it goes to the end: a state does not overtake
    /// what was said before it.
    pub(super) fn replace(&mut self, state: State, frame: &[u8]) {
        if let Some(&number) = self.states.get(&state) {
            if number > self.last_stream
                && let Some(entry) = self.rest.get_mut(&number)
            {
                self.len = self.len - entry.bytes.len() + frame.len();
                entry.bytes.clear();
                entry.bytes.extend_from_slice(frame);
                return;
            }
            self.remove(number);
            self.join_streams(number);
        }
        self.insert(Some(state), frame.to_vec());
    }

    /// Makes one entry of two streams that have become neighbours, where `number` was: without
    /// it, states and short messages in turns would cost many small allocations.
    fn join_streams(&mut self, number: u64) {
        let room = |(_, entry): &(&u64, &Entry)| entry.has_room();
        let before = self.rest.range(..number).next_back().filter(room);
        let behind = self.rest.range(number..).next().filter(room);
        if let (Some((&before, _)), Some((&behind, _))) = (before, behind) {
            let bytes = self.remove(behind);
            if let Some(entry) = self.rest.get_mut(&before) {
                self.len += bytes.len();
                entry.bytes.extend_from_slice(&bytes);
            }
            if self.last_stream == behind {
                self.last_stream = before;
            }
        }
    }

    /// Adds an entry at the end, and gives its number.
    fn insert(&mut self, state: Option<State>, bytes: Vec<u8>) -> u64 {
        // From 1 on, so that 0 is before every entry.
        self.next += 1;
        if let Some(state) = &state {
            self.states.insert(state.clone(), self.next);
        }
        let entry = Entry { state, bytes };
        self.len += entry.bytes.len();
        self.overhead += entry.overhead();
        self.rest.insert(self.next, entry);
        self.next
    }

    /// Takes an entry out, and gives its bytes.
    fn remove(&mut self, number: u64) -> Vec<u8> {
        let Some(entry) = self.rest.remove(&number) else {
            return Vec::new();
        };
        if let Some(state) = &entry.state {
            self.states.remove(state);
        }
        self.len -= entry.bytes.len();
        self.overhead -= entry.overhead();
        entry.bytes
    }

    /// Forgets all frames that have not been started; a started one stays, to be finished.
    pub(super) fn drop_unstarted(&mut self) {
        let (mut first, sent) = (std::mem::take(&mut self.first), self.sent);
        self.clear();
        // `first` starts with a whole frame: walk to the end of the one under way.
        let mut end = 0;
        while end < sent {
            end += frame::frame_len(&first[end..]).max(1);
        }
        first.truncate(end);
        if sent < end {
            self.len = end - sent;
            self.sent = sent;
            self.first = first;
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Backlog::default();
    }
}

#[cfg(test)]
mod tests;
