//! One frame as bytes, and as a line in a log.
//!
//! tungstenite formats headers and masks; nothing here reads a socket.

use std::fmt;
use std::io::Cursor;

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::close::CloseFrame;
use crate::connection::framing::Framing;
use crate::escaped::Escaped;
use crate::message::{Message, dump};

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);

pub(super) fn opcode(message: &Message) -> OpCode {
    match message {
        Message::Text(_) => TEXT,
        Message::Binary(_) => BINARY,
    }
}

pub(super) const PING: OpCode = OpCode::Control(Control::Ping);
pub(super) const PONG: OpCode = OpCode::Control(Control::Pong);

/// Appends one whole frame to `out`. A client's is masked with a key that nobody can foresee
/// (RFC 6455, section 5.3), a server's is not and so is the same for every client.
pub(super) fn encode(framing: Framing, opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let mut header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    // Writing to a vector cannot fail.
    match framing {
        Framing::Events => match opcode {
            OpCode::Data(_) => out.extend_from_slice(payload),
            // A comment, which the browser's script does not see.
            PING => out.extend_from_slice(b": ping\n\n"),
            OpCode::Control(_) => {}
        },
        Framing::Server => {
            out.reserve(header.len(payload.len() as u64) + payload.len());
            let _ = header.format(payload.len() as u64, out);
            out.extend_from_slice(payload);
        }
        Framing::Client => {
            header.mask = Some(rand::random());
            let _ = Frame::from_payload(header, payload.to_vec().into()).format(out);
        }
    }
}

/// Appends a close frame to `out`.
pub(super) fn encode_close(framing: Framing, frame: &CloseFrame, out: &mut Vec<u8>) {
    let close = Frame::close(Some(frame.to_tungstenite()));
    encode(
        framing,
        OpCode::Control(Control::Close),
        close.payload(),
        out,
    );
}

/// The length of the frame that starts `bytes`; all of them if no header is there.
pub(super) fn frame_len(bytes: &[u8]) -> usize {
    let mut cursor = Cursor::new(bytes);
    match FrameHeader::parse(&mut cursor) {
        Ok(Some((_, payload))) => cursor.position() as usize + payload as usize,
        _ => bytes.len(),
    }
}

/// What a message or control frame with so many bytes of payload takes on its way to us at least, in
/// however many fragments (RFC 6455, section 5.2).
pub(super) fn received_len(framing: Framing, payload: usize) -> usize {
    let length = match payload {
        0..126 => 0,
        126..65536 => 2,
        // Without masks the headers of two fragments are shorter than that of one long frame.
        65536..131_071 if framing == Framing::Client => 4,
        _ => 8,
    };
    let mask = if framing == Framing::Server { 4 } else { 0 };
    2 + length + mask + payload
}

/// Whether this is a close frame.
pub(super) fn is_close(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte & 0x0f == 0x08)
}

/// One line for a log: `TEXT "hello" [5 bytes]`, the payload escaped and cut.
pub(super) struct Shown<'a>(pub(super) OpCode, pub(super) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(opcode, payload) = *self;
        write!(f, "{opcode}")?;
        match std::str::from_utf8(payload) {
            Ok(text) if opcode != BINARY => write!(f, " \"{}\"", Escaped(text))?,
            _ => dump(payload, 24, f)?,
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
        encode(Framing::Server, TEXT, b"Rust", &mut out);
        assert_eq!(out, b"\x81\x04Rust");
        out.clear();
        encode(Framing::Client, TEXT, b"Rust", &mut out);
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
            encode(Framing::Client, TEXT, b"x", &mut out);
            out[2..6].to_vec()
        };
        assert!((0..8).any(|_| mask() != mask()));
    }

    #[test]
    fn a_frame_is_shown_on_one_short_line() {
        assert_eq!(Shown(TEXT, b"a\nb").to_string(), r#"TEXT "a\nb" [3 bytes]"#);
        assert_eq!(Shown(BINARY, b"ab").to_string(), "BINARY 61 62 [2 bytes]");
    }
}
