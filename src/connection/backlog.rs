//! `Backlog`: the bytes that a socket has not taken yet, in order and within a limit.
//!
//! A plain data structure without locks or sockets. Frames of a stream are all kept; of a state
//! (a topic, and pongs and pings) only the newest one is. The first frame may have been sent in
//! part: it is never taken back, as the peer could not find the next frame then.

use std::collections::VecDeque;

use crate::connection::frame::{self, Topic};

/// Frames of a stream share an allocation up to this size: fewer system calls to drain them.
const CHUNK: usize = 16 * 1024;
/// A buffer up to this size is kept for the next message, so that an echo allocates nothing.
const KEPT: usize = 4 * 1024;

/// What a frame is, and so whether a newer one may take its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    State(Topic),
    /// Of a peer that reads slowly only the latest ping needs an answer (RFC 6455, section 5.5.3).
    Pong,
    Ping,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    bytes: Vec<u8>,
}

/// Frames waiting to be sent.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    entries: VecDeque<Entry>,
    /// How much of the first entry has been sent.
    sent: usize,
    /// Bytes of all entries, less `sent`.
    len: usize,
    spare: Vec<u8>,
}

impl Backlog {
    /// Unsent bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next bytes to send, or nothing.
    pub(crate) fn front(&self) -> &[u8] {
        self.entries
            .front()
            .map_or(&[], |entry| &entry.bytes[self.sent..])
    }

    /// Takes note that the first `n` bytes of [`Backlog::front`] were sent.
    pub(crate) fn advance(&mut self, n: usize) {
        self.sent += n;
        self.len -= n;
        if self
            .entries
            .front()
            .is_some_and(|entry| self.sent >= entry.bytes.len())
        {
            self.sent = 0;
            if let Some(entry) = self.entries.pop_front()
                && entry.bytes.capacity() <= KEPT
            {
                self.spare = entry.bytes;
                self.spare.clear();
            }
        }
    }

