//! The daemon's log: which lines are told, made into text or JSON in the thread that has something to
//! say, and written to stderr by a thread of their own (`plainws-log`).
//!
//! Nobody waits for stderr: lines are written while locks are held that other clients need.

mod format;
mod json;
mod queue;

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use log::{LevelFilter, Log, Metadata, Record};

use format::Format;
use queue::Queue;

pub(crate) use queue::dropped;

/// The daemon's own lines, where it listens for example, are told unless they are switched off;
/// the library's about single connections only when they are asked for.
const OWN: &str = "plainws::daemon";

/// The target of lines that are told at every level but off, as nobody could know otherwise: which
/// port the system has chosen.
pub(crate) const CHOSEN: &str = "plainws::daemon::chosen";

/// At the end, for so long a slow reader of stderr is waited for.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Levels {
    own: LevelFilter,
    library: LevelFilter,
}

/// Starts logging: warnings and the daemon's own lines; with `verbose` 1 connections and failed
/// handshakes, with 2 frames, too; or else exactly what `level` says.
pub(crate) fn start(verbose: u8, level: Option<LevelFilter>, format: LogFormat) -> io::Result<()> {
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
    let format = Arc::new(Format::new(format, is_journal()));
    let queue = Queue::start(Arc::clone(&format))?;
    let logger = Logger {
        levels,
        format,
        queue,
    };
    let most = logger.most();
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(most);
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("?");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        log::error!("thread {name} panicked at {place}");
        // Any other thread's panic ends one connection or one update, and may hold a lock.
        if name == "main" {
            flush();
        }
    }));
    Ok(())
}

/// Waits until what was logged so far is written, but not for long.
pub(crate) fn flush() {
    log::logger().flush();
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
    format: Arc<Format>,
    queue: Queue,
}

impl Logger {
    /// What the macros need not even ask about.
    fn most(&self) -> LevelFilter {
        match self.levels.own.max(self.levels.library) {
            LevelFilter::Off => LevelFilter::Off,
            most => most.max(LevelFilter::Info),
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        if target == CHOSEN {
            return self.levels.own != LevelFilter::Off;
        }
        // tungstenite logs each frame's bytes raw.
        let foreign = !target.starts_with("plainws");
        let level = if target.starts_with(OWN) {
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
            self.queue.push(self.format.line(record));
        }
    }

    fn flush(&self) {
        self.queue.flush(FLUSH_TIMEOUT);
    }
}
