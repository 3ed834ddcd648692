//! The counter's value across restarts: where it is kept, when it is written, and the exit codes
//! of what can be wrong with it.
//!
//! In come the arguments, out goes the counter's hub. It saves on the hub's thread with
//! `--sync always`, which makes the batch's frames wait for the disk, and on the store's otherwise.

mod store;

mod files;

mod sealed;

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

use crate::apps::{Health, counter};
use files::Failed;
use store::Store;

/// The file in the directory.
const NAME: &str = "counter.json";

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
    /// The value that the store was given last, or had at the start.
    handed: Arc<AtomicI64>,
}

impl State {
    /// Opens the state. What is wrong with it is logged, and is an exit code.
    pub(crate) fn open(given: Option<&Path>, sync: Sync) -> Result<State, ExitCode> {
        let Some(directory) = directory(given) else {
            if sync == Sync::Always {
                error!("--sync always needs a directory to save to: name one with --state-dir");
                return Err(ExitCode::from(USAGE));
            }
            return Ok(State {
                hub: started(counter::hub(0))?,
                store: None,
                handed: Arc::default(),
            });
        };
        let opened = Store::open(&directory, NAME, counter::read);
        let (store, value) = opened.map_err(|failed| {
            error!("{failed}");
            match failed {
                Failed::Damaged(_) => ExitCode::from(DAMAGED),
                Failed::Locked(_) => ExitCode::FAILURE,
                Failed::Io(_) => ExitCode::from(UNUSABLE),
            }
        })?;
        let file = directory.join(NAME);
        match value {
            Some(value) => info!("counter starts with {value}, from {}", file.display()),
            None => info!("counter starts with 0: there is no {} yet", file.display()),
        }
        let (value, store) = (value.unwrap_or(0), Arc::new(store));
        let handed = Arc::new(AtomicI64::new(value));
        let saving = saving(&handed, &store, sync);
        Ok(State {
            hub: started(counter::hub(value).before_delivery(saving))?,
            store: Some(store),
            handed,
        })
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
            store.put(value.to_string());
        }
        let lost = |failed: Failed| Error::other(format!("{failed}: the value {value} is lost"));
        store.flush().map_err(lost)?;
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
            Sync::Second => store.put(value.to_string()),
            Sync::Always => drop(store.save(value.to_string())),
        }
        // After it: whoever sees this value here may rely on the store having it.
        handed.store(value, Ordering::Release);
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

#[cfg(test)]
mod tests;
