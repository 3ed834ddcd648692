//! `Format`: a record as one line, as text (by simplelog) or as JSON. Writes nothing.

use std::cell::RefCell;
use std::io::{self, Write};
use std::thread;

use chrono::{SecondsFormat, Utc};
use clap::ValueEnum;
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Record};
use serde_json::Value as Json;
use simplelog::{ConfigBuilder, WriteLogger};

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
pub(super) struct Format {
    /// `None` is JSON.
    text: Option<Box<WriteLogger<Scratch>>>,
    /// Lines begin with their priority (sd-daemon(3)), and have no time, as the journal has it.
    journal: bool,
}

impl Format {
    pub(super) fn new(format: LogFormat, journal: bool) -> Format {
        let text = (format == LogFormat::Text).then(|| text(journal));
        Format { text, journal }
    }

    /// The record as a line, with its line feed, the only one in it.
    pub(super) fn line(&self, record: &Record<'_>) -> String {
        let priority = if self.journal {
            priority(record.level())
        } else {
            ""
        };
        let message = one_line(&record.args().to_string());
        match &self.text {
            None => format!("{priority}{}\n", object(record, message)),
            Some(text) => {
                // The message is made before: simplelog holds a lock while it writes, within which
                // nothing may panic.
                let message = format_args!("{message}");
                let level = record.level();
                text.log(&Record::builder().level(level).args(message).build());
                priority.to_owned() + &Scratch::take()
            }
        }
    }
}

fn text(journal: bool) -> Box<WriteLogger<Scratch>> {
    let mut config = ConfigBuilder::new();
    config.set_time_format_rfc3339();
    if journal {
        config.set_time_level(LevelFilter::Off);
    }
    config
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off);
    // What is told was decided before.
    WriteLogger::new(LevelFilter::Trace, config.build(), Scratch)
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What simplelog writes a line to: a buffer of the thread that logs.
struct Scratch;

impl Scratch {
    fn take() -> String {
        let line = LINE.try_with(RefCell::take).unwrap_or_default();
        String::from_utf8_lossy(&line).into_owned()
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = LINE.try_with(|line| line.borrow_mut().extend_from_slice(bytes));
        written.map(|()| bytes.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
        Format::new(format, journal).line(
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
