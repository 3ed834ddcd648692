//! `Deadline`: one point in time that several blocking steps share.
//!
//! It is absolute: a peer that sends a byte now and then does not move it, which a read timeout
//! would let it do. It waits for nothing itself.

use std::time::{Duration, Instant};

/// A point in time by which something must have happened, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) const NEVER: Deadline = Deadline(None);

    /// `None` is never. A duration that the clock cannot hold is never, too.
    pub(crate) fn after(duration: impl Into<Option<Duration>>) -> Deadline {
        Deadline(duration.into().and_then(|d| Instant::now().checked_add(d)))
    }

    pub(crate) fn at(instant: impl Into<Option<Instant>>) -> Deadline {
        Deadline(instant.into())
    }

    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }

    /// What is left: `None` without end, zero when it has passed.
    pub(crate) fn remaining(self) -> Option<Duration> {
        self.0
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn has_passed(self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// Whichever comes first.
    pub(crate) fn or(self, other: Deadline) -> Deadline {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Deadline(Some(a.min(b))),
            (a, b) => Deadline(a.or(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_of_two_counts() {
        let soon = Deadline::after(Duration::from_secs(1));
        let late = Deadline::after(Duration::from_secs(60));
        assert_eq!(soon.or(late), soon);
        assert_eq!(late.or(soon), soon);
        assert_eq!(Deadline::NEVER.or(late), late);
        assert_eq!(late.or(Deadline::NEVER), late);
    }

    #[test]
    fn a_duration_beyond_the_clock_is_never() {
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
        assert!(!Deadline::NEVER.has_passed());
        assert!(Deadline::after(Duration::ZERO).has_passed());
    }
}
