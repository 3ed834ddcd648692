//! `View`: what a client looks at, and in which form it gets an entry. A room of the hub for each form.

use chrono::{DateTime, SecondsFormat};
use data_encoding::BASE64;
use plainws::{Event, Message};

use super::super::journal::{Entry, Kind};
use super::value::as_json;

/// In which form a client gets what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A socket that gets each value as it is.
    Plain,
    /// A socket that gets objects.
    Json,
    /// An event stream of values.
    Events,
    /// An event stream of objects.
    JsonEvents,
}

impl Form {
    pub(super) const ALL: [Form; 4] = [Form::Plain, Form::Json, Form::Events, Form::JsonEvents];

    pub(super) fn is_json(self) -> bool {
        matches!(self, Form::Json | Form::JsonEvents)
    }

    /// Where those are who look at this; `name` may end with `*`.
    pub(super) fn room(self, kind: Kind, name: &str) -> String {
        let form = match self {
            Form::Plain => "plain",
            Form::Json => "json",
            Form::Events => "events",
            Form::JsonEvents => "json-events",
        };
        match kind {
            Kind::Topic => format!("{form}/topic/{name}"),
            Kind::Stream => format!("{form}/stream/{name}"),
        }
    }

    pub(super) fn entry(self, kind: Kind, name: &str, entry: &Entry) -> Message {
        match self {
            Form::Plain => match std::str::from_utf8(&entry.body) {
                Ok(text) if entry.is_text => Message::from(text),
                _ => Message::from(entry.body.to_vec()),
            },
            Form::Json => Message::from(object(kind, name, entry)),
            Form::Events => match text(entry) {
                Some(text) => event(text, Some(entry.id), None),
                None => event(&BASE64.encode(&entry.body), Some(entry.id), Some("base64")),
            },
            Form::JsonEvents => event(&object(kind, name, entry), Some(entry.id), None),
        }
    }

    pub(super) fn deleted(self, name: &str) -> Option<Message> {
        let object = format!(r#"{{"type":"deleted","topic":"{name}"}}"#);
        match self {
            // It says nothing but values.
            Form::Plain => None,
            Form::Json => Some(Message::from(object)),
            Form::Events => Some(event("", None, Some("deleted"))),
            Form::JsonEvents => Some(event(&object, None, None)),
        }
    }

    pub(super) fn users(self, name: &str, count: usize) -> Option<Message> {
        let object = format!(r#"{{"type":"users","topic":"{name}","count":{count}}}"#);
        match self {
            Form::Plain | Form::Events => None,
            Form::Json => Some(Message::from(object)),
            Form::JsonEvents => Some(event(&object, None, None)),
        }
    }

    /// Messages that the client asked for are not kept any more.
    pub(super) fn gone(self, name: &str, oldest: u64) -> Option<Message> {
        let object = format!(r#"{{"type":"gone","topic":"{name}","oldest":{oldest}}}"#);
        match self {
            Form::Plain => None,
            Form::Json => Some(Message::from(object)),
            Form::Events | Form::JsonEvents => Some(event(&object, None, Some("gone"))),
        }
    }
}

/// One entry as an object on one line. A name needs no escapes.
pub(super) fn object(kind: Kind, name: &str, entry: &Entry) -> String {
    let (id, time) = (entry.id, time(entry.time));
    match kind {
        Kind::Topic => {
            let value = field("value", entry);
            format!(r#"{{"type":"state","topic":"{name}","version":{id},"time":"{time}",{value}}}"#)
        }
        Kind::Stream => {
            let data = field("data", entry);
            format!(r#"{{"type":"message","topic":"{name}","id":{id},"time":"{time}",{data}}}"#)
        }
    }
}

/// JSON as JSON, other text as a string, bytes in Base64.
fn field(name: &str, entry: &Entry) -> String {
    match text(entry) {
        Some(text) => {
            let value = as_json(text).unwrap_or_else(|| serde_json::Value::from(text).to_string());
            format!(r#""{name}":{value}"#)
        }
        None => format!(r#""base64":"{}""#, BASE64.encode(&entry.body)),
    }
}

fn text(entry: &Entry) -> Option<&str> {
    let text = std::str::from_utf8(&entry.body).ok();
    text.filter(|_| entry.is_text)
}

/// RFC 3339, in UTC, with milliseconds.
pub(super) fn time(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    let time = time.unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn event(data: &str, id: Option<u64>, name: Option<&str>) -> Message {
    let mut event = Event::new(data);
    if let Some(id) = id {
        event = event.id(id.to_string());
    }
    if let Some(name) = name {
        event = event.name(name);
    }
    Message::from(event.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: &[u8], is_text: bool) -> Entry {
        let (time, media, body) = (1_795_600_000_123, None, body.into());
        Entry {
            id: 7,
            time,
            is_text,
            media,
            body,
        }
    }

    #[test]
    fn an_object_has_json_as_json_text_as_text_and_bytes_as_base64() {
        let cases: [(&[u8], bool, &str); 7] = [
            (b"21.5", true, r#""value":21.5"#),
            (
                b"12345678901234567890123",
                true,
                r#""value":12345678901234567890123"#,
            ),
            (b"{\"a\":\n 1}", true, r#""value":{"a":  1}"#),
            (b"NaN", true, r#""value":"NaN""#),
            (b"", true, r#""value":"""#),
            (b"a \"b\"\n", true, r#""value":"a \"b\"\n""#),
            (b"\xff\x00", false, r#""base64":"/wA=""#),
        ];
        for (body, is_text, value) in cases {
            let object = object(Kind::Topic, "a/b", &entry(body, is_text));
            let start = r#"{"type":"state","topic":"a/b","version":7,"time":"2026-11-"#;
            assert!(object.starts_with(start), "{object}");
            assert!(object.ends_with(&format!(".123Z\",{value}}}")), "{object}");
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(&object);
            assert!(parsed.is_ok(), "{object}");
        }
    }
}
