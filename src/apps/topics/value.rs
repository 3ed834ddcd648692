//! `Value`: what is set or appended, as it came: bytes, whether they are text, their media type. And a
//! JSON merge patch (RFC 7396) of one.

use plainws::Message;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::super::journal::Entry;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) is_text: bool,
    pub(super) media: Option<Box<str>>,
    pub(super) body: Box<[u8]>,
}

impl From<Message> for Value {
    fn from(message: Message) -> Value {
        let (is_text, body) = match message {
            Message::Text(text) => (true, text.into_bytes()),
            Message::Binary(bytes) => (false, bytes),
        };
        let (media, body) = (None, body.into_boxed_slice());
        Value {
            is_text,
            media,
            body,
        }
    }
}

impl Value {
    /// A request's body. What curl's `-d` and forms call their media type says nothing of a value.
    pub(super) fn received(media: Option<&str>, body: Vec<u8>) -> Value {
        let media = media.map(str::trim).filter(|media| {
            let essence = essence(media);
            !essence.is_empty() && essence != "application/x-www-form-urlencoded"
        });
        let is_text = media.is_none_or(is_text) && std::str::from_utf8(&body).is_ok();
        Value {
            is_text,
            media: media.map(Into::into),
            body: body.into_boxed_slice(),
        }
    }

    /// JSON, as it is written.
    pub(super) fn json(text: String) -> Value {
        Value {
            is_text: true,
            media: Some("application/json".into()),
            body: text.into_bytes().into_boxed_slice(),
        }
    }
}

/// The media type of what is saved.
pub(super) fn media(entry: &Entry) -> &str {
    match &entry.media {
        Some(media) => media,
        None if entry.is_text => "text/plain; charset=utf-8",
        None => "application/octet-stream",
    }
}

/// A media type without its parameters, in lower case.
pub(super) fn essence(media: &str) -> String {
    let essence = media.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn is_text(media: &str) -> bool {
    let essence = essence(media);
    let names = [
        "application/json",
        "application/xml",
        "application/javascript",
    ];
    essence.starts_with("text/")
        || names.contains(&&*essence)
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
}

/// Applies a merge patch to a value. What is no JSON counts as a text.
///
/// # Errors
///
/// When the patch is no JSON, or either is nested too deeply.
pub(super) fn patched(old: Option<&Entry>, patch: &[u8]) -> Result<String, serde_json::Error> {
    let patch: Json = serde_json::from_slice(patch)?;
    let mut target = match old.map(|old| serde_json::from_slice(&old.body)) {
        None => Json::Null,
        Some(Ok(target)) => target,
        // What is nested too deeply is JSON all the same, and must not be lost.
        Some(Err(error)) if old.is_some_and(is_json) => return Err(error),
        Some(Err(_)) => Json::Null,
    };
    merge(&mut target, patch);
    Ok(target.to_string())
}

fn is_json(entry: &Entry) -> bool {
    serde_json::from_slice::<&RawValue>(&entry.body).is_ok()
}

/// RFC 7396, section 2. As deep as the parser lets a patch be: 127 levels.
fn merge(target: &mut Json, patch: Json) {
    let Json::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Json::Object(Map::new());
    }
    if let Json::Object(fields) = target {
        for (name, value) in patch {
            match value {
                Json::Null => drop(fields.remove(&name)),
                value => merge(fields.entry(name).or_insert(Json::Null), value),
            }
        }
    }
}

/// The text if it is JSON, on one line.
pub(super) fn as_json(text: &str) -> Option<String> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    // Between tokens a line end is a space; within a string there is none.
    Some(raw.get().replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patches_are_those_of_the_rfc() {
        // RFC 7396, appendix A.
        let cases = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            ("no JSON", r#"{"a":1}"#, r#"{"a":1}"#),
        ];
        for (old, patch, expected) in cases {
            let body = old.as_bytes().into();
            let old_entry = Entry {
                id: 1,
                time: 0,
                is_text: true,
                media: None,
                body,
            };
            let new = patched(Some(&old_entry), patch.as_bytes());
            assert_eq!(new.ok().as_deref(), Some(expected), "{old} and {patch}");
        }
        assert_eq!(
            patched(None, br#"{"a":1}"#).ok().as_deref(),
            Some(r#"{"a":1}"#)
        );
        let deep = format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000));
        for wrong in ["", "{", "a", deep.as_str()] {
            assert!(patched(None, wrong.as_bytes()).is_err(), "{wrong:.20}");
        }
        let body = deep.into_bytes().into();
        let old = Entry {
            id: 1,
            time: 0,
            is_text: true,
            media: None,
            body,
        };
        assert!(patched(Some(&old), b"{}").is_err(), "it would be lost");
    }

    #[test]
    fn a_body_is_text_if_it_says_so_and_is() {
        type Row<'a> = (Option<&'a str>, &'a [u8], bool, Option<&'a str>);
        let cases: [Row<'_>; 8] = [
            (None, b"21.5", true, None),
            (
                Some("application/x-www-form-urlencoded"),
                b"a=b",
                true,
                None,
            ),
            (
                Some("application/json"),
                b"{}",
                true,
                Some("application/json"),
            ),
            (
                Some("Text/HTML; charset=x"),
                b"<p>",
                true,
                Some("Text/HTML; charset=x"),
            ),
            (
                Some("image/svg+xml"),
                b"<svg/>",
                true,
                Some("image/svg+xml"),
            ),
            (Some("image/png"), b"png", false, Some("image/png")),
            (Some("text/plain"), b"\xff", false, Some("text/plain")),
            (None, b"\xff", false, None),
        ];
        for (media, body, is_text, kept) in cases {
            let value = Value::received(media, body.to_vec());
            let found = (value.is_text, value.media.as_deref());
            assert_eq!(found, (is_text, kept), "{media:?} {body:?}");
        }
    }
}
