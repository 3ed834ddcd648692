//! How a connection ends: `CloseCode` and `CloseFrame`, what each side says, and `Closed`, the record of it.
//!
//! Plain data without a thread of its own. With `inbox.rs` and `frame.rs` the only place that
//! knows tungstenite's names for these things.

use std::fmt;

use tungstenite::Utf8Bytes;

use crate::escaped::Escaped;

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

    /// Checks what the caller wants to send; else says what is wrong with it.
    pub(crate) fn checked(code: CloseCode, reason: &str) -> Result<CloseFrame, String> {
        if !code.may_be_sent() {
            return Err(format!(
                "close code {} may not be sent; take 1000 to 1003, 1007 to 1014 or 3000 to 4999",
                code.0
            ));
        }
        if reason.len() > Self::MAX_REASON {
            return Err(format!(
                "a close reason of {} bytes is longer than the limit of {} bytes",
                reason.len(),
                Self::MAX_REASON
            ));
        }
        Ok(CloseFrame {
            code,
            reason: reason.to_owned(),
        })
    }

    /// For our own reasons: cut at the limit rather than refused.
    pub(crate) fn cut(code: CloseCode, reason: &str) -> CloseFrame {
        let mut end = reason.len().min(Self::MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
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

/// How a connection ended: the close frames of both sides, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Closed {
    /// The peer's close frame, if one came.
    pub received: Option<CloseFrame>,
    /// Our close frame, if one was sent.
    pub sent: Option<CloseFrame>,
    /// Whether the peer's came first.
    pub received_first: bool,
    /// Why the connection was lost, if it was not closed by two close frames.
    pub lost: Option<String>,
}

impl Closed {
    /// Whether both sides said goodbye, and each with 1000, 1001 or no code at all.
    pub fn is_normal(&self) -> bool {
        let fine = |frame: &Option<CloseFrame>| {
            frame.as_ref().is_some_and(|frame| {
                matches!(
                    frame.code,
                    CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::NO_STATUS
                )
            })
        };
        fine(&self.received) && fine(&self.sent)
    }

    /// The code that tells the reason in one number: of the side that closed first; 1006 if the
    /// connection was lost before either did.
    pub fn code(&self) -> CloseCode {
        let first = if self.received_first {
            self.received.as_ref().or(self.sent.as_ref())
        } else {
            self.sent.as_ref().or(self.received.as_ref())
        };
        first.map_or(CloseCode::ABNORMAL, |frame| frame.code)
    }
}

/// `received 1000 (OK), then sent 1000 (OK)`, or `connection lost: ...`.
impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.received, &self.sent) {
            (Some(received), Some(sent)) if self.received_first => {
                write!(f, "received {received}, then sent {sent}")
            }
            (Some(received), Some(sent)) => write!(f, "sent {sent}, then received {received}"),
            (Some(received), None) => write!(f, "received {received}"),
            (None, Some(sent)) => {
                write!(f, "sent {sent}")?;
                match &self.lost {
                    Some(lost) => write!(f, "; no answer: {lost}"),
                    None => Ok(()),
                }
            }
            (None, None) => {
                let lost = self
                    .lost
                    .as_deref()
                    .unwrap_or("no close frame received or sent");
                write!(f, "connection lost: {lost}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(code: u16) -> Option<CloseFrame> {
        Some(CloseFrame {
            code: CloseCode(code),
            reason: String::new(),
        })
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

    #[test]
    fn closing_is_told_in_the_order_it_happened() {
        let mut closed = Closed {
            received: frame(1001),
            sent: frame(1001),
            ..Closed::default()
        };
        closed.received_first = true;
        assert_eq!(
            closed.to_string(),
            "received 1001 (going away), then sent 1001 (going away)"
        );
        closed.received_first = false;
        assert_eq!(
            closed.to_string(),
            "sent 1001 (going away), then received 1001 (going away)"
        );
        assert!(closed.is_normal());
    }

    #[test]
    fn a_lost_connection_is_not_normal() {
        let closed = Closed {
            sent: frame(1000),
            lost: Some("reset".into()),
            ..Closed::default()
        };
        assert!(!closed.is_normal());
        assert_eq!(closed.to_string(), "sent 1000 (OK); no answer: reset");
        assert_eq!(Closed::default().code(), CloseCode::ABNORMAL);
    }
}
