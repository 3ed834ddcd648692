//! `Format`: a record as one line, as text or as JSON. Writes nothing.

use std::thread;

use chrono::{SecondsFormat, Utc};
use clap::ValueEnum;
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};
use serde_json::Value as Json;

use crate::escaped::Escaped;

/// A text is cut here, so that what waits to be written has a bound.
const MAX_TEXT: usize = 4096;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// How lines look. Any thread may use it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub(super) format: LogFormat,
    /// Lines begin with their priority (sd-daemon(3)), and have no time, as the journal has it.
    pub(super) journal: bool,
}

impl Format {
    /// The record as a line, with its line feed, the only one in it.
    pub(super) fn line(self, record: &Record<'_>) -> String {
        let priority = if self.journal {
            priority(record.level())
        } else {
            ""
        };
        let message = one_line(&record.args().to_string());
        match self.format {
            LogFormat::Json => format!("{priority}{}\n", object(record, message)),
            LogFormat::Text if self.journal => {
                format!("{priority}[{}] {message}\n", record.level())
            }
            LogFormat::Text => {
                let time = Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true);
                format!("{time} [{}] {message}\n", record.level())
            }
        }
    }
}

/// Syslog's numbers: error, warning, info, debug.
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// Peers' texts are escaped where they are logged; this is for what else may have a line feed in
/// it, an error of the system or of a library.
fn one_line(text: &str) -> String {
    format!("{:.MAX_TEXT$}", Escaped(text))
}

/// A JSON object: time, level, target, thread, message, and then the fields that the record has.
fn object(record: &Record<'_>, message: String) -> String {
    // Always the same number of digits, so that text sorts as time does.
    let time = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let thread = thread::current();
    let mut object = Object(String::new());
    object.push("time", time.into());
    object.push("level", record.level().as_str().to_lowercase().into());
    object.push("target", record.target().into());
    object.push("thread", thread.name().unwrap_or("?").into());
    object.push("message", message.into());
    // The visitor never fails.
    let _ = record.key_values().visit(&mut object);
    object.0 + "}"
}

/// An object under way, its keys in their order.
struct Object(String);

impl Object {
    fn push(&mut self, key: &str, value: Json) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0 += &format!("{}:{value}", Json::from(key));
    }
}

impl<'kvs> VisitSource<'kvs> for Object {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = match (value.to_u64(), value.to_i64(), value.to_bool()) {
            (Some(number), ..) => number.into(),
            (_, Some(number), _) => number.into(),
            (.., Some(truth)) => truth.into(),
            _ => one_line(&value.to_string()).into(),
        };
        self.push(key.as_str(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat, journal: bool, level: Level, message: &str) -> String {
        Format { format, journal }.line(
            &Record::builder()
                .level(level)
                .args(format_args!("{message}"))
                .build(),
        )
    }

    #[test]
    fn in_the_journal_a_line_begins_with_its_priority() {
        for (level, priority) in [
            (Level::Error, "<3>[ERROR] "),
            (Level::Warn, "<4>[WARN] "),
            (Level::Info, "<6>[INFO] "),
            (Level::Debug, "<7>[DEBUG] "),
            (Level::Trace, "<7>[TRACE] "),
        ] {
            let line = line(LogFormat::Text, true, level, "said");
            assert_eq!(line, format!("{priority}said\n"));
        }
    }

    #[test]
    fn a_message_of_several_lines_is_one_line() {
        for format in [LogFormat::Text, LogFormat::Json] {
            for journal in [false, true] {
                let said = "one\n<3>two\r\u{85}\u{2028}\x1b[m";
                let line = line(format, journal, Level::Info, said);
                let body = line.strip_suffix('\n').expect("a line feed at the end");
                assert!(!body.contains(char::is_control), "{body:?}");
                assert!(!body.contains('\u{2028}'), "{body:?}");
            }
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let line = line(LogFormat::Text, true, Level::Info, &"é".repeat(10_000));
        assert!(line.len() < MAX_TEXT + 100, "{} bytes", line.len());
        assert!(line.ends_with("é... [20000 bytes]\n"), "{line}");
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
        let object = object(&record, r#"said "so" \n"#.to_owned());
        let object: Json = serde_json::from_str(&object).expect("an object");
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
