//! What must survive a restart, of all applications: `Change` by `Change` to a `Journal`, and what was
//! `Saved` before. How that is kept is the daemon's business.

use std::sync::Arc;

/// What has changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Counter(i64),
    /// The newest entry of a topic or stream; those with numbers below `first` are kept no more.
    Entry {
        kind: Kind,
        name: Arc<str>,
        entry: Arc<Entry>,
        first: u64,
    },
    Deleted {
        kind: Kind,
        name: Arc<str>,
    },
    /// What is made from now on counts on from this number.
    Floor(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Topic,
    Stream,
}

/// One value of a topic, or one message of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its version, or its number.
    pub(crate) id: u64,
    /// Milliseconds since 1970, in UTC.
    pub(crate) time: u64,
    pub(crate) is_text: bool,
    pub(crate) media: Option<Box<str>>,
    pub(crate) body: Box<[u8]>,
}

/// What there was at the last end.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub(crate) counter: Option<i64>,
    pub(crate) floor: u64,
    /// Of each the entries in the order of their numbers.
    pub(crate) entries: Vec<(Kind, Arc<str>, Vec<Entry>)>,
}

/// Keeps changes. Any thread may use it; a hub's does before each delivery.
pub(crate) trait Journal: Send + Sync {
    /// Takes all changes away. If they must be safe before anybody sees them, it returns when they
    /// are on disk, or when that has failed.
    fn record(&self, changes: &mut Vec<Change>);
}
