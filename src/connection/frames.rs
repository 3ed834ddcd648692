//! `Frames`: many frames that are encoded once and given to many clients.
//!
//! Made by the thread of a hub; the outbox of each client takes them as one piece, or one by one if
//! that client is slow or wants them masked.

use std::borrow::Cow;
use std::ops::Range;

use tungstenite::protocol::frame::coding::OpCode;

use crate::connection::frame::{encode, opcode};
use crate::connection::framing::Framing;
use crate::message::Message;

/// Names a state of which a slow client needs only the newest value.
pub(crate) type Topic = Cow<'static, str>;

/// Where one frame stands in [`Frames`].
#[derive(Clone, Debug)]
struct Mark {
    start: usize,
    payload: usize,
    end: usize,
    opcode: OpCode,
    topic: Option<Topic>,
}

/// Whole unmasked frames in a row, and where each one stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

/// One frame of [`Frames`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameRef<'a> {
    /// Header and payload.
    pub(super) bytes: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) opcode: OpCode,
    /// Set for a state: a newer one of the same topic may take its place.
    pub(super) topic: Option<&'a Topic>,
}

impl Frames {
    pub(crate) fn push(&mut self, message: &Message, topic: Option<Topic>) {
        let (opcode, payload) = (opcode(message), message.as_bytes());
        self.add(opcode, payload.len(), topic, |bytes| {
            encode(Framing::Server, opcode, payload, bytes);
        });
    }

    pub(crate) fn push_copy(&mut self, frame: FrameRef<'_>) {
        let (payload, topic) = (frame.payload.len(), frame.topic.cloned());
        self.add(frame.opcode, payload, topic, |bytes| {
            bytes.extend_from_slice(frame.bytes);
        });
    }

    fn add(
        &mut self,
        opcode: OpCode,
        payload: usize,
        topic: Option<Topic>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let end = self.bytes.len();
        self.marks.push(Mark {
            start,
            payload: end - payload,
            end,
            opcode,
            topic,
        });
    }

    /// The number of frames.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    /// The bytes of all frames.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// These frames as one piece.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        match self.marks.get(range) {
            Some([first, .., last]) => &self.bytes[first.start..last.end],
            Some([only]) => &self.bytes[only.start..only.end],
            _ => &[],
        }
    }

    /// These frames one by one; beyond the last there are none.
    pub(crate) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = FrameRef<'_>> {
        let marks = self.marks.get(range).unwrap_or_default();
        marks.iter().map(|mark| FrameRef {
            bytes: &self.bytes[mark.start..mark.end],
            payload: &self.bytes[mark.payload..mark.end],
            opcode: mark.opcode,
            topic: mark.topic.as_ref(),
        })
    }

    /// Empties it for the next use; a buffer that once had to be large is given back.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
        self.bytes.shrink_to(64 * 1024);
        self.marks.shrink_to(1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::frame::frame_len;

    #[test]
    fn frames_are_found_again_in_a_batch() {
        let mut frames = Frames::default();
        frames.push(&"one".into(), None);
        frames.push(&vec![1u8; 70_000].into(), Some("state".into()));
        frames.push(&"".into(), None);
        let lens: Vec<usize> = frames.iter(0..3).map(|frame| frame.payload.len()).collect();
        assert_eq!(lens, [3, 70_000, 0]);
        assert_eq!(frame_len(frames.bytes(0..3)), 5);
        assert_eq!(frame_len(frames.bytes(1..3)), 70_010);
        assert_eq!(frames.bytes(0..1), b"\x81\x03one");
        assert_eq!(frames.bytes(2..3), b"\x81\x00");
        assert_eq!(frames.bytes(3..3), b"");
    }
}
