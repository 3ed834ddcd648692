//! `Store`: what must survive the end of the process at any moment.
//!
//! In come changes, from any thread; out they go to the database, by the store's own thread
//! (`ws-store`) at most once a second, or by a caller that must have them on disk.

use std::collections::HashSet;
use std::mem;
use std::path::Path;
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{error, warn};

use super::batch::{Batch, Key};
use super::database::Database;
use super::failed::Failed;
use crate::apps::journal::{Change, Saved};
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

/// Keeps changes in a directory, across restarts and crashes. Any thread may use it; it saves what is
/// left, and ends its thread, when it is dropped.
///
/// Where saving fails (a full disk, a file system that has become read-only), the changes stay in
/// memory, an ERROR says so once a minute, and it is tried again until it works.
pub(crate) struct Store {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    /// The file, for messages.
    name: String,
    /// Held while writing, which may take long: only who waits for the disk anyway takes it, and
    /// takes it before `pending`.
    database: Lock<Option<Database>>,
    /// Held for a moment only.
    pending: Lock<Pending>,
    /// Wakes the store's thread.
    changed: Signal,
}

/// What is still to be written, and how writing goes.
struct Pending {
    changes: Batch,
    /// The topics and streams that the disk has, or may have, as a write of them has been tried: a disk
    /// that fails may have taken it all the same.
    on_disk: HashSet<Key>,
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
    /// Opens the state in `directory`, which must be there, and returns what was saved before.
    pub(crate) fn open(directory: &Path) -> Result<(Store, Saved), Failed> {
        let (database, saved) = Database::open(directory)?;
        let on_disk = saved.entries.iter();
        let on_disk = on_disk.map(|(kind, name, _)| (*kind, Arc::clone(name)));
        let inner = Arc::new(Inner {
            name: database.path.display().to_string(),
            pending: Lock::new(Pending::new(on_disk.collect())),
            database: Lock::new(Some(database)),
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
        Ok((store, saved))
    }

    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    /// Takes changes, and returns at once; they are on disk within a second, or as soon as the disk
    /// lets them.
    pub(crate) fn put(&self, changes: impl IntoIterator<Item = Change>) {
        if self.inner.put(changes) {
            self.inner.changed.notify_one();
        }
    }

    /// Takes changes, and returns when they are on disk. Blocks for as long as the disk takes.
    /// After a failure it takes them, but fails at once until the store's own thread, which goes on
    /// trying, has saved: what waits for a broken disk at each change would stand still.
    pub(crate) fn save(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), Failed> {
        self.inner.put(changes);
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

    /// Closes the database in order, whoever still has the store: what comes later is not saved.
    pub(crate) fn close(&self) {
        drop(self.inner.database.lock().take());
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
    fn put(&self, changes: impl IntoIterator<Item = Change>) -> bool {
        let mut pending = self.pending.lock();
        let before = pending.is_unsaved();
        let Pending {
            changes: batch,
            on_disk,
            ..
        } = &mut *pending;
        changes
            .into_iter()
            .for_each(|change| batch.add(change, on_disk));
        !before && pending.is_unsaved()
    }

    /// Writes what there is to write, if another caller has not done it while this one waited: one
    /// write is for both then.
    fn write(&self) -> Result<(), Failed> {
        let mut database = self.database.lock();
        let mut pending: MutexGuard<'_, Pending> = self.pending.lock();
        let mut written = Ok(());
        while written.is_ok() && pending.is_unsaved() {
            let mut batch = mem::take(&mut pending.changes);
            pending.expect(&batch);
            let recovering = pending.pause.is_some();
            pending.written_at = Some(Instant::now());
            pending.is_writing = true;
            drop(pending);
            written = match &mut *database {
                Some(database) => database.write(&batch),
                None => Err(Failed::Io(format!("{} is closed", self.name))),
            };
            pending = self.pending.lock();
            pending.is_writing = false;
            match &written {
                Ok(()) => pending.succeeded(&batch, &self.name),
                Err(error) => {
                    // What came meanwhile is newer.
                    batch.add_all(mem::take(&mut pending.changes));
                    pending.changes = batch;
                    pending.failed(error);
                }
            }
            // What `save` was given meanwhile, and did not wait for, is due at once.
            if !recovering {
                break;
            }
        }
        // After a failure, or when more came meanwhile, without a wake-up as there was something to
        // write already: the rest is for the store's own thread.
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
    fn new(on_disk: HashSet<Key>) -> Pending {
        Pending {
            changes: Batch::default(),
            on_disk,
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
        !self.changes.is_empty()
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

    /// A batch is about to be written.
    fn expect(&mut self, batch: &Batch) {
        let written = batch
            .series
            .iter()
            .filter(|(_, series)| !series.entries.is_empty());
        self.on_disk.extend(written.map(|(key, _)| key.clone()));
    }

    fn succeeded(&mut self, batch: &Batch, name: &str) {
        for (key, series) in &batch.series {
            if series.entries.is_empty() {
                self.on_disk.remove(key);
            }
        }
        self.saves += 1;
        self.pause = None;
        if std::mem::take(&mut self.told) {
            warn!("{name} is saved again");
        }
    }

    fn failed(&mut self, error: &Failed) {
        self.failures += 1;
        let next = self.pause.map_or(INTERVAL, |pause| pause * 2);
        self.pause = Some(next.min(MAX_PAUSE));
        self.complaint.tell(|| {
            error!("{error}; what changes is kept in memory, and saving tried again");
            self.told = true;
        });
    }
}
