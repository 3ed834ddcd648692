//! `Store`: one small value on disk, which survives the end of the process at any moment.
//!
//! In comes the newest value as text, from any thread; out goes a file that is written to a new
//! name, synced and renamed, by the store's own thread (`ws-store`) at most once a second, or by a
//! caller that must have it on disk. Not a database: one value, of a few bytes, one process.

use std::path::Path;
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{error, warn};

use super::files::{Failed, Files};
use crate::complaint::Complaint;
use crate::deadline::Deadline;
use crate::lock::{Lock, Signal};

/// Between two writes of the store's own: flash wears out.
const INTERVAL: Duration = Duration::from_secs(1);
/// After a failure it waits as long as this, and twice as long after each further one in a row.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// A write that takes longer than this may as well never end.
const HUNG: Duration = Duration::from_secs(10);
/// A lasting trouble is told this often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Keeps one small value in a directory, across restarts and crashes. Any thread may use it; it
/// saves what is left, and ends its thread, when it is dropped.
///
/// Where saving fails (a full disk, a file system that has become read-only), the value stays in
/// memory, an ERROR says so once a minute, and it is tried again until it works.
pub(crate) struct Store {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    /// The newest file, for messages.
    name: String,
    /// Held while writing, which may take long: only who waits for the disk anyway takes it, and
    /// takes it before `pending`.
    files: Lock<Files>,
    /// Held for a moment only.
    pending: Lock<Pending>,
    /// Wakes the store's thread.
    changed: Signal,
}

/// What is still to be written, and how writing goes.
struct Pending {
    newest: Option<Vec<u8>>,
    /// What is on disk, if that is known.
    saved: Option<Vec<u8>>,
    written_at: Option<Instant>,
    is_writing: bool,
    /// Set while saving fails: how long to wait before the next try.
    pause: Option<Duration>,
    complaint: Complaint,
    /// That saving fails was told, and not yet that it works again.
    told: bool,
    saves: u64,
    failures: u64,
    ending: bool,
}

