//! `Progress`: how far the message that is being received has come.
//!
//! tungstenite tells whole messages only, and has no deadline and no limit of fragments for the
//! one under way. This follows the frame headers in the bytes that it is given, and judges no
//! frame: that stays tungstenite's.

use std::time::Duration;

use crate::deadline::Deadline;

/// A peer that takes longer from the first to the last byte of a message holds it open on purpose.
pub(crate) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Two bytes, up to eight of length, four of mask (RFC 6455, section 5.2).
const MAX_HEADER: usize = 14;

#[derive(Debug)]
pub(crate) struct Progress {
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// Bytes of the frame's payload that are still to come.
    payload: u64,
    /// The frame under way is of a message, not a ping, pong or close.
    data: bool,
    last: bool,
    /// Between two fragments of a message.
    fragmented: bool,
    /// Headers and payloads of the message so far.
    bytes: usize,
    until: Deadline,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            header: [0; MAX_HEADER],
            header_len: 0,
            payload: 0,
            data: false,
            last: true,
            fragmented: false,
            bytes: 0,
            until: Deadline::NEVER,
        }
    }

    /// Follows these bytes, which come next.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let n = bytes
                    .len()
                    .min(usize::try_from(self.payload).unwrap_or(usize::MAX));
                self.payload -= n as u64;
                self.count(n);
                bytes = &bytes[n..];
            } else {
                self.header[self.header_len] = first;
                self.header_len += 1;
                bytes = rest;
                if self.header_len < self.header_needed() {
                    continue;
                }
                self.start_frame();
            }
            if self.payload == 0 && self.data {
                self.fragmented = !self.last;
                if self.last {
                    self.bytes = 0;
                    self.until = Deadline::NEVER;
                }
            }
        }
    }

    fn header_needed(&self) -> usize {
        if self.header_len < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.header[1] & 0x80 != 0 { 4 } else { 0 }
    }

    fn start_frame(&mut self) {
        let long = &self.header[2..];
        self.payload = match self.header[1] & 0x7f {
            126 => u16::from_be_bytes([long[0], long[1]]).into(),
            127 => long[..8]
                .iter()
                .fold(0, |length, &byte| length << 8 | u64::from(byte)),
            n => n.into(),
        };
        self.data = self.header[0] & 0x08 == 0;
        self.last = self.header[0] & 0x80 != 0;
        self.count(self.header_len);
        self.header_len = 0;
    }

    fn count(&mut self, bytes: usize) {
        if self.data {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    /// Bytes of the unfinished message so far, frame headers included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// By when what has been started must be whole; never, if nothing has.
    pub(crate) fn until(&mut self) -> Deadline {
        let unfinished = self.fragmented || self.payload > 0 || self.header_len > 0;
        if !unfinished {
            self.until = Deadline::NEVER;
        } else if self.until == Deadline::NEVER {
            self.until = Deadline::after(MESSAGE_TIMEOUT);
        }
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload {
            0..126 => bytes.push(0x80 | payload as u8),
            126..65536 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(payload as u64).to_be_bytes());
            }
        }
        bytes.resize(bytes.len() + 4 + payload, 0);
        bytes
    }

    #[test]
    fn whole_messages_leave_nothing_open_however_they_are_cut() {
        let frames = [
            (0x81, 0),
            (0x82, 5),
            (0x81, 126),
            (0x89, 3),
            (0x81, 70_000),
            (0x8a, 0),
        ];
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|&(first, n)| frame(first, n))
            .collect();
        for step in [1, 2, 7, 100_000] {
            let mut progress = Progress::new();
            for piece in bytes.chunks(step) {
                progress.feed(piece);
            }
            assert_eq!(
                (progress.bytes(), progress.until()),
                (0, Deadline::NEVER),
                "{step}"
            );
        }
    }

    #[test]
    fn a_ping_does_not_finish_a_message() {
        let mut progress = Progress::new();
        progress.feed(&frame(0x01, 10));
        let until = progress.until();
        assert_ne!(until, Deadline::NEVER);
        progress.feed(&frame(0x89, 5));
        assert_eq!((progress.bytes(), progress.until()), (16, until));
        progress.feed(&frame(0x00, 0));
        assert_eq!((progress.bytes(), progress.until()), (22, until));
        progress.feed(&frame(0x80, 0));
        assert_eq!((progress.bytes(), progress.until()), (0, Deadline::NEVER));
    }

    #[test]
    fn half_a_frame_behind_a_whole_one_is_seen() {
        let mut progress = Progress::new();
        progress.feed(&[frame(0x81, 3), frame(0x81, 3)[..4].to_vec()].concat());
        assert_ne!(progress.until(), Deadline::NEVER);
        // The next message gets a time of its own.
        progress.feed(&frame(0x81, 3)[4..]);
        assert_eq!(progress.until(), Deadline::NEVER);
    }

    #[test]
    fn the_largest_length_does_not_overflow() {
        let mut progress = Progress::new();
        progress.feed(&[
            0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0,
        ]);
        progress.feed(&[0; 100]);
        assert_eq!(progress.bytes(), 114);
    }
}
