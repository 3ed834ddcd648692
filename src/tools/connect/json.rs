//! An `Event` as one JSON object on one line, for `--json`. Plain data and text.

use data_encoding::BASE64;
use plainws::Message;
use serde_json::Value;

use super::lines::{Event, ending};

/// The line without its end, as `connect --help` documents it; `None` for what is told on stderr only.
/// `uri` is shown as it is.
pub(super) fn line(event: &Event, uri: &str) -> Option<String> {
    let members = match event {
        Event::Open(subprotocol) => {
            let (uri, subprotocol) = (Value::from(uri), Value::from(subprotocol.as_deref()));
            format!(r#""open","uri":{uri},"subprotocol":{subprotocol}"#)
        }
        Event::Message(message) => {
            let (kind, data) = match message {
                Message::Text(text) => ("text", Value::from(text.as_str())),
                Message::Binary(bytes) => ("binary", BASE64.encode(bytes).into()),
            };
            format!(r#""message","type":"{kind}","data":{data}"#)
        }
        Event::Closed(closed) => {
            let (code, reason) = ending(closed);
            let code = code.0;
            // What a connection was lost by has a member of its own.
            let reason = Value::from(if code == 1006 { "" } else { &reason });
            let clean = closed.received.is_some() && closed.sent.is_some();
            let lost = Value::from(closed.lost.as_deref());
            format!(r#""close","code":{code},"reason":{reason},"clean":{clean},"lost":{lost}"#)
        }
        Event::Note(_) => return None,
    };
    Some(format!(r#"{{"event":{members}}}"#))
}

#[cfg(test)]
mod tests {
    use plainws::Closed;

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
