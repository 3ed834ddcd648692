//! `Figures`: what happened to topics and streams, counted for the metrics.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::super::journal::Kind;
use super::refused::Refused;

#[derive(Debug, Default)]
pub(crate) struct Figures {
    topics: AtomicUsize,
    streams: AtomicUsize,
    sets: AtomicU64,
    appends: AtomicU64,
    deletions: AtomicU64,
    refused: [AtomicU64; Refused::REASONS.len()],
}

impl Figures {
    pub(super) fn hold(&self, topics: usize, streams: usize) {
        self.topics.store(topics, Ordering::Relaxed);
        self.streams.store(streams, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, kind: Kind, refused: Option<&Refused>) {
        match (refused, kind) {
            (Some(why), _) => self.refused(why),
            (None, Kind::Topic) => add(&self.sets),
            (None, Kind::Stream) => add(&self.appends),
        }
    }

    pub(super) fn deleted(&self) {
        add(&self.deletions);
    }

    pub(super) fn refused(&self, why: &Refused) {
        add(&self.refused[why.reason()]);
    }

    pub(crate) fn topics(&self) -> usize {
        self.topics.load(Ordering::Relaxed)
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    pub(crate) fn sets(&self) -> u64 {
        self.sets.load(Ordering::Relaxed)
    }

    pub(crate) fn appends(&self) -> u64 {
        self.appends.load(Ordering::Relaxed)
    }

    pub(crate) fn deletions(&self) -> u64 {
        self.deletions.load(Ordering::Relaxed)
    }

    /// How many changes were refused, by reason.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self
            .refused
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        Refused::REASONS.into_iter().zip(counts)
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