    /// Lets `write` append frames of a stream at the end.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let open = self
            .entries
            .back_mut()
            .filter(|entry| entry.kind == Kind::Stream && entry.bytes.len() < CHUNK);
        let bytes = match open {
            Some(entry) => &mut entry.bytes,
            None => {
                let bytes = std::mem::take(&mut self.spare);
                self.entries.push_back(Entry {
                    kind: Kind::Stream,
                    bytes,
                });
                match self.entries.back_mut() {
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
    pub(crate) fn append_started(&mut self, frame: &[u8], sent: usize) {
        debug_assert!(self.is_empty() && sent < frame.len());
        self.entries.clear();
        self.entries.push_back(Entry {
            kind: Kind::Stream,
            bytes: frame.to_vec(),
        });
        self.sent = sent;
        self.len = frame.len() - sent;
    }

    /// Puts a newer frame in the place of the unsent older one of its kind. Where a stream's
    /// frames were queued behind the older one, it goes to the end: a state does not overtake
    /// what was said before it.
    pub(crate) fn replace(&mut self, kind: Kind, frame: &[u8]) {
        let started = usize::from(self.sent > 0);
        let old = (started..self.entries.len())
            .rev()
            .find(|&i| self.entries[i].kind == kind);
        if let Some(at) = old {
            let followed = self.entries.range(at + 1..).any(|e| e.kind == Kind::Stream);
            let entry = &mut self.entries[at];
            self.len -= entry.bytes.len();
            if !followed {
                entry.bytes.clear();
                entry.bytes.extend_from_slice(frame);
                self.len += frame.len();
                return;
            }
            self.entries.remove(at);
            self.join_streams(at);
        }
        self.entries.push_back(Entry {
            kind,
            bytes: frame.to_vec(),
        });
        self.len += frame.len();
    }

    /// Makes one entry of two streams that have become neighbours: without it, states and short
    /// messages in turns would cost many small allocations, which the limit does not count.
    fn join_streams(&mut self, at: usize) {
        let stream = |entry: &Entry| entry.kind == Kind::Stream && entry.bytes.len() < CHUNK;
        if at > 0
            && self.entries.get(at - 1).is_some_and(stream)
            && self.entries.get(at).is_some_and(stream)
            && let Some(second) = self.entries.remove(at)
        {
            self.entries[at - 1].bytes.extend_from_slice(&second.bytes);
        }
    }

    /// Forgets all frames that have not been started; a started one stays, to be finished.
    pub(crate) fn drop_unstarted(&mut self) {
        let sent = self.sent;
        if sent == 0 {
            self.entries.clear();
        } else {
            self.entries.truncate(1);
            if let Some(entry) = self.entries.front_mut() {
                // An entry starts with a whole frame: walk to the end of the one under way.
                let mut end = 0;
                while end < sent {
                    end += frame::frame_len(&entry.bytes[end..]).max(1);
                }
                entry.bytes.truncate(end);
            }
        }
        self.len = self
            .entries
            .front()
            .map_or(0, |entry| entry.bytes.len() - sent);
        if self.len == 0 {
            self.entries.clear();
            self.sent = 0;
        }
    }

    /// Forgets everything: nothing can be sent any more.
    pub(crate) fn clear(&mut self) {
        *self = Backlog::default();
    }
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::Role;

    use super::*;
    use crate::message::Message;

    fn text(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let message = Message::from(text);
        frame::encode(
            Role::Server,
            frame::opcode(&message),
            message.as_bytes(),
            &mut out,
        );
        out
    }

    fn stream(backlog: &mut Backlog, what: &str) {
        backlog.append(|out| out.extend_from_slice(&text(what)));
    }

    fn state(backlog: &mut Backlog, topic: &'static str, what: &str) {
        backlog.replace(Kind::State(topic.into()), &text(what));
    }

    /// Takes everything out, `step` bytes at a time, and gives the texts of the frames.
    fn drain(backlog: &mut Backlog, step: usize) -> Vec<String> {
        let mut bytes = Vec::new();
        while !backlog.is_empty() {
            let n = step.min(backlog.front().len());
            bytes.extend_from_slice(&backlog.front()[..n]);
            backlog.advance(n);
        }
        assert_eq!(backlog.front(), b"");
        let mut texts = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let n = frame::frame_len(rest);
            texts.push(String::from_utf8_lossy(&rest[2..n]).into_owned());
            rest = &rest[n..];
        }
        texts
    }

    #[test]
    fn a_stream_keeps_all_and_a_state_the_newest() {
        for step in [1, 3, 1000] {
            let mut backlog = Backlog::default();
            for i in 0..100 {
                state(&mut backlog, "value", &format!("v{i}"));
                state(&mut backlog, "users", &format!("u{i}"));
            }
            stream(&mut backlog, "a");
            stream(&mut backlog, "b");
            assert_eq!(drain(&mut backlog, step), ["v99", "u99", "a", "b"]);
        }
    }

    #[test]
    fn a_state_does_not_overtake_a_stream() {
        let mut backlog = Backlog::default();
        state(&mut backlog, "value", "old");
        stream(&mut backlog, "between");
        state(&mut backlog, "value", "new");
        assert_eq!(drain(&mut backlog, 1000), ["between", "new"]);
    }

    #[test]
    fn states_and_messages_in_turns_stay_few_entries() {
        let mut backlog = Backlog::default();
        for i in 0..1000 {
            stream(&mut backlog, "m");
            state(&mut backlog, "value", &i.to_string());
        }
        assert!(
            backlog.entries.len() <= 3,
            "{} entries",
            backlog.entries.len()
        );
        let texts = drain(&mut backlog, 7);
        assert_eq!((texts.len(), texts[1000].as_str()), (1001, "999"));
    }

    #[test]
    fn a_started_frame_is_finished() {
        let mut backlog = Backlog::default();
        state(&mut backlog, "value", "old");
        backlog.advance(1);
        state(&mut backlog, "value", "new");
        assert_eq!(backlog.len(), 4 + 5);
        let rest = backlog.front().to_vec();
        backlog.advance(rest.len());
        assert_eq!(drain(&mut backlog, 1000), ["new"]);
    }

    #[test]
    fn dropping_keeps_the_frame_under_way_only() {
        let mut backlog = Backlog::default();
        stream(&mut backlog, "first");
        stream(&mut backlog, "second");
        stream(&mut backlog, "third");
        state(&mut backlog, "value", "1");
        backlog.advance(text("first").len() + 3);
        backlog.drop_unstarted();
        assert_eq!(backlog.front(), &text("second")[3..]);
        backlog.advance(backlog.front().len());
        assert!(backlog.is_empty());

        stream(&mut backlog, "first");
        backlog.drop_unstarted();
        assert!(backlog.is_empty());
        stream(&mut backlog, "next");
        assert_eq!(drain(&mut backlog, 2), ["next"]);
    }

    #[test]
    fn a_frame_sent_in_part_goes_on_where_it_stopped() {
        let mut backlog = Backlog::default();
        backlog.append_started(&text("hello"), 3);
        assert_eq!(backlog.len(), 4);
        stream(&mut backlog, "x");
        assert_eq!(
            backlog.front(),
            &[&text("hello")[3..], &text("x")].concat()[..]
        );
    }

    #[test]
    fn a_large_buffer_is_given_back_and_a_small_one_kept() {
        let mut backlog = Backlog::default();
        stream(&mut backlog, "x");
        backlog.advance(3);
        assert!(backlog.spare.capacity() >= 3);
        backlog.append(|out| out.resize(KEPT * 8, 0));
        backlog.advance(KEPT * 8);
        assert!(backlog.spare.capacity() <= KEPT);
    }
}
