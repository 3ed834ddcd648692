//! The daemon's log: which lines are told, made into text or JSON in the thread that has something to
//! say, and written to stderr by a thread of their own (`plainws-log`).
//!
//! Nobody waits for stderr: lines are written while locks are held that other clients need.

mod queue;

mod format;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};

use format::Format;
use queue::Queue;

pub(crate) use format::LogFormat;
pub(crate) use queue::dropped;

/// The daemon's own lines, where it listens for example, are told unless they are switched off;
/// the library's about single connections only when they are asked for.
const OWN: &str = "plainws::daemon";

/// The target of lines that are told at every level but off, as nobody could know otherwise: which
/// port the system has chosen.
pub(crate) const CHOSEN: &str = "plainws::daemon::chosen";

/// At the end, for so long a slow reader of stderr is waited for.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts logging: warnings and the daemon's own lines; with `verbose` 1 connections and failed
/// handshakes, with 2 frames, too; or else exactly what `level` says.
pub(crate) fn start(verbose: u8, level: Option<LevelFilter>, format: LogFormat) -> io::Result<()> {
    let (own, library) = match (level, verbose) {
        (Some(level), 0) => (level, level),
        (None, 0) => (LevelFilter::Info, LevelFilter::Warn),
        (_, 1) => (LevelFilter::Info, LevelFilter::Info),
        (_, _) => (LevelFilter::Debug, LevelFilter::Debug),
    };
    let journal = is_journal();
    let logger = Logger {
        own,
        library,
        format: Format::new(format, journal),
        queue: Queue::start(Format::new(format, journal))?,
    };
    // What the macros need not even ask about.
    let most = match own.max(library) {
        LevelFilter::Off => LevelFilter::Off,
        most => most.max(LevelFilter::Info),
    };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(most);
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("?");
        let at = panic.location().map(ToString::to_string);
        log::error!("thread {name} panicked at {}", at.unwrap_or_default());
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
    own: LevelFilter,
    library: LevelFilter,
    format: Format,
    queue: Queue,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = match metadata.target() {
            CHOSEN => return self.own != LevelFilter::Off,
            target if target.starts_with(OWN) => self.own,
            target if target.starts_with("plainws") => self.library,
            // tungstenite logs each frame's bytes raw.
            _ => self.library.min(LevelFilter::Warn),
        };
        metadata.level() <= level
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
