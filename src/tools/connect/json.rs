//! An `Event` as one JSON object on one line, for `--json`. Plain data and text.

use data_encoding::BASE64;
use plainws::{Closed, Message};
use serde::Serialize;

use super::event::{Event, ending};

/// The shapes that `connect --help` documents.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Shape<'a> {
    Open {
        uri: &'a str,
        subprotocol: Option<&'a str>,
    },
    Message {
        #[serde(rename = "type")]
        kind: &'a str,
        data: &'a str,
    },
    Close {
        code: u16,
        reason: &'a str,
        clean: bool,
        lost: Option<&'a str>,
    },
}

/// The line without its end; `None` for what is told on stderr only. `uri` is shown as it is.
pub(super) fn line(event: &Event, uri: &str) -> Option<String> {
    match event {
        Event::Open(subprotocol) => text(&Shape::Open {
            uri,
            subprotocol: subprotocol.as_deref(),
        }),
        Event::Message(Message::Text(data)) => text(&Shape::Message { kind: "text", data }),
        Event::Message(Message::Binary(bytes)) => text(&Shape::Message {
            kind: "binary",
            data: &BASE64.encode(bytes),
        }),
        Event::Closed(closed) => close(closed),
        Event::Note(_) => None,
    }
}

fn close(closed: &Closed) -> Option<String> {
    let (code, reason) = ending(closed);
    text(&Shape::Close {
        code: code.0,
        // What a connection was lost by has a field of its own.
        reason: if code.0 == 1006 { "" } else { &reason },
        clean: closed.received.is_some() && closed.sent.is_some(),
        lost: closed.lost.as_deref(),
    })
}

fn text(shape: &Shape<'_>) -> Option<String> {
    // Strings and numbers can always be written.
    serde_json::to_string(shape).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_are_those_of_the_help() {
        let line = |event| line(&event, "ws://localhost:8765").unwrap_or_default();
        let shown = [
            line(Event::Open(None)),
            line(Event::Message("Hello Rust!".into())),
            line(Event::Message(Message::from(&[0, 255]))),
            line(Event::Closed(Closed {
                lost: Some("reset".to_owned()),
                ..Closed::default()
            })),
        ];
        let expected = [
            r#"{"event":"open","uri":"ws://localhost:8765","subprotocol":null}"#,
            r#"{"event":"message","type":"text","data":"Hello Rust!"}"#,
            r#"{"event":"message","type":"binary","data":"AP8="}"#,
            r#"{"event":"close","code":1006,"reason":"","clean":false,"lost":"reset"}"#,
        ];
        assert_eq!(shown, expected);
    }
}
