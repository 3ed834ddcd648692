//! `Member`: a registered connection, and what it gets with the batch that is being made.

use std::ops::Range;
use std::sync::Arc;

use super::rooms::Name;
use crate::close::CloseFrame;
use crate::connection::{Frames, Outbox};

pub(super) struct Member {
    pub(super) outbox: Arc<Outbox>,
    /// How often it is registered.
    pub(super) times: usize,
    /// The first frame for all that is meant for it.
    pub(super) first: usize,
    /// Which of the frames for some are for it: before which one for all, and the number.
    some: Vec<(usize, usize)>,
    pub(super) rooms: Vec<Name>,
    /// It is closed with this behind the batch.
    pub(super) closing: Option<Box<CloseFrame>>,
}

impl Member {
    pub(super) fn new(outbox: Arc<Outbox>, first: usize) -> Member {
        Member {
            outbox,
            times: 0,
            first,
            some: Vec::new(),
            rooms: Vec::new(),
            closing: None,
        }
    }

    /// Adds a frame for some, before the one for all of number `at`. Who is in a room and below its
    /// prefix gets it once.
    pub(super) fn pick(&mut self, at: usize, number: usize) {
        if self.some.last() != Some(&(at, number)) {
            self.some.push((at, number));
        }
    }

    /// Whether the batch has something that is not for all.
    pub(super) fn is_touched(&self) -> bool {
        !self.some.is_empty() || self.closing.is_some()
    }

    /// Gives it the frames for all up to `end`, and between them those that are for it.
    pub(super) fn deliver(&mut self, all: &Frames, some: &Frames, end: usize) {
        let range = self.first..end;
        match contiguous(&self.some) {
            _ if self.some.is_empty() => {
                if !range.is_empty() {
                    self.outbox.deliver(all, range);
                }
            }
            Some(picked) if range.is_empty() => self.outbox.deliver(some, picked),
            _ => self.deliver_mixed(all, some, range),
        }
        self.some.clear();
        // One that once had to be large is given back.
        self.some.shrink_to(8);
        if let Some(closing) = self.closing.take() {
            self.outbox.close(*closing);
        }
    }

    fn deliver_mixed(&self, all: &Frames, some: &Frames, range: Range<usize>) {
        let mut mixed = Frames::default();
        let mut picked = self.some.iter().peekable();
        for (number, frame) in range.clone().zip(all.iter(range)) {
            while let Some(&(_, one)) = picked.next_if(|(at, _)| *at <= number) {
                some.iter(one..one + 1)
                    .for_each(|frame| mixed.push_copy(frame));
            }
            mixed.push_copy(frame);
        }
        for &(_, one) in picked {
            some.iter(one..one + 1)
                .for_each(|frame| mixed.push_copy(frame));
        }
        self.outbox.deliver(&mixed, 0..mixed.len());
    }
}

/// The numbers as a range, if they are one.
fn contiguous(some: &[(usize, usize)]) -> Option<Range<usize>> {
    let (first, last) = (some.first()?.1, some.last()?.1);
    (last - first + 1 == some.len()).then_some(first..last + 1)
}
