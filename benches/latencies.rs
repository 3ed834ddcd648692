//! Durations, and what share of them was shorter than which.

use std::time::Duration;

/// Many durations, to the microsecond.
#[derive(Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0
            .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// The smallest recorded microseconds that each of these shares, from 0 to 1, does not exceed;
    /// none of nothing.
    pub(crate) fn percentiles<const N: usize>(mut self, shares: [f64; N]) -> Option<[f64; N]> {
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_unstable();
        let last = self.0.len() - 1;
        Some(shares.map(|share| {
            let rank = (share * self.0.len() as f64).ceil() as usize;
            f64::from(self.0[rank.saturating_sub(1).min(last)])
        }))
    }
}
