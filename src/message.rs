//! What travels: `Message`, and `CloseCode` and `CloseFrame` of the closing handshake.
//!
//! Plain data without a thread of its own. With `inbox.rs` and `frame.rs` the only place that
//! knows tungstenite's names for these things.

use std::fmt;

use tungstenite::Utf8Bytes;

use crate::error::{Error, Result};
use crate::escaped::Escaped;

/// A whole message, text or binary (RFC 6455, section 5.6). Fragments are put together and
/// control frames handled before you see one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text: valid UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// The text, or `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// The payload: the bytes of the text, or of the binary message.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// The length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty. An empty message is a message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A text as it is; a binary message as `(binary) 00 01 ...` with its size.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Text(text) => f.write_str(text),
            Message::Binary(bytes) => {
                f.write_str("(binary)")?;
                for byte in bytes.iter().take(16) {
                    write!(f, " {byte:02x}")?;
                }
                let more = if bytes.len() > 16 { " ..." } else { "" };
                write!(f, "{more} [{} bytes]", bytes.len())
            }
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Message {
        Message::Text(text.to_owned())
    }
}

impl From<&String> for Message {
    fn from(text: &String) -> Message {
        Message::Text(text.clone())
    }
}

/// A text message may be compared with text.
impl PartialEq<str> for Message {
    fn eq(&self, text: &str) -> bool {
        self.as_text() == Some(text)
    }
}

/// A text message may be compared with text.
impl PartialEq<&str> for Message {
    fn eq(&self, text: &&str) -> bool {
        self.as_text() == Some(*text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Message {
        Message::Text(text)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Message {
        Message::Binary(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Message {
        Message::Binary(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Message {
        Message::Binary(bytes)
    }
}

/// The number that says why a connection was closed (RFC 6455, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose is fulfilled. What a handler that returns closes with.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the server shuts down, or the browser left the page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: a kind of data that is not accepted here.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1005: the peer gave no code. Never sent.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// 1006: the connection was lost without a closing handshake. Never sent.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// 1007: a text message that is not UTF-8.
    pub const INVALID_DATA: CloseCode = CloseCode(1007);
    /// 1008: a rule of this server was broken.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: a message above the size limit.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1011: the handler failed.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1013: try again later. What a client too slow for a stream of messages is closed with.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);

    /// Whether an endpoint may send this code: 1000 to 1003, 1007 to 1014, 3000 to 4999
    /// (RFC 6455, section 7.4.2, and the IANA registry).
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    fn name(self) -> &'static str {
        match self.0 {
            1000 => "OK",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1005 => "no status received",
            1006 => "abnormal closure",
            1007 => "invalid frame payload data",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "mandatory extension",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            1015 => "TLS handshake failure",
            3000..=3999 => "registered",
            4000..=4999 => "private use",
            _ => "unknown",
        }
    }
}

/// `1000 (OK)`.
impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.name())
    }
}

/// What a close frame says: a code and a reason (RFC 6455, section 5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why, as a number; [`CloseCode::NO_STATUS`] if the frame was empty.
    pub code: CloseCode,
    /// Why, in words: at most 123 bytes, often empty.
    pub reason: String,
}

impl CloseFrame {
    /// A reason takes at most this many bytes: 125 of a control frame less 2 of the code.
    const MAX_REASON: usize = 123;

    /// Checks what the caller wants to send.
    pub(crate) fn checked(code: CloseCode, reason: &str) -> Result<CloseFrame> {
        if !code.may_be_sent() {
            return Err(Error::invalid(format!(
                "close code {} may not be sent; take 1000 to 1003, 1007 to 1014 or 3000 to 4999",
                code.0
            )));
        }
        if reason.len() > Self::MAX_REASON {
            return Err(Error::invalid(format!(
                "a close reason of {} bytes is longer than the limit of {} bytes",
                reason.len(),
                Self::MAX_REASON
            )));
        }
        Ok(CloseFrame {
            code,
            reason: reason.to_owned(),
        })
    }

    /// For our own reasons: cut at the limit rather than refused.
    pub(crate) fn cut(code: CloseCode, reason: &str) -> CloseFrame {
        let end = reason.floor_char_boundary_at(Self::MAX_REASON);
        CloseFrame {
            code,
            reason: reason[..end].to_owned(),
        }
    }

    pub(crate) fn to_tungstenite(&self) -> tungstenite::protocol::CloseFrame {
        tungstenite::protocol::CloseFrame {
            code: self.code.0.into(),
            reason: Utf8Bytes::from(self.reason.as_str()),
        }
    }

    /// `None` is a close frame without a code.
    pub(crate) fn from_tungstenite(frame: Option<&tungstenite::protocol::CloseFrame>) -> Self {
        match frame {
            Some(frame) => CloseFrame {
                code: CloseCode(frame.code.into()),
                reason: frame.reason.as_str().to_owned(),
            },
            None => CloseFrame {
                code: CloseCode::NO_STATUS,
                reason: String::new(),
            },
        }
    }
}

/// `1000 (OK)`, or `4000 (private use) bye`: the reason is escaped.
impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", Escaped(&self.reason))?;
        }
        Ok(())
    }
}

/// `str::floor_char_boundary` became stable after our `rust-version`.
trait CharBoundary {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl CharBoundary for str {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at.min(self.len()))
            .rev()
            .find(|&i| self.is_char_boundary(i))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_as_people_read_them() {
        assert_eq!(Message::from("Rust").to_string(), "Rust");
        assert_eq!(
            Message::from(&[0, 255]).to_string(),
            "(binary) 00 ff [2 bytes]"
        );
        let long = Message::from(vec![7; 17]).to_string();
        assert!(long.ends_with("07 ... [17 bytes]"), "{long}");
    }

    #[test]
    fn only_codes_that_may_travel_are_sent() {
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert!(CloseFrame::checked(CloseCode(code), "").is_ok(), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert!(CloseFrame::checked(CloseCode(code), "").is_err(), "{code}");
        }
    }

    #[test]
    fn a_reason_ends_at_123_bytes() {
        assert!(CloseFrame::checked(CloseCode::NORMAL, &"x".repeat(123)).is_ok());
        assert!(CloseFrame::checked(CloseCode::NORMAL, &"x".repeat(124)).is_err());
        let cut = CloseFrame::cut(CloseCode::NORMAL, &"é".repeat(100));
        assert_eq!(cut.reason.len(), 122, "cut between characters");
    }

    #[test]
    fn a_reason_is_shown_escaped() {
        let frame = CloseFrame {
            code: CloseCode(4000),
            reason: "bye\x1b[31m\n".into(),
        };
        assert_eq!(frame.to_string(), r"4000 (private use) bye\x1b[31m\n");
    }
}
