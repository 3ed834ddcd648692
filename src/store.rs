//! `Store`: one small value on disk, which survives the end of the process at any moment.
//!
//! In comes the newest value as bytes, from any thread; out goes a file that is written to a new
//! name, synced and renamed, by the store's own thread (`ws-store`) at most once a second, or by a
//! caller that must have it on disk. Not a database: one value, of at most 64 KiB, one process.

mod files;
mod sealed;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{error, warn};

use crate::error::{Error, Result};
use files::Files;

/// The largest value. It is written whole each time.
const MAX_VALUE: usize = 64 * 1024;
/// Between two writes of the store's own: flash wears out.
const INTERVAL: Duration = Duration::from_secs(1);
/// After a failure it waits as long as this, and twice as long after each further one in a row.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// A write that takes longer than this may as well never end.
const HUNG: Duration = Duration::from_secs(10);
/// A lasting trouble is told this often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Keeps one small value in a directory, across restarts and crashes.
///
/// `counter.json` always holds a whole value, the newest that was saved; `counter.json.previous`
/// the one before. Where saving fails (a full disk, a file system that has become read-only), the
/// value stays in memory, an ERROR says so once a minute, and it is tried again until it works.
///
/// # Threads
///
/// Any thread may use it. Its own thread (`ws-store`) writes what was [`put`](Store::put), at most
/// once a second, and what is left when the store is dropped; it sleeps while nothing changes, and
/// then nothing is written.
///
/// ```
/// use plainws::Store;
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<i64>().ok();
///
/// let (store, value) = Store::open(directory, "counter.json", number)?;
/// assert_eq!(value, None); // there is none yet
/// store.put("5")?;         // on disk within a second
/// store.save("6")?;        // on disk
/// drop(store);
///
/// let (_store, value) = Store::open(directory, "counter.json", number)?;
/// assert_eq!(value, Some(6));
/// # Ok::<(), plainws::Error>(())
/// ```
#[must_use = "dropping it saves, and ends its thread"]
pub struct Store {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    /// The newest file, for messages.
    name: String,
    /// Held while writing, which may take long: only who waits for the disk anyway takes it, and
    /// takes it before `pending`.
    files: Mutex<Files>,
    /// Held for a moment only.
    pending: Mutex<Pending>,
    /// Wakes the store's thread.
    changed: Condvar,
}

/// What is still to be written, and how writing goes.
#[derive(Default)]
struct Pending {
    newest: Option<Vec<u8>>,
    /// What is on disk, if that is known.
    saved: Option<Vec<u8>>,
    written_at: Option<Instant>,
    is_writing: bool,
    /// Set while saving fails: how long to wait before the next try.
    pause: Option<Duration>,
    complaint: Complaint,
    saves: u64,
    failures: u64,
    ending: bool,
}

