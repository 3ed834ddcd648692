//! Log lines on stderr.

use std::io::{self, LineWriter};
use std::os::unix::fs::MetadataExt;

use log::{LevelFilter, Log, Metadata, Record};
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
    if log::set_boxed_logger(Box::new(Logger { levels, lines })).is_ok() {
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
    if is_journal() {
        config.set_time_level(LevelFilter::Off);
    }
    config.build()
}

/// Whether stderr goes to systemd's journal, which has its own timestamps: the variable names
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
            self.lines.log(record);
        }
    }

    fn flush(&self) {
        self.lines.flush();
    }
}
