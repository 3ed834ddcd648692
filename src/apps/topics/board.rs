//! `Board`: all topics and streams, and what may be done with them. It is the state of a hub, whose
//! thread runs all of this file.
//!
//! Each change is shown to whoever looks, and is noted for the journal. Nothing here waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use plainws::Clients;

use super::super::journal::{Change, Entry, Kind, Saved};
use super::figures::Figures;
use super::refused::Refused;
use super::series::{self, Series};
use super::value::{Value, patched};
use super::view::object;

/// What all topics and streams may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many of them there may be.
    pub(crate) topics: usize,
    /// How many entries each keeps.
    pub(crate) keep: usize,
    /// What all entries take in memory, in bytes.
    pub(crate) memory: usize,
    /// The largest value, in bytes.
    pub(crate) size: usize,
}

/// What must be so for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum If {
    Always,
    /// There is a value, and it has one of these versions; without any, whatever it is.
    Match(Vec<u64>),
    /// There is no value, or it has none of these versions; without any, there is no value.
    NoneMatch(Vec<u64>),
}

type Answer = Box<dyn FnOnce() + Send>;

pub(super) struct Board {
    limits: Limits,
    topics: BTreeMap<Arc<str>, Series>,
    streams: BTreeMap<Arc<str>, Series>,
    memory: usize,
    /// No number up to this is given again: those that deleted topics had.
    floor: u64,
    /// Who looks at what.
    pub(super) viewers: HashMap<u64, (Kind, Arc<str>)>,
    /// For the journal.
    pub(super) changes: Vec<Change>,
    /// What waits until the changes are recorded.
    pub(super) answers: Vec<Answer>,
    pub(super) figures: Arc<Figures>,
}

impl Board {
    pub(super) fn new(limits: Limits, saved: Saved, figures: Arc<Figures>) -> Board {
        let mut board = Board {
            limits,
            topics: BTreeMap::new(),
            streams: BTreeMap::new(),
            memory: 0,
            floor: saved.floor,
            viewers: HashMap::new(),
            changes: Vec::new(),
            answers: Vec::new(),
            figures,
        };
        for (kind, name, entries) in saved.entries {
            let mut series = Series::default();
            let first = entries.len().saturating_sub(limits.keep.max(1));
            for entry in entries.into_iter().skip(first) {
                board.memory += series::size(&entry);
                series.push(Arc::new(entry));
            }
            board.all_mut(kind).insert(name, series);
        }
        board.count();
        board
    }

    // ---- What there is -------------------------------------------------------------------------

    pub(super) fn all(&self, kind: Kind) -> &BTreeMap<Arc<str>, Series> {
        match kind {
            Kind::Topic => &self.topics,
            Kind::Stream => &self.streams,
        }
    }

    pub(super) fn all_mut(&mut self, kind: Kind) -> &mut BTreeMap<Arc<str>, Series> {
        match kind {
            Kind::Topic => &mut self.topics,
            Kind::Stream => &mut self.streams,
        }
    }

    pub(super) fn find(&self, kind: Kind, name: &str) -> Option<&Series> {
        self.all(kind).get(name)
    }

    /// The topics whose names begin with this.
    pub(super) fn below(&self, prefix: &str) -> impl Iterator<Item = (&Arc<str>, &Series)> {
        let from = self.topics.range::<str, _>((
            std::ops::Bound::Included(prefix),
            std::ops::Bound::Unbounded,
        ));
        from.take_while(move |(name, _)| name.starts_with(prefix))
    }

    fn count(&self) {
        self.figures.hold(self.topics.len(), self.streams.len());
    }

    // ---- What is changed -----------------------------------------------------------------------

    /// Sets a topic, or appends to a stream: the number of the new entry.
    pub(super) fn put(
        &mut self,
        clients: &mut Clients,
        kind: Kind,
        name: &str,
        value: Value,
        condition: &If,
    ) -> Result<u64, Refused> {
        let put = self.try_put(clients, kind, name, value, condition);
        self.figures.wrote(kind, put.as_ref().err());
        put
    }

