//! Log lines on stderr.

use std::io::{self, LineWriter, Write};
use std::os::unix::fs::MetadataExt;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{Config, ConfigBuilder, WriteLogger};

/// The daemon's own lines, where it listens for example, are told unless they are switched off;
/// the library's about single connections only when they are asked for.
const OWN: &str = "plainws::cli";

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Levels {
    own: LevelFilter,
    library: LevelFilter,
}

/// Starts logging: warnings and the daemon's own lines; with `verbose` 1 connections and failed
/// handshakes, with 2 frames, too; or else exactly what `level` says.
pub(crate) fn start(verbose: u8, level: Option<LevelFilter>) {
    let levels = match (level, verbose) {
        (Some(level), 0) => Levels {
            own: level,
            library: level,
        },
        (None, 0) => Levels {
            own: LevelFilter::Info,
            library: LevelFilter::Warn,
        },
        (_, 1) => Levels {
            own: LevelFilter::Info,
            library: LevelFilter::Info,
        },
        (_, _) => Levels {
            own: LevelFilter::Debug,
            library: LevelFilter::Debug,
        },
    };
    let most = levels.own.max(levels.library);
    // A line is written at once, also when several threads log.
    let lines = WriteLogger::new(most, format(), LineWriter::new(io::stderr()));
    let journal = is_journal();
    let logger = Logger {
        levels,
        lines,
        journal,
    };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(most);
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        log::error!(
            "thread {} panicked at {place}",
            thread.name().unwrap_or("?")
        );
    }));
}

fn format() -> Config {
    let mut config = ConfigBuilder::new();
    config.set_time_format_rfc3339();
    config
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off);
    config.set_location_level(LevelFilter::Off);
    config.build()
}

/// Whether stderr goes to systemd's journal, which has its own timestamps and priorities: the variable names
/// the device and inode of its stream (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

struct Logger {
    levels: Levels,
    lines: Box<WriteLogger<LineWriter<io::Stderr>>>,
    journal: bool,
}

/// With the priority in front that the journal files the line under (sd-daemon(3)); as one write, for
/// several threads log.
fn write_to_journal(record: &Record<'_>) {
    let level = record.level();
    let line = format!("<{}>[{level}] {}\n", priority(level), record.args());
    // A line that cannot be written cannot be told of either.
    let _ = io::stderr().write_all(line.as_bytes());
}

fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let own = metadata.target().starts_with(OWN);
        // tungstenite logs each frame's bytes raw.
        let foreign = !metadata.target().starts_with("plainws");
        let level = if own {
            self.levels.own
        } else {
            self.levels.library
        };
        metadata.level()
            <= if foreign {
                level.min(LevelFilter::Warn)
            } else {
                level
            }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            match self.journal {
                true => write_to_journal(record),
                false => self.lines.log(record),
            }
        }
    }

    fn flush(&self) {
        self.lines.flush();
    }
}
