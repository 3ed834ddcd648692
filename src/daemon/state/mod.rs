//! What survives restarts: where it is kept, when it is written, and the exit codes of what can be
//! wrong with it.
//!
//! In come the arguments, out goes the counter's hub, and the journal of topics. They save on their
//! hub's thread with `--sync always`, which makes the batch's frames wait for the disk, and on the
//! store's otherwise.

mod store;

mod database;

mod batch;

mod failed;

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};

use clap::ValueEnum;
use log::{error, info};
use plainws::{Error, Hub, HubBuilder};

use crate::apps::journal::{Change, Journal, Saved};
use crate::apps::{Health, counter};
use failed::Failed;
use store::Store;

/// `--sync` without `--state-dir`: wrong usage, as clap's own.
const USAGE: u8 = 2;
/// There is a value, but none that can be read: `EX_DATAERR` of sysexits.h.
const DAMAGED: u8 = 65;
/// The directory cannot be used: `EX_CONFIG`.
const UNUSABLE: u8 = 78;

/// When a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sync {
    /// Within a second, and at the end.
    Second,
    /// Before any client sees it.
    Always,
}

/// The counter's hub, and the store behind it if there is one.
pub(crate) struct State {
    hub: Hub<i64>,
    store: Option<Arc<Store>>,
    sync: Sync,
    /// The value that the store was given last, or had at the start.
    handed: Arc<AtomicI64>,
}

impl State {
    /// Opens the state. What is wrong with it is logged, and is an exit code.
    pub(crate) fn open(given: Option<&Path>, sync: Sync) -> Result<(State, Saved), ExitCode> {
        let Some(directory) = directory(given) else {
            if sync == Sync::Always {
                error!("--sync always needs a directory to save to: name one with --state-dir");
                return Err(ExitCode::from(USAGE));
            }
            let state = State {
                hub: started(counter::hub(0))?,
                store: None,
                sync,
                handed: Arc::default(),
            };
            return Ok((state, Saved::default()));
        };
        let (store, saved) = Store::open(&directory).map_err(|failed| {
            error!("{failed}");
            match failed {
                Failed::Damaged(_) => ExitCode::from(DAMAGED),
                Failed::Locked(_) => ExitCode::FAILURE,
                Failed::Io(_) => ExitCode::from(UNUSABLE),
            }
        })?;
        let file = store.name();
        if let Some(value) = saved.counter.filter(|value| !counter::is_value(*value)) {
            error!("{file} says that the counter has {value}, which cannot be");
            return Err(ExitCode::from(DAMAGED));
        }
        match saved.counter {
            Some(value) => info!("counter starts with {value}, from {file}"),
            None => info!("counter starts with 0: there is none in {file} yet"),
        }
        let (value, store) = (saved.counter.unwrap_or(0), Arc::new(store));
        let handed = Arc::new(AtomicI64::new(value));
        let saving = saving(&handed, &store, sync);
        let state = State {
            hub: started(counter::hub(value).before_delivery(saving))?,
            store: Some(store),
            sync,
            handed,
        };
        Ok((state, saved))
    }

    /// What keeps the changes of the other applications, if anything is kept.
    pub(crate) fn journal(&self) -> Option<Arc<dyn Journal>> {
        let (store, sync) = (Arc::clone(self.store.as_ref()?), self.sync);
        Some(Arc::new(Recorder { store, sync }))
    }

    pub(crate) fn hub(&self) -> Hub<i64> {
        self.hub.clone()
    }

    pub(crate) fn health(&self) -> Health {
        let store = self.store.clone();
        Health::new(move || store.as_ref().is_some_and(|store| store.is_failing()))
    }

    /// How many messages and states were sent to all.
    pub(crate) fn broadcasts(&self) -> u64 {
        self.hub.broadcasts()
    }

    /// How often it was saved, and how often that failed, if it is saved at all.
    pub(crate) fn saves(&self) -> Option<(u64, u64)> {
        let store = self.store.as_ref()?;
        Some((store.saves(), store.failures()))
    }

    /// Saves what is left to save, once nobody changes it any more: the value, if it is saved.
    pub(crate) fn finish(&self) -> plainws::Result<Option<i64>> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        // What the last clients sent may still wait for the hub's thread.
        let (tell, told) = mpsc::channel();
        self.hub.update(move |value, _| {
            let _ = tell.send(*value);
        });
        let value = told.recv().map_err(Error::other)?;
        // The batch that told it may still be on its way to the store.
        if value != self.handed.load(Ordering::Acquire) {
            store.put([Change::Counter(value)]);
        }
        let lost = |failed: Failed| Error::other(format!("{failed}: the value {value} is lost"));
        store.flush().map_err(lost)?;
        // Here, and not when the last thread has let go of it: the process may end before.
        store.close();
        Ok(Some(value))
    }
}

fn started(hub: HubBuilder<i64>) -> Result<Hub<i64>, ExitCode> {
    hub.start().map_err(|failed| {
        error!("{failed}");
        ExitCode::FAILURE
    })
}

/// What runs after each batch of updates.
fn saving(
    handed: &Arc<AtomicI64>,
    store: &Arc<Store>,
    sync: Sync,
) -> impl FnMut(&mut i64) + Send + 'static {
    let (handed, store) = (Arc::clone(handed), Arc::clone(store));
    move |&mut value| {
        // Most batches of a busy server are of clients that come and go.
        if value == handed.load(Ordering::Relaxed) {
            return;
        }
        // A store that cannot save says so itself, once a minute, and goes on trying; clients are
        // served all the same, and /healthz tells.
        match sync {
            Sync::Second => store.put([Change::Counter(value)]),
            Sync::Always => drop(store.save([Change::Counter(value)])),
        }
        // After it: whoever sees this value here may rely on the store having it.
        handed.store(value, Ordering::Release);
    }
}

/// Records the changes of applications in the store.
struct Recorder {
    store: Arc<Store>,
    sync: Sync,
}

impl Journal for Recorder {
    fn record(&self, changes: &mut Vec<Change>) {
        match self.sync {
            Sync::Second => self.store.put(changes.drain(..)),
            // A store that cannot save says so itself.
            Sync::Always => drop(self.store.save(changes.drain(..))),
        }
    }
}

/// The directory given, or else the first that systemd has made for `StateDirectory=`.
fn directory(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(|| {
        let list = env::var_os("STATE_DIRECTORY")?;
        first(&list).map(PathBuf::from)
    })
}

/// Of a list with colons between (systemd.exec(5)).
fn first(list: &OsStr) -> Option<&OsStr> {
    let first = list.as_bytes().split(|&byte| byte == b':').next()?;
    (!first.is_empty()).then(|| OsStr::from_bytes(first))
}
