//! `Complaint`: a lasting trouble that is told now and then, not each time that it shows.

use std::time::{Duration, Instant};

/// Unless somebody says otherwise.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// One trouble; belongs to the thread that meets it.
#[derive(Debug)]
pub(crate) struct Complaint {
    every: Duration,
    told: Option<Instant>,
}

impl Default for Complaint {
    fn default() -> Complaint {
        Complaint::every(TELL_EVERY)
    }
}

impl Complaint {
    pub(crate) const fn every(every: Duration) -> Complaint {
        Complaint { every, told: None }
    }

    /// Says it, unless that was done within this time.
    pub(crate) fn tell(&mut self, say: impl FnOnce()) {
        if self.told.is_none_or(|told| told.elapsed() >= self.every) {
            self.told = Some(Instant::now());
            say();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_within_the_time() {
        let told = |every, times: u32| {
            let (mut complaint, mut told) = (Complaint::every(every), 0);
            (0..times).for_each(|_| complaint.tell(|| told += 1));
            told
        };
        assert_eq!(told(Duration::from_secs(60), 100), 1);
        assert_eq!(told(Duration::ZERO, 100), 100);
    }
}
