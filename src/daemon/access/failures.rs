//! `Failures`: how often an address has been wrong lately, so that nobody can try for long.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::lock::Lock;

/// So many an address within this time.
const MOST: u32 = 5;
const WITHIN: Duration = Duration::from_secs(1);
/// Addresses that are remembered; those of before are forgotten first.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Failures(Lock<HashMap<Option<IpAddr>, (Instant, u32)>>);

impl Failures {
    /// Whether the address has to wait. One that is not known is that of all local clients.
    pub(super) fn are_many(&self, address: Option<IpAddr>) -> bool {
        let failures = self.0.lock();
        let found = failures.get(&address.map(network));
        found.is_some_and(|(since, count)| *count >= MOST && since.elapsed() < WITHIN)
    }

    pub(super) fn add(&self, address: Option<IpAddr>) {
        let mut failures = self.0.lock();
        if failures.len() >= MAX_ADDRESSES {
            failures.retain(|_, (since, _)| since.elapsed() < WITHIN);
        }
        if failures.len() >= MAX_ADDRESSES {
            failures.clear();
        }
        let (since, count) = failures
            .entry(address.map(network))
            .or_insert((Instant::now(), 0));
        if since.elapsed() >= WITHIN {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
    }
}

/// Of IPv6 the first 64 bits: a household has that many addresses at will.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_make_an_address_wait_and_no_other() {
        let failures = Failures::default();
        let address = |text: &str| Some(text.parse().expect("an address"));
        let (one, other) = (address("2001:db8::1"), address("2001:db8:0:1::1"));
        for _ in 0..MOST {
            assert!(!failures.are_many(one));
            failures.add(one);
        }
        assert!(failures.are_many(one) && failures.are_many(address("2001:db8::2")));
        assert!(!failures.are_many(other) && !failures.are_many(None));
        failures
            .0
            .lock()
            .values_mut()
            .for_each(|(since, _)| *since -= WITHIN);
        assert!(!failures.are_many(one), "for a second");
    }
}
