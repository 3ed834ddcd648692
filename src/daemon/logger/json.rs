//! A record as a JSON object on one line: time, level, target, thread, message, and then the fields
//! that the record has. Writes to memory only.

use std::thread;

use chrono::{SecondsFormat, Utc};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};
use serde_json::Value as Json;

use super::format::one_line;

/// Appends the object and a line feed.
pub(super) fn append(line: &mut Vec<u8>, record: &Record<'_>, message: &str) {
    // Always the same number of digits, so that text sorts as time does.
    let time = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let thread = thread::current();
    let mut object = Object(line);
    object.0.push(b'{');
    object.first("time", time.into());
    object.next("level", level(record.level()).into());
    object.next("target", record.target().into());
    object.next("thread", thread.name().unwrap_or("?").into());
    object.next("message", message.into());
    // The visitor never fails.
    let _ = record.key_values().visit(&mut object);
    object.0.extend_from_slice(b"}\n");
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// An object under way.
struct Object<'a>(&'a mut Vec<u8>);

impl Object<'_> {
    fn first(&mut self, key: &str, value: Json) {
        let entry = format!("{}:{value}", Json::from(key));
        self.0.extend_from_slice(entry.as_bytes());
    }

    fn next(&mut self, key: &str, value: Json) {
        self.0.push(b',');
        self.first(key, value);
    }
}

impl<'kvs> VisitSource<'kvs> for Object<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = match (value.to_u64(), value.to_i64(), value.to_bool()) {
            (Some(number), ..) => number.into(),
            (_, Some(number), _) => number.into(),
            (.., Some(truth)) => truth.into(),
            _ => one_line(value.to_string()).into(),
        };
        self.next(key.as_str(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(record: &Record<'_>, message: &str) -> Json {
        let mut line = Vec::new();
        append(&mut line, record, message);
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(!line.contains(&b'\n'));
        serde_json::from_slice(&line).expect("an object")
    }

    #[test]
    fn fields_keep_their_types_and_stay_in_their_strings() {
        let fields: [(&str, Value<'_>); 4] = [
            ("code", 1006_u16.into()),
            ("path", r#"/","level":"error"#.into()),
            ("reason", "a\nb\u{202e}".into()),
            ("steps", (-3_i64).into()),
        ];
        let record = Record::builder()
            .level(Level::Info)
            .target("plainws::accept")
            .key_values(&fields)
            .build();
        let object = object(&record, r#"said "so" \n"#);
        assert_eq!(object["level"], "info");
        assert_eq!(object["target"], "plainws::accept");
        assert_eq!(object["message"], r#"said "so" \n"#);
        assert_eq!(object["code"], 1006);
        assert_eq!(object["steps"], -3);
        assert_eq!(object["path"], r#"/","level":"error"#);
        assert_eq!(object["reason"], r"a\nb\u{202e}");
        assert_eq!(object["time"].as_str().map(str::len), Some(27));
    }
}
