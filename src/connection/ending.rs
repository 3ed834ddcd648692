//! `Ending`: how far a connection has come on its way to the end, and how it ended.
//!
//! Plain data that the outbox keeps; `closing.rs` acts on it.

use std::io;

use crate::close::{CloseCode, CloseFrame, Closed};
use crate::deadline::Deadline;
use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct Ending {
    pub(super) closed: Closed,
    /// From our close frame on: when the connection is cut.
    pub(super) cut_at: Deadline,
    /// No more frames, in either direction.
    pub(super) over: bool,
}

impl Default for Ending {
    fn default() -> Ending {
        Ending {
            closed: Closed::default(),
            cut_at: Deadline::NEVER,
            over: false,
        }
    }
}

impl Ending {
    /// Whether frames may still be sent: nothing follows our close frame (RFC 6455, section 5.5.1).
    pub(super) fn is_open(&self) -> bool {
        !self.over && self.closed.sent.is_none()
    }

    /// Whether a close frame was sent or received, or the connection was lost.
    pub(super) fn has_begun(&self) -> bool {
        !self.is_open() || self.closed.received.is_some()
    }

    /// Whether both sides have said goodbye.
    pub(super) fn is_complete(&self) -> bool {
        self.closed.sent.is_some() && self.closed.received.is_some()
    }

    pub(super) fn check_open(&self) -> Result<()> {
        match self.is_open() {
            true => Ok(()),
            false => Err(self.error()),
        }
    }

    pub(super) fn error(&self) -> Error {
        Error::Closed(Box::new(self.closed.clone()))
    }

    /// The peer's close frame has come; of several the first counts.
    pub(super) fn received(&mut self, frame: CloseFrame) {
        if self.closed.received.is_none() {
            self.closed.received_first = self.closed.sent.is_none();
            self.closed.received = Some(frame);
        }
    }

    /// What tungstenite answers the peer's close frame with: the same code, if it may be sent.
    pub(super) fn answer(&self) -> Option<CloseFrame> {
        let mut frame = self.closed.received.clone()?;
        if frame.code != CloseCode::NO_STATUS && !frame.code.may_be_sent() {
            frame.code = CloseCode::PROTOCOL_ERROR;
        }
        Some(frame)
    }

    /// The connection is lost, for this reason, unless both sides have said goodbye.
    pub(super) fn lost(&mut self, why: String) {
        if !self.is_complete() {
            self.closed.lost.get_or_insert(why);
        }
    }
}

/// In words: what an error of the socket says about the peer.
pub(super) fn lost_by(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "reset by the peer".to_owned(),
        io::ErrorKind::BrokenPipe => "the peer has gone".to_owned(),
        io::ErrorKind::TimedOut => "the peer does not answer".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_is_answered_with_its_code_if_that_may_be_sent() {
        for (code, answered) in [
            (1000, 1000),
            (4000, 4000),
            (1005, 1005),
            (1006, 1002),
            (999, 1002),
        ] {
            let mut ending = Ending::default();
            ending.received(CloseFrame::cut(CloseCode(code), "why"));
            // The first one counts.
            ending.received(CloseFrame::cut(CloseCode(4001), "again"));
            let answer = ending.answer().map(|frame| frame.code.0);
            assert_eq!(answer, Some(answered), "{code}");
        }
        assert_eq!(Ending::default().answer(), None);
    }
}