    fn try_put(
        &mut self,
        clients: &mut Clients,
        kind: Kind,
        name: &str,
        value: Value,
        condition: &If,
    ) -> Result<u64, Refused> {
        self.check(kind, name, condition)?;
        if value.body.len() > self.limits.size {
            return Err(Refused::TooLarge(self.limits.size));
        }
        self.make(kind, name)?;
        let entry = Arc::new(Entry {
            id: self.next(kind, name),
            time: now(),
            is_text: value.is_text,
            media: value.media,
            body: value.body,
        });
        let (keep, id) = (self.limits.keep.max(1), entry.id);
        let room = self.limits.memory.saturating_sub(series::size(&entry));
        let mut memory = self.memory;
        let Some((name, series)) = entry_of(self.all_mut(kind), name) else {
            return Err(Refused::Full(self.limits.topics));
        };
        // Its own past makes room, nobody else's. Added up only if room is short.
        let own =
            |series: &Series| -> usize { series.entries().map(|entry| series::size(entry)).sum() };
        if memory > room && memory - own(series) > room {
            self.forget_if_unused(kind, &name);
            return Err(Refused::NoMemory(self.limits.memory));
        }
        while series.len() >= keep || memory > room {
            memory -= series.pop().unwrap_or(memory);
        }
        series.push(Arc::clone(&entry));
        let first = series.oldest().map_or(id, |oldest| oldest.id);
        self.memory = memory + series::size(&entry);
        self.show(clients, kind, &name, &entry);
        self.changes.push(Change::Entry {
            kind,
            name,
            entry,
            first,
        });
        Ok(id)
    }

    /// Applies a JSON merge patch to a topic.
    pub(super) fn patch(
        &mut self,
        clients: &mut Clients,
        name: &str,
        patch: &[u8],
        condition: &If,
    ) -> Result<u64, Refused> {
        let old = self.find(Kind::Topic, name).and_then(Series::newest);
        let new = match patched(old.map(|entry| &**entry), patch) {
            Ok(new) => Value::json(new),
            Err(_) => {
                let refused = Refused::NotJson;
                self.figures.wrote(Kind::Topic, Some(&refused));
                return Err(refused);
            }
        };
        self.put(clients, Kind::Topic, name, new, condition)
    }

    pub(super) fn delete(
        &mut self,
        clients: &mut Clients,
        kind: Kind,
        name: &str,
        condition: &If,
    ) -> Result<(), Refused> {
        self.check(kind, name, condition)?;
        let Some((name, series)) = entry_of(self.all_mut(kind), name) else {
            return Err(Refused::Missing);
        };
        let Some(newest) = series.newest().map(|entry| entry.id) else {
            return Err(Refused::Missing);
        };
        self.memory -= series.clear();
        if newest > self.floor {
            self.floor = newest;
            self.changes.push(Change::Floor(newest));
        }
        self.show_with(clients, kind, &name, |form| form.deleted(&name));
        self.forget_if_unused(kind, &name);
        self.changes.push(Change::Deleted { kind, name });
        self.figures.deleted();
        Ok(())
    }

    fn check(&self, kind: Kind, name: &str, condition: &If) -> Result<(), Refused> {
        let newest = self.find(kind, name).and_then(Series::newest);
        let version = newest.map(|entry| entry.id);
        let is_one = |versions: &[u64]| {
            version.is_some_and(|version| versions.is_empty() || versions.contains(&version))
        };
        let holds = match condition {
            If::Always => true,
            If::Match(versions) => is_one(versions),
            If::NoneMatch(versions) => !is_one(versions),
        };
        if holds {
            Ok(())
        } else {
            Err(Refused::Changed(version))
        }
    }

    /// The number of the next entry.
    fn next(&self, kind: Kind, name: &str) -> u64 {
        let newest = self.find(kind, name).and_then(Series::newest);
        newest.map_or(self.floor, |entry| entry.id) + 1
    }

    /// Makes the place for a topic or stream, if it is not there.
    pub(super) fn make(&mut self, kind: Kind, name: &str) -> Result<(), Refused> {
        if self.find(kind, name).is_some() {
            return Ok(());
        }
        if self.topics.len() + self.streams.len() >= self.limits.topics {
            return Err(Refused::Full(self.limits.topics));
        }
        self.all_mut(kind).insert(name.into(), Series::default());
        self.count();
        Ok(())
    }

    pub(super) fn forget_if_unused(&mut self, kind: Kind, name: &str) {
        if self.find(kind, name).is_some_and(Series::is_unused) {
            self.all_mut(kind).remove(name);
            self.count();
        }
    }

    // ---- As text -------------------------------------------------------------------------------

    /// All entries of one, each an object on a line of its own, the oldest first.
    pub(super) fn history(&self, kind: Kind, name: &str, last: usize) -> Option<String> {
        let series = self.find(kind, name)?;
        let skip = series.len().saturating_sub(last);
        let lines = series.entries().skip(skip);
        Some(
            lines
                .map(|entry| object(kind, name, entry) + "\n")
                .collect(),
        )
    }
}

/// With the name that it holds, so that none is made anew.
pub(super) fn entry_of<'a>(
    all: &'a mut BTreeMap<Arc<str>, Series>,
    name: &str,
) -> Option<(Arc<str>, &'a mut Series)> {
    use std::ops::Bound::Included;
    let only = (Included(name), Included(name));
    let (name, series) = all.range_mut::<str, _>(only).next()?;
    Some((Arc::clone(name), series))
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
