//! `Batch`: what is still to be written, folded together: of a counter the last value, of a topic or
//! stream what it would have on disk. So it holds no more than the applications do, and the names of
//! what is to be taken off the disk.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::apps::journal::{Change, Entry, Kind};

/// A topic or stream.
pub(super) type Key = (Kind, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) counter: Option<i64>,
    pub(super) floor: Option<u64>,
    pub(super) series: BTreeMap<Key, Series>,
}

/// What happens to one topic or stream.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// First all that is on disk goes.
    pub(super) deleted: bool,
    /// What has a smaller number goes, too.
    pub(super) first: u64,
    pub(super) entries: Vec<Arc<Entry>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.counter.is_none() && self.floor.is_none() && self.series.is_empty()
    }

    /// `on_disk` is what the disk may have; what it has not need not be deleted there.
    pub(super) fn add(&mut self, change: Change, on_disk: &HashSet<Key>) {
        match change {
            Change::Counter(value) => self.counter = Some(value),
            Change::Floor(floor) => self.floor = Some(floor),
            Change::Entry {
                kind,
                name,
                entry,
                first,
            } => {
                let newer = Series {
                    deleted: false,
                    first,
                    entries: vec![entry],
                };
                self.series.entry((kind, name)).or_default().add(newer);
            }
            Change::Deleted { kind, name } if !on_disk.contains(&(kind, Arc::clone(&name))) => {
                self.series.remove(&(kind, name));
            }
            Change::Deleted { kind, name } => {
                let series = self.series.entry((kind, name)).or_default();
                *series = Series {
                    deleted: true,
                    ..Series::default()
                };
            }
        }
    }

    /// Adds what came later.
    pub(super) fn add_all(&mut self, newer: Batch) {
        self.counter = newer.counter.or(self.counter);
        self.floor = newer.floor.or(self.floor);
        for (key, series) in newer.series {
            self.series.entry(key).or_default().add(series);
        }
    }
}

impl Series {
    fn add(&mut self, newer: Series) {
        if newer.deleted {
            *self = newer;
            return;
        }
        self.first = self.first.max(newer.first);
        self.entries.retain(|entry| entry.id >= newer.first);
        self.entries.extend(newer.entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(id: u64, first: u64) -> Change {
        let (time, is_text, media, body) = (0, true, None, Box::default());
        let entry = Arc::new(Entry {
            id,
            time,
            is_text,
            media,
            body,
        });
        Change::Entry {
            kind: Kind::Topic,
            name: "a".into(),
            entry,
            first,
        }
    }

    fn gone() -> Change {
        Change::Deleted {
            kind: Kind::Topic,
            name: "a".into(),
        }
    }

    fn of(changes: &[Change], on_disk: &HashSet<Key>) -> Batch {
        let mut batch = Batch::default();
        let changes = changes.iter().cloned();
        changes.for_each(|change| batch.add(change, on_disk));
        batch
    }

    #[test]
    fn what_is_gone_before_it_was_written_is_not_written() {
        let key: Key = (Kind::Topic, "a".into());
        let on_disk = HashSet::from([key.clone()]);
        let rows = [
            (vec![set(1, 1), set(2, 1), set(3, 2)], false, 2, vec![2, 3]),
            (vec![set(1, 1), gone()], true, 0, vec![]),
            (vec![set(1, 1), gone(), set(2, 2)], true, 2, vec![2]),
        ];
        for (changes, deleted, first, ids) in rows {
            // At once, and cut in two at each place, as after a write that failed.
            for cut in 0..=changes.len() {
                let (older, newer) = changes.split_at(cut);
                let mut batch = of(older, &on_disk);
                batch.add_all(of(newer, &on_disk));
                let series = &batch.series[&key];
                let got: Vec<u64> = series.entries.iter().map(|entry| entry.id).collect();
                let found = (series.deleted, series.first, got);
                assert_eq!(found, (deleted, first, ids.clone()), "{changes:?} at {cut}");
            }
        }
        // Of what the disk has not nothing is left to do.
        assert!(of(&[set(1, 1), gone()], &HashSet::new()).is_empty());
    }
}
