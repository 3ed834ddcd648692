//! `Complaint`: a lasting trouble that is told now and then, not each time that it shows.

use std::time::{Duration, Instant};

const TELL_EVERY: Duration = Duration::from_secs(10);

/// One trouble; belongs to the thread that meets it.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Option<Instant>);

impl Complaint {
    /// Says it, unless that was done within the last seconds.
    pub(crate) fn tell(&mut self, say: impl FnOnce()) {
        if self.0.is_none_or(|last| last.elapsed() >= TELL_EVERY) {
            self.0 = Some(Instant::now());
            say();
        }
    }
}