impl Store {
    /// Opens the state `name` in `directory`, which must be there, and returns what was saved last;
    /// `None` if there is nothing yet. A file that is not whole, or that `parse` makes nothing of,
    /// is damaged: then the previous one is taken, and a WARN says so.
    pub(crate) fn open<T>(
        directory: &Path,
        name: &str,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<(Store, Option<T>), Failed> {
        let (files, value) = Files::open(directory, name, parse)?;
        let inner = Arc::new(Inner {
            name: files.newest(),
            pending: Lock::new(Pending::new(files.saved().map(<[u8]>::to_vec))),
            files: Lock::new(files),
            changed: Signal::new(),
        });
        let own = Arc::clone(&inner);
        let thread = thread::Builder::new()
            .name("ws-store".to_owned())
            .spawn(move || own.run())
            .map_err(|error| Failed::io("cannot start the thread of a store", &error))?;
        let store = Store {
            inner,
            thread: Some(thread),
        };
        Ok((store, value))
    }

    /// Takes a new value, and returns at once; it is on disk within a second, or as soon as the
    /// disk lets it. Of values that follow closely the last one is written, and nothing if that
    /// is what is there already.
    pub(crate) fn put(&self, value: impl Into<Vec<u8>>) {
        if self.inner.put(value.into()) {
            self.inner.changed.notify_one();
        }
    }

    /// Takes a new value, and returns when it is on disk. Blocks for as long as the disk takes.
    /// After a failure it takes the value, but fails at once until the store's own thread, which
    /// goes on trying, has saved: what waits for a broken disk at each change would stand still.
    pub(crate) fn save(&self, value: impl Into<Vec<u8>>) -> Result<(), Failed> {
        self.inner.put(value.into());
        if self.is_failing() {
            let why = "saving has failed, and will be tried again";
            return Err(Failed::Io(format!(
                "cannot save {}: {why}",
                self.inner.name
            )));
        }
        self.inner.write()
    }

    /// Tries to write what is not on disk yet, whatever happened before. Blocks as
    /// [`save`](Store::save).
    pub(crate) fn flush(&self) -> Result<(), Failed> {
        self.inner.write()
    }

    /// Whether the last try to save has failed, or has been going on for more than 10 seconds, so
    /// that what is on disk is older than what was put.
    pub(crate) fn is_failing(&self) -> bool {
        self.inner.pending.lock().is_failing(Instant::now())
    }

    /// How many times a value was saved.
    pub(crate) fn saves(&self) -> u64 {
        self.inner.pending.lock().saves
    }

    /// How many times saving has failed.
    pub(crate) fn failures(&self) -> u64 {
        self.inner.pending.lock().failures
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.inner.pending.lock().ending = true;
        self.inner.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Inner {
    /// Whether there is something to write now, and was not before.
    fn put(&self, value: Vec<u8>) -> bool {
        let mut pending = self.pending.lock();
        let before = pending.is_unsaved();
        pending.newest = Some(value);
        !before && pending.is_unsaved()
    }

    /// Writes the newest value, unless it is on disk already: then another caller did it while
    /// this one waited, and one write was for both.
    fn write(&self) -> Result<(), Failed> {
        let mut files = self.files.lock();
        let mut pending: MutexGuard<'_, Pending> = self.pending.lock();
        let mut written = Ok(());
        while written.is_ok() && pending.is_unsaved() {
            let value = pending.newest.clone().unwrap_or_default();
            let recovering = pending.pause.is_some();
            pending.written_at = Some(Instant::now());
            pending.is_writing = true;
            drop(pending);
            written = files.replace(&value);
            pending = self.pending.lock();
            pending.is_writing = false;
            match &written {
                Ok(()) => pending.succeeded(value, &self.name),
                Err(error) => pending.failed(error),
            }
            // What `save` was given meanwhile, and did not wait for, is due at once.
            if !recovering {
                break;
            }
        }
        // After a failure, or when a newer value came meanwhile, without a wake-up as there was
        // something to write already: the rest is for the store's own thread.
        if pending.is_unsaved() {
            self.changed.notify_one();
        }
        written
    }

    /// The store's own thread.
    fn run(&self) {
        let mut pending = self.pending.lock();
        while !pending.ending {
            let due = pending.due();
            if due.has_passed() {
                drop(pending);
                // What goes wrong has been told.
                let _ = self.write();
                pending = self.pending.lock();
            } else {
                pending = self.changed.wait(pending, due);
            }
        }
        drop(pending);
        let _ = self.write();
    }
}

impl Pending {
    fn new(saved: Option<Vec<u8>>) -> Pending {
        Pending {
            newest: None,
            saved,
            written_at: None,
            is_writing: false,
            pause: None,
            complaint: Complaint::every(TELL_EVERY),
            told: false,
            saves: 0,
            failures: 0,
            ending: false,
        }
    }

    fn is_unsaved(&self) -> bool {
        self.newest.is_some() && self.newest != self.saved
    }

    fn is_failing(&self, now: Instant) -> bool {
        let since = self.written_at.filter(|_| self.is_writing);
        let took = since.map(|since| now.saturating_duration_since(since));
        self.pause.is_some() || took.is_some_and(|took| took > HUNG)
    }

    /// When to write: never while there is nothing to write, and the first time at once.
    fn due(&self) -> Deadline {
        if !self.is_unsaved() {
            return Deadline::NEVER;
        }
        let pause = self.pause.unwrap_or(INTERVAL);
        self.written_at
            .map_or(Deadline::after(Duration::ZERO), |at| {
                Deadline::at(at + pause)
            })
    }

    fn succeeded(&mut self, value: Vec<u8>, name: &str) {
        self.saved = Some(value);
        self.saves += 1;
        self.pause = None;
        if std::mem::take(&mut self.told) {
            warn!("{name} is saved again");
        }
    }

    fn failed(&mut self, error: &Failed) {
        // Either value may be on disk now. Not knowing makes it be written again.
        self.saved = None;
        self.failures += 1;
        let next = self.pause.map_or(INTERVAL, |pause| pause * 2);
        self.pause = Some(next.min(MAX_PAUSE));
        self.complaint.tell(|| {
            error!("{error}; the value is kept in memory, and saving tried again");
            self.told = true;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_does_not_end_is_a_failure() {
        let start = Instant::now();
        let mut pending = Pending {
            written_at: Some(start),
            is_writing: true,
            ..Pending::new(None)
        };
        assert!(!pending.is_failing(start + HUNG));
        assert!(pending.is_failing(start + HUNG + Duration::from_millis(1)));
        pending.is_writing = false;
        assert!(!pending.is_failing(start + HUNG * 2));
    }

    #[test]
    fn tries_become_rarer_up_to_ten_seconds() {
        let mut pending = Pending {
            newest: Some(b"5".to_vec()),
            ..Pending::new(None)
        };
        let start = Instant::now();
        assert!(pending.due().has_passed(), "the first is for now");
        pending.written_at = Some(start);
        let failure = || Failed::Io("cannot save: no disk".to_owned());
        let wait = |pending: &Pending| Some((pending.due().instant()? - start).as_secs());
        let pauses: Vec<_> = (0..6)
            .map(|_| {
                pending.failed(&failure());
                wait(&pending)
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10].map(Some));
        pending.succeeded(b"5".to_vec(), "it");
        assert_eq!(pending.due(), Deadline::NEVER);
        pending.newest = Some(b"6".to_vec());
        assert_eq!(wait(&pending), Some(1));
    }
}
