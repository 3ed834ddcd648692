//! `Format`: a record as one line, as text or as JSON. Writes nothing.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, Write};

use log::{Level, LevelFilter, Log, Record};
use simplelog::{ConfigBuilder, WriteLogger};

use super::{LogFormat, json};
use crate::escaped::Escaped;

/// A message is cut here, so that what waits to be written has a bound.
const MAX_MESSAGE: usize = 4096;

/// How lines look. Any thread may use it.
pub(super) struct Format {
    /// `None` is JSON.
    text: Option<Box<WriteLogger<Scratch>>>,
    /// Lines begin with their priority (sd-daemon(3)).
    journal: bool,
}

impl Format {
    pub(super) fn new(format: LogFormat, journal: bool) -> Format {
        let text = (format == LogFormat::Text).then(|| text(journal));
        Format { text, journal }
    }

    /// The record as a line, with its line feed, the only one in it.
    pub(super) fn line(&self, record: &Record<'_>) -> Vec<u8> {
        let mut line = Vec::with_capacity(128);
        if self.journal {
            line.extend_from_slice(priority(record.level()));
        }
        let message = one_line(record.args().to_string());
        match &self.text {
            Some(text) => {
                // Made before: simplelog's lock is held for no longer than its own part takes, and
                // nothing can panic within.
                text.log(
                    &Record::builder()
                        .metadata(record.metadata().clone())
                        .args(format_args!("{message}"))
                        .build(),
                );
                line.append(&mut Scratch::take());
            }
            None => json::append(&mut line, record, &message),
        }
        line
    }
}

fn text(journal: bool) -> Box<WriteLogger<Scratch>> {
    let mut config = ConfigBuilder::new();
    config.set_time_format_rfc3339();
    config
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off);
    config.set_location_level(LevelFilter::Off);
    if journal {
        // It has its own timestamps.
        config.set_time_level(LevelFilter::Off);
    }
    // What is told was decided before.
    WriteLogger::new(LevelFilter::Trace, config.build(), Scratch)
}

/// Syslog's numbers: error, warning, info, debug.
fn priority(level: Level) -> &'static [u8] {
    match level {
        Level::Error => b"<3>",
        Level::Warn => b"<4>",
        Level::Info => b"<6>",
        Level::Debug | Level::Trace => b"<7>",
    }
}

/// Peers' texts are escaped where they are logged; this is for what else may have a line feed in
/// it, an error of the system or of a library.
pub(super) fn one_line(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let len = text.len();
        text.truncate(text.floor_char_boundary(MAX_MESSAGE));
        text.push_str(&format!("... [{len} bytes]"));
    }
    match clean(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(clean) => clean,
    }
}

/// Shows control characters as escapes.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    // Most lines need nothing.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.into();
    }
    format!("{:#}", Escaped(text)).into()
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What simplelog writes to: a buffer of the thread that logs.
struct Scratch;

impl Scratch {
    fn take() -> Vec<u8> {
        LINE.try_with(RefCell::take).unwrap_or_default()
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = LINE.try_with(|line| line.borrow_mut().extend_from_slice(bytes));
        written.map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat, journal: bool, level: Level, message: &str) -> String {
        let format = Format::new(format, journal);
        let line = format.line(
            &Record::builder()
                .level(level)
                .target("plainws::daemon")
                .args(format_args!("{message}"))
                .build(),
        );
        String::from_utf8(line).expect("UTF-8")
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
                let line = line(
                    format,
                    journal,
                    Level::Info,
                    "one\n<3>two\r\u{85}\u{2028}\x1b[m",
                );
                let body = line.strip_suffix('\n').expect("a line feed at the end");
                assert!(!body.contains(char::is_control), "{body:?}");
                assert!(!body.contains('\u{2028}'), "{body:?}");
            }
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let line = line(LogFormat::Text, true, Level::Info, &"é".repeat(10_000));
        assert!(line.len() < MAX_MESSAGE + 100, "{} bytes", line.len());
        assert!(line.ends_with("é... [20000 bytes]\n"), "{line}");
    }
}
