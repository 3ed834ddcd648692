//! Frames as bytes: `encode` for one frame, `Frames` for many that are encoded once and given to
//! many clients.
//!
//! tungstenite formats headers and masks; nothing here reads a socket.

use std::borrow::Cow;
use std::fmt;
use std::io::Cursor;

use tungstenite::protocol::Role;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::close::CloseFrame;
use crate::escaped::Escaped;
use crate::message::Message;

/// Names a state of which a slow client needs only the newest value.
pub(crate) type Topic = Cow<'static, str>;

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);

pub(crate) fn opcode(message: &Message) -> OpCode {
    match message {
        Message::Text(_) => TEXT,
        Message::Binary(_) => BINARY,
    }
}

pub(crate) const PING: OpCode = OpCode::Control(Control::Ping);
pub(crate) const PONG: OpCode = OpCode::Control(Control::Pong);

/// Appends one whole frame to `out`. A client's is masked with a key that nobody can foresee
/// (RFC 6455, section 5.3), a server's is not and so is the same for every client.
pub(crate) fn encode(role: Role, opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let mut header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    // Writing to a vector cannot fail.
    match role {
        Role::Server => {
            out.reserve(header.len(payload.len() as u64) + payload.len());
            let _ = header.format(payload.len() as u64, out);
            out.extend_from_slice(payload);
        }
        Role::Client => {
            header.mask = Some(rand::random());
            let _ = Frame::from_payload(header, payload.to_vec().into()).format(out);
        }
    }
}

/// Appends a close frame to `out`.
pub(crate) fn encode_close(role: Role, frame: &CloseFrame, out: &mut Vec<u8>) {
    let close = Frame::close(Some(frame.to_tungstenite()));
    encode(role, OpCode::Control(Control::Close), close.payload(), out);
}

/// The length of the frame that starts `bytes`; all of them if no header is there.
pub(crate) fn frame_len(bytes: &[u8]) -> usize {
    let mut cursor = Cursor::new(bytes);
    match FrameHeader::parse(&mut cursor) {
        Ok(Some((_, payload))) => cursor.position() as usize + payload as usize,
        _ => bytes.len(),
    }
}

/// Where one frame stands in [`Frames`].
#[derive(Clone, Debug)]
struct Mark {
    start: usize,
    payload: usize,
    end: usize,
    binary: bool,
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
    pub(crate) bytes: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) opcode: OpCode,
    /// Set for a state: a newer one of the same topic may take its place.
    pub(crate) topic: Option<&'a Topic>,
}

impl Frames {
    pub(crate) fn push(&mut self, message: &Message, topic: Option<Topic>) {
        let start = self.bytes.len();
        encode(
            Role::Server,
            opcode(message),
            message.as_bytes(),
            &mut self.bytes,
        );
        let end = self.bytes.len();
        let binary = matches!(message, Message::Binary(_));
        self.marks.push(Mark {
            start,
            payload: end - message.len(),
            end,
            binary,
            topic,
        });
    }

    /// The number of frames.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    /// All frames from number `first` on, as one piece.
    pub(crate) fn bytes_from(&self, first: usize) -> &[u8] {
        self.marks
            .get(first)
            .map_or(&[], |mark| &self.bytes[mark.start..])
    }

    /// The frames from number `first` on, one by one.
    pub(crate) fn iter_from(&self, first: usize) -> impl Iterator<Item = FrameRef<'_>> {
        self.marks[first.min(self.marks.len())..]
            .iter()
            .map(|mark| FrameRef {
                bytes: &self.bytes[mark.start..mark.end],
                payload: &self.bytes[mark.payload..mark.end],
                opcode: if mark.binary { BINARY } else { TEXT },
                topic: mark.topic.as_ref(),
            })
    }

    pub(crate) fn push_copy(&mut self, frame: FrameRef<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame.bytes);
        let end = self.bytes.len();
        self.marks.push(Mark {
            start,
            payload: end - frame.payload.len(),
            end,
            binary: frame.opcode == BINARY,
            topic: frame.topic.cloned(),
        });
    }

    /// Empties it for the next use; a buffer that once had to be large is given back.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
        self.bytes.shrink_to(64 * 1024);
        self.marks.shrink_to(1024);
    }
}

/// One line for a log: `TEXT "hello" [5 bytes]`, the payload escaped and cut.
pub(crate) struct Shown<'a>(pub(crate) OpCode, pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(opcode, payload) = *self;
        write!(f, "{opcode}")?;
        match std::str::from_utf8(payload) {
            Ok(text) if opcode != BINARY => write!(f, " \"{}\"", Escaped(text))?,
            _ => {
                for byte in payload.iter().take(24) {
                    write!(f, " {byte:02x}")?;
                }
                if payload.len() > 24 {
                    f.write_str(" ...")?;
                }
            }
        }
        write!(f, " [{} bytes]", payload.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_frame_is_plain_and_a_clients_masked() {
        let mut out = Vec::new();
        encode(Role::Server, TEXT, b"Rust", &mut out);
        assert_eq!(out, b"\x81\x04Rust");
        out.clear();
        encode(Role::Client, TEXT, b"Rust", &mut out);
        assert_eq!(out[..2], [0x81, 0x84]);
        let unmasked: Vec<u8> = out[6..]
            .iter()
            .zip(out[2..6].iter())
            .map(|(b, m)| b ^ m)
            .collect();
        assert_eq!(unmasked, b"Rust");
    }

    #[test]
    fn two_masks_differ() {
        let mask = || {
            let mut out = Vec::new();
            encode(Role::Client, TEXT, b"x", &mut out);
            out[2..6].to_vec()
        };
        assert!((0..8).any(|_| mask() != mask()));
    }

    #[test]
    fn frames_are_found_again_in_a_batch() {
        let mut frames = Frames::default();
        frames.push(&"one".into(), None);
        frames.push(&vec![1u8; 70_000].into(), Some("state".into()));
        frames.push(&"".into(), None);
        let lens: Vec<usize> = frames
            .iter_from(0)
            .map(|frame| frame.payload.len())
            .collect();
        assert_eq!(lens, [3, 70_000, 0]);
        assert_eq!(frame_len(frames.bytes_from(0)), 5);
        assert_eq!(frame_len(frames.bytes_from(1)), 70_010);
        assert_eq!(frames.bytes_from(2), b"\x81\x00");
        assert_eq!(frames.bytes_from(3), b"");
    }

    #[test]
    fn a_frame_is_shown_on_one_short_line() {
        assert_eq!(Shown(TEXT, b"a\nb").to_string(), r#"TEXT "a\nb" [3 bytes]"#);
        assert_eq!(Shown(BINARY, b"ab").to_string(), "BINARY 61 62 [2 bytes]");
    }
}
