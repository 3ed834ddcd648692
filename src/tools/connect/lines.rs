//! `Event`: what happens to a session, and the lines that people read of it. Plain data and text.

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

/// The text on one line, all of it.
fn escaped(text: &str) -> String {
    format!("{:#}", Escaped(text))
}

/// One message on one line of a terminal, which has no use for a thousand lines of hexadecimals.
pub(super) fn terminal_line(message: &Message) -> String {
    match message {
        Message::Text(text) => escaped(text),
        binary => format!("{binary:.256}"),
    }
}

/// One message on one line of a pipe: nothing is cut, and tabs stay, as programs read columns.
pub(super) fn pipe_line(message: &Message) -> String {
    match message {
        Message::Text(text) => {
            let cells: Vec<String> = text.split('\t').map(escaped).collect();
            cells.join("\t")
        }
        binary => format!("{binary:.*}", binary.len()),
    }
}

/// `Connection closed: 4000 (private use) bye.`
pub(super) fn close_line(closed: &Closed) -> String {
    format!("Connection closed: {}.", ending_line(closed))
}

/// `connection lost: REASON`, or how else it ended, for a sentence that goes on.
pub(super) fn lost_line(closed: &Closed) -> String {
    match ending(closed) {
        (CloseCode::ABNORMAL, reason) => format!("connection lost: {}", escaped(&reason)),
        _ => format!("connection closed: {}", ending_line(closed)),
    }
}

fn ending_line(closed: &Closed) -> String {
    let (code, reason) = ending(closed);
    let reason = escaped(reason.trim_end_matches('.'));
    // The library names 1006 by RFC 6455; for people it is plainly lost.
    match (code, reason.as_str()) {
        (CloseCode::ABNORMAL, "") => "1006 (connection lost)".to_owned(),
        (CloseCode::ABNORMAL, reason) => format!("1006 (connection lost): {reason}"),
        (code, "") => code.to_string(),
        (code, reason) => format!("{code} {reason}"),
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
    let at = if name.is_empty() { "" } else { "@" };
    let (scheme, rest) = (&uri[..start], &uri[end..]);
    escaped(&format!("{scheme}{name}{at}{host}{rest}"))
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
        let shown = terminal_line(&text);
        assert_eq!(shown, format!(r"a\t{escapes}"));
        let shown = pipe_line(&text);
        assert_eq!(shown, format!("a\t{escapes}"));
    }

    #[test]
    fn a_large_binary_message_is_cut_in_a_terminal_only() {
        let small = terminal_line(&Message::from(&[0, 255]));
        assert_eq!(small, "(binary) 00 ff [2 bytes]");
        let large = Message::from(vec![7; 1000]);
        let shown = terminal_line(&large);
        assert!(shown.ends_with(" 07 ... [1000 bytes]"), "{shown}");
        assert_eq!(shown.matches(" 07").count(), 256);
        let shown = pipe_line(&large);
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
