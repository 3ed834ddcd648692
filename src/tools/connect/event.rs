//! `Event`: what happens to a session, and how people read it. Plain data and text.

use std::fmt::Write;

use plainws::{CloseCode, Closed, Message};

use crate::escaped::Escaped;

/// What happens to a session, told by its receiving thread in order.
#[derive(Debug)]
pub(super) enum Event {
    /// A connection is open; with the subprotocol agreed on.
    Open(Option<String>),
    Message(Message),
    /// A connection has ended. The last one unless the session connects again.
    Closed(Closed),
    /// Something to know, in one sentence: no output of the server.
    Note(String),
}

/// Where text is shown: it decides what is cut and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Binary messages are cut, as a terminal has no use for a thousand lines of hexadecimals.
    Terminal,
    /// Nothing is cut, and tabs stay: programs read columns.
    Pipe,
}

/// At most this many bytes of a binary message are shown in a terminal.
const MAX_BYTES: usize = 256;

/// The text on one line, all of it.
fn escaped(text: &str) -> String {
    format!("{:#}", Escaped(text))
}

/// One message on one line.
pub(super) fn message_line(message: &Message, place: Place) -> String {
    match message {
        Message::Text(text) if place == Place::Terminal => escaped(text),
        Message::Text(text) => {
            let cells: Vec<String> = text.split('\t').map(escaped).collect();
            cells.join("\t")
        }
        Message::Binary(bytes) => {
            let most = match place {
                Place::Terminal => MAX_BYTES,
                Place::Pipe => bytes.len(),
            };
            let mut line = "(binary)".to_owned();
            for byte in bytes.iter().take(most) {
                // Writing to a string cannot fail.
                let _ = write!(line, " {byte:02x}");
            }
            let more = if bytes.len() > most { " ..." } else { "" };
            let _ = write!(line, "{more} [{} bytes]", bytes.len());
            line
        }
    }
}

/// `Connection closed: 4000 (private use) bye.`
pub(super) fn close_line(closed: &Closed) -> String {
    let (code, reason) = ending(closed);
    // The library names it by RFC 6455; for people it is plainly lost.
    let code = match code {
        CloseCode::ABNORMAL => "1006 (connection lost)".to_owned(),
        code => code.to_string(),
    };
    let reason = escaped(reason.trim_end_matches('.'));
    match (reason.as_str(), code.starts_with("1006")) {
        ("", _) => format!("Connection closed: {code}."),
        (reason, true) => format!("Connection closed: {code}: {reason}."),
        (reason, false) => format!("Connection closed: {code} {reason}."),
    }
}

/// The code and the reason that a connection ended with: of the side that closed first, or 1006
/// with what the connection was lost by. A goodbye of ours that nobody answered is lost, too; if
/// it was more than a goodbye, 1009 for example, it still tells most.
pub(super) fn ending(closed: &Closed) -> (CloseCode, String) {
    let unanswered = closed.received.is_none()
        && closed
            .sent
            .as_ref()
            .is_none_or(|sent| sent.code == CloseCode::NORMAL);
    if unanswered {
        let lost = closed.lost.as_deref().unwrap_or("no close frame came");
        let reason = match &closed.sent {
            Some(sent) => format!("no answer to {sent}: {lost}"),
            None => lost.to_owned(),
        };
        return (CloseCode::ABNORMAL, reason);
    }
    let first = match closed.received_first {
        true => closed.received.as_ref(),
        false => closed.sent.as_ref().or(closed.received.as_ref()),
    };
    first.map_or_else(
        || (closed.code(), String::new()),
        |frame| (frame.code, frame.reason.clone()),
    )
}

/// The URI as it may be shown: without the password.
pub(super) fn shown_uri(uri: &str) -> String {
    let start = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[start..]
        .find(['/', '?', '#'])
        .map_or(uri.len(), |at| start + at);
    let authority = &uri[start..end];
    let Some((user, host)) = authority.rsplit_once('@') else {
        return escaped(uri);
    };
    let name = user.split_once(':').map_or(user, |(name, _)| name);
    let user = if name.is_empty() {
        String::new()
    } else {
        format!("{name}@")
    };
    escaped(&format!("{}{user}{host}{}", &uri[..start], &uri[end..]))
}

#[cfg(test)]
mod tests {
    use plainws::CloseFrame;

    use super::*;

    fn frame(code: u16, reason: &str) -> Option<CloseFrame> {
        Some(CloseFrame {
            code: CloseCode(code),
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn a_close_is_told_with_code_meaning_and_reason() {
        let mut closed = Closed {
            received: frame(4000, "bye"),
            sent: frame(4000, "bye"),
            received_first: true,
            ..Closed::default()
        };
        let expected = "Connection closed: 4000 (private use) bye.";
        assert_eq!(close_line(&closed), expected);
        closed.received = frame(1000, "");
        assert_eq!(close_line(&closed), "Connection closed: 1000 (OK).");
        closed.received = frame(1001, "away\x1b[2J.");
        let expected = r"Connection closed: 1001 (going away) away\x1b[2J.";
        assert_eq!(close_line(&closed), expected);
    }

    #[test]
    fn a_lost_connection_is_told_with_what_it_was_lost_by() {
        let mut closed = Closed {
            lost: Some("reset by peer".to_owned()),
            ..Closed::default()
        };
        let expected = "Connection closed: 1006 (connection lost): reset by peer.";
        assert_eq!(close_line(&closed), expected);
        closed.sent = frame(1000, "");
        let expected =
            "Connection closed: 1006 (connection lost): no answer to 1000 (OK): reset by peer.";
        assert_eq!(close_line(&closed), expected);
        closed.sent = frame(1009, "too much");
        let expected = "Connection closed: 1009 (message too big) too much.";
        assert_eq!(close_line(&closed), expected);
    }

    #[test]
    fn a_message_is_one_line() {
        let text = Message::from("a\tb\r\n\x1b[31m\u{9b}\u{202e}é");
        let escapes = r"b\r\n\x1b[31m\x9b\u{202e}é";
        let shown = message_line(&text, Place::Terminal);
        assert_eq!(shown, format!(r"a\t{escapes}"));
        let shown = message_line(&text, Place::Pipe);
        assert_eq!(shown, format!("a\t{escapes}"));
    }

    #[test]
    fn a_large_binary_message_is_cut_in_a_terminal_only() {
        let small = message_line(&Message::from(&[0, 255]), Place::Terminal);
        assert_eq!(small, "(binary) 00 ff [2 bytes]");
        let large = Message::from(vec![7; 1000]);
        let shown = message_line(&large, Place::Terminal);
        assert!(shown.ends_with(" 07 ... [1000 bytes]"), "{shown}");
        assert_eq!(shown.matches(" 07").count(), 256);
        let shown = message_line(&large, Place::Pipe);
        assert_eq!(shown.matches(" 07").count(), 1000);
        assert!(!shown.contains("..."), "{shown}");
    }

    #[test]
    fn a_password_is_not_shown() {
        for (uri, shown) in [
            ("ws://h:1/a@b", "ws://h:1/a@b"),
            ("ws://u:secret@h/", "ws://u@h/"),
            ("ws://u@h?x=u:y@z", "ws://u@h?x=u:y@z"),
            ("ws://:secret@h", "ws://h"),
            ("wss://u:sec@ret@[::1]:8443/", "wss://u@[::1]:8443/"),
            ("u:secret@h", "u@h"),
        ] {
            assert_eq!(shown_uri(uri), shown, "{uri}");
        }
    }
}
