//! `Queue`: lines on their way to stderr. Any thread puts them in and never waits; the thread
//! `plainws-log` takes them out and is the only one that waits for who reads stderr.
//!
//! When it is full, lines are dropped and counted, and the count is told as soon as there is room.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use log::{Level, Record};
use rustix::event::{PollFd, PollFlags};

use super::format::Format;

/// Lines that may wait: a burst of a thousand clients that come or go at once. A line has a few
/// hundred bytes, and 10 KiB at most.
const LINES: usize = 1024;
/// It formats and writes, no more.
const STACK_SIZE: usize = 128 * 1024;

/// Lines that nobody could read. Of the process, as its stderr is.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many log lines were dropped so far.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum Entry {
    Line(String),
    /// To be told when all lines before it are written.
    Flushed(Sender<()>),
}

/// A handle to the thread, which lives as long as the process.
pub(super) struct Queue(Sender<Entry>);

impl Queue {
    pub(super) fn start(format: Format) -> io::Result<Queue> {
        let (entries, inbound) = crossbeam_channel::bounded(LINES);
        thread::Builder::new()
            .name("plainws-log".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || Writer { format, told: 0 }.run(&inbound))?;
        Ok(Queue(entries))
    }

    /// Puts a line in, or drops it.
    pub(super) fn push(&self, line: String) {
        if self.0.try_send(Entry::Line(line)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines so far are written, up to a limit.
    pub(super) fn flush(&self, limit: Duration) {
        let start = Instant::now();
        let (done, flushed) = crossbeam_channel::bounded(1);
        if self.0.send_timeout(Entry::Flushed(done), limit).is_ok() {
            let _ = flushed.recv_timeout(limit.saturating_sub(start.elapsed()));
        }
    }
}

/// What the thread owns.
struct Writer {
    format: Format,
    /// Of the dropped lines, how many have been told of.
    told: u64,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        while let Ok(first) = entries.recv() {
            // Asked for first: when they were dropped, what waits now had been said already.
            let dropped = dropped();
            let waiting = entries.len();
            self.take(first);
            for entry in entries.try_iter().take(waiting) {
                self.take(entry);
            }
            self.tell_dropped(dropped);
        }
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Line(line) => {
                if write(line.as_bytes()).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Flushed(done) => {
                self.tell_dropped(dropped());
                let _ = done.send(());
            }
        }
    }

    fn tell_dropped(&mut self, total: u64) {
        let count = total.saturating_sub(self.told);
        if count == 0 {
            return;
        }
        let line = self.format.line(
            &Record::builder()
                .level(Level::Warn)
                .target(module_path!())
                .args(format_args!(
                    "dropped {count} log lines: stderr is read too slowly, or not at all"
                ))
                .build(),
        );
        if write(line.as_bytes()).is_ok() {
            self.told = total;
        }
    }
}

/// Writes to stderr, waiting for room.
fn write(mut line: &[u8]) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    while !line.is_empty() {
        match stderr.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => line = &line[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever else has the same terminal or pipe may have set O_NONBLOCK on it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let room = PollFd::new(&stderr, PollFlags::OUT);
                rustix::event::poll(&mut [room], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
