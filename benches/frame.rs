//! Frames, as far as a benchmark needs them: small masked ones out, unmasked unfragmented ones in.

use std::ops::Range;

use crate::Result;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A complete frame at the start of some bytes.
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    /// Where its payload stands; the frame ends with it.
    pub(crate) payload: Range<usize>,
}

/// Makes a client's frame.
///
/// # Panics
/// If the payload is longer than the 125 bytes of a short frame.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let length = u8::try_from(payload.len())
        .ok()
        .filter(|&length| length < 126)
        .expect("the benchmark sends short frames");
    let mut frame = vec![0x80 | opcode, 0x80 | length];
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// Finds the first frame of a server's bytes, if it is complete.
///
/// # Errors
/// If it is masked, fragmented or uses an extension.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Frame>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 || first & 0x0f == 0 {
        return Err(format!(
            "the server sent a masked, fragmented or extended frame: {first:02x} {second:02x}"
        ));
    }
    let (header, length) = match second {
        126 => match rest.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length) as usize),
            None => return Ok(None),
        },
        length => (2, usize::from(*length)),
    };
    if bytes.len() - header < length {
        return Ok(None);
    }
    Ok(Some(Frame {
        opcode: first & 0x0f,
        payload: header..header + length,
    }))
}