impl Store {
    /// Opens the state `name` in `directory`, which must be there, and returns what was saved last;
    /// `None` if there is nothing yet.
    ///
    /// A file that is not whole, or that `parse` makes nothing of, is damaged: then the previous
    /// one is taken, and a WARN says so. Neither a FIFO nor a file of any size is waited for or
    /// read whole. `name` is that of the file; `name.previous`, `name.new` and `name.lock` stand
    /// beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if there is a value and all of it is damaged, which is left as it is;
    /// [`Error::Locked`] while another store has it open; [`Error::Io`] if the directory cannot be
    /// used, or a file not be read.
    pub fn open<T>(
        directory: impl AsRef<Path>,
        name: &str,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<(Store, Option<T>)> {
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(Error::Invalid(
                "the name of a state is the name of a file, such as counter.json".to_owned(),
            ));
        }
        let (files, value) = Files::open(directory.as_ref(), name, parse)?;
        let inner = Arc::new(Inner {
            name: files.newest(),
            pending: Mutex::new(Pending {
                saved: files.value(),
                ..Pending::default()
            }),
            files: Mutex::new(files),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&inner);
        let thread = thread::Builder::new()
            .name("ws-store".to_owned())
            .spawn(move || own.run())
            .map_err(|error| Error::io("cannot start the thread of a store", error))?;
        let store = Store {
            inner,
            thread: Some(thread),
        };
        Ok((store, value))
    }

    /// Takes a new value, and returns at once; it is on disk within a second, or as soon as the
    /// disk lets it. Of values that follow closely the last one is written, and nothing if that
    /// is what is there already. JSON makes the file one that people and programs can read.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for more than 64 KiB.
    pub fn put(&self, value: impl Into<Vec<u8>>) -> Result<()> {
        if self.inner.put(value.into())? {
            self.inner.changed.notify_one();
        }
        Ok(())
    }

    /// Takes a new value, and returns when it is on disk. Blocks for as long as the disk takes.
    /// After a failure it takes the value, but fails at once until the store's own thread, which
    /// goes on trying, has saved: what waits for a broken disk at each change would stand still.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it could not be written, [`Error::Invalid`] for more than 64 KiB.
    pub fn save(&self, value: impl Into<Vec<u8>>) -> Result<()> {
        self.inner.put(value.into())?;
        if self.is_failing() {
            return Err(self.inner.still_failing());
        }
        self.inner.write()
    }

    /// Tries to write what is not on disk yet, whatever happened before. Blocks as
    /// [`save`](Store::save).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it could not be written.
    pub fn flush(&self) -> Result<()> {
        self.inner.write()
    }

    /// Whether the last try to save has failed, or has been going on for more than 10 seconds, so
    /// that what is on disk is older than what was put.
    pub fn is_failing(&self) -> bool {
        self.inner.pending().is_failing(Instant::now())
    }

    /// How many times a value was saved.
    pub fn saves(&self) -> u64 {
        self.inner.pending().saves
    }

    /// How many times saving has failed.
    pub fn failures(&self) -> u64 {
        self.inner.pending().failures
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.inner.pending().ending = true;
        self.inner.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("saves", &self.saves())
            .field("failures", &self.failures())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something to write now, and was not before.
    fn put(&self, value: Vec<u8>) -> Result<bool> {
        if value.len() > MAX_VALUE {
            let len = value.len();
            return Err(Error::Invalid(format!(
                "a state of {len} bytes is too large, {MAX_VALUE} are allowed"
            )));
        }
        let mut pending = self.pending();
        let before = pending.is_unsaved();
        pending.newest = Some(value);
        Ok(!before && pending.is_unsaved())
    }

    /// Writes the newest value, unless it is on disk already: then another caller did it while
    /// this one waited, and one write was for both.
    fn write(&self) -> Result<()> {
        let mut files = self.files();
        let mut pending = self.pending();
        let mut written = Ok(());
        while written.is_ok() && pending.is_unsaved() {
            let value = pending.newest.clone().unwrap_or_default();
            let recovering = pending.pause.is_some();
            pending.written_at = Some(Instant::now());
            pending.is_writing = true;
            drop(pending);
            written = files.replace(&value);
            pending = self.pending();
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

    fn still_failing(&self) -> Error {
        Error::io(
            format!("cannot save {}", self.name),
            std::io::Error::other("saving has failed, and will be tried again"),
        )
    }

    /// The store's own thread.
    fn run(&self) {
        let mut pending = self.pending();
        while !pending.ending {
            let now = Instant::now();
            pending = match pending.due(now) {
                None => self
                    .changed
                    .wait(pending)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) if due > now => {
                    let waited = self.changed.wait_timeout(pending, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    drop(pending);
                    // What goes wrong has been told.
                    let _ = self.write();
                    self.pending()
                }
            };
        }
        drop(pending);
        let _ = self.write();
    }
}

impl Pending {
    fn is_unsaved(&self) -> bool {
        self.newest.is_some() && self.newest != self.saved
    }

    fn is_failing(&self, now: Instant) -> bool {
        let since = self.written_at.filter(|_| self.is_writing);
        let took = since.map(|since| now.saturating_duration_since(since));
        self.pause.is_some() || took.is_some_and(|took| took > HUNG)
    }

    /// When to write, if there is anything to write.
    fn due(&self, now: Instant) -> Option<Instant> {
        let pause = self.pause.unwrap_or(INTERVAL);
        self.is_unsaved()
            .then(|| self.written_at.map_or(now, |at| at + pause))
    }

    fn succeeded(&mut self, value: Vec<u8>, name: &str) {
        self.saved = Some(value);
        self.saves += 1;
        self.pause = None;
        if self.complaint.is_over() {
            warn!("{name} is saved again");
        }
    }

    fn failed(&mut self, error: &Error) {
        // Either value may be on disk now. Not knowing makes it be written again.
        self.saved = None;
        self.failures += 1;
        let next = self.pause.map_or(INTERVAL, |pause| pause * 2);
        self.pause = Some(next.min(MAX_PAUSE));
        if self.complaint.is_due(Instant::now()) {
            error!("{error}; the value is kept in memory, and saving tried again");
        }
    }
}

/// Says what lasts once a minute, also if it comes and goes, and once that it is over.
#[derive(Default)]
struct Complaint {
    told: Option<Instant>,
    open: bool,
}

impl Complaint {
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        if due {
            self.told = Some(now);
            self.open = true;
        }
        due
    }

    fn is_over(&mut self) -> bool {
        std::mem::take(&mut self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_a_minute_and_its_end_once() {
        let mut complaint = Complaint::default();
        let start = Instant::now();
        let mut due = |seconds| complaint.is_due(start + Duration::from_secs(seconds));
        let told: Vec<u64> = (0..200).filter(|&second| due(second)).collect();
        assert_eq!(told, [0, 60, 120, 180]);
        assert!(complaint.is_over() && !complaint.is_over());
        // It comes back within the minute: there is nothing new to say.
        assert!(!complaint.is_due(start + Duration::from_secs(201)));
        assert!(!complaint.is_over());
        assert!(complaint.is_due(start + Duration::from_secs(240)));
    }

    #[test]
    fn a_write_that_does_not_end_is_a_failure() {
        let start = Instant::now();
        let mut pending = Pending {
            written_at: Some(start),
            is_writing: true,
            ..Pending::default()
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
            ..Pending::default()
        };
        let start = Instant::now();
        assert_eq!(pending.due(start), Some(start), "the first is for now");
        pending.written_at = Some(start);
        let failure = || Error::io("cannot save", std::io::Error::other("no disk"));
        let pauses: Vec<u64> = (0..6)
            .map(|_| {
                pending.failed(&failure());
                (pending.due(start).expect("due") - start).as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        pending.succeeded(b"5".to_vec(), "it");
        assert_eq!(pending.due(start), None);
        pending.newest = Some(b"6".to_vec());
        assert_eq!(pending.due(start), Some(start + INTERVAL));
    }
}
