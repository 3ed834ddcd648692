//! `Batch`: what is still to be written, folded together: of a counter the last value, of a topic or
//! stream what it would have on disk. So it never holds more than the applications do.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::apps::journal::{Change, Entry, Kind};

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) counter: Option<i64>,
    pub(super) floor: Option<u64>,
    pub(super) series: BTreeMap<(Kind, Arc<str>), Series>,
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

    pub(super) fn add(&mut self, change: Change) {
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

    fn of(changes: Vec<Change>) -> Batch {
        let mut batch = Batch::default();
        changes.into_iter().for_each(|change| batch.add(change));
        batch
    }

    #[test]
    fn what_is_gone_before_it_was_written_is_not_written() {
        let gone = || Change::Deleted {
            kind: Kind::Topic,
            name: "a".into(),
        };
        let rows = [
            (vec![set(1, 1), set(2, 1), set(3, 2)], false, 2, vec![2, 3]),
            (vec![set(1, 1), gone()], true, 0, vec![]),
            (vec![set(1, 1), gone(), set(2, 2)], true, 2, vec![2]),
        ];
        for (changes, deleted, first, ids) in rows {
            let text = format!("{changes:?}");
            // At once, and cut in two at each place, as after a write that failed.
            for cut in 0..=ids.len() {
                let changes = text_of(&changes);
                let (older, newer) = changes.split_at(cut.min(changes.len()));
                let mut batch = of(older.iter().map(|make| make()).collect());
                batch.add_all(of(newer.iter().map(|make| make()).collect()));
                let series = &batch.series[&(Kind::Topic, Arc::from("a"))];
                let got: Vec<u64> = series.entries.iter().map(|entry| entry.id).collect();
                let found = (series.deleted, series.first, got);
                assert_eq!(found, (deleted, first, ids.clone()), "{text}");
            }
        }
    }

    type Make = Box<dyn Fn() -> Change>;

    fn text_of(changes: &[Change]) -> Vec<Make> {
        let make = |change: &Change| -> Make {
            match change {
                Change::Entry { entry, first, .. } => {
                    let (id, first) = (entry.id, *first);
                    Box::new(move || set(id, first))
                }
                _ => Box::new(|| Change::Deleted {
                    kind: Kind::Topic,
                    name: "a".into(),
                }),
            }
        };
        changes.iter().map(make).collect()
    }
}
