//! `Series`: the values that a topic has had lately, or the last messages of a stream. The newest
//! stands last.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::journal::Entry;

#[derive(Debug, Default)]
pub(super) struct Series {
    entries: VecDeque<Arc<Entry>>,
    /// The clients that look at it.
    pub(super) clients: usize,
}

impl Series {
    pub(super) fn newest(&self) -> Option<&Arc<Entry>> {
        self.entries.back()
    }

    pub(super) fn oldest(&self) -> Option<&Arc<Entry>> {
        self.entries.front()
    }

    /// From the oldest on.
    pub(super) fn entries(
        &self,
    ) -> impl DoubleEndedIterator<Item = &Arc<Entry>> + ExactSizeIterator {
        self.entries.iter()
    }

    /// Those behind this number.
    pub(super) fn since(&self, id: u64) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().filter(move |entry| entry.id > id)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nobody would miss it.
    pub(super) fn is_unused(&self) -> bool {
        self.entries.is_empty() && self.clients == 0
    }

    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        self.entries.push_back(entry);
    }

    /// Takes the oldest away; its size.
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.entries.pop_front().map(|entry| size(&entry))
    }

    /// Takes all away; what they took.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.entries)
            .iter()
            .map(|entry| size(entry))
            .sum()
    }
}

/// What an entry takes in memory, about.
pub(super) fn size(entry: &Entry) -> usize {
    entry.body.len() + 128
}
