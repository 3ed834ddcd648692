//! `Keepalive`: when a ping is due, and for how long the peer has been silent since.
//!
//! Plain data that the outbox keeps and the caretaker looks at; it sends nothing itself.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::deadline::Deadline;

/// The log target of pings and pongs, which can be wanted without all other frames.
pub(super) const LOG: &str = "plainws::keepalive";

#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    next: Deadline,
    /// Number of the last ping, and when it was sent; taken when its pong comes.
    count: u32,
    sent: Option<Instant>,
    silence: Option<Silence>,
    latency: Option<Duration>,
}

/// Since the oldest ping that nothing has followed.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    /// Bytes received until then.
    received: u64,
}

impl Keepalive {
    pub(super) fn new(config: &Config) -> Keepalive {
        // Without time between them there is no end of pings.
        let interval = config.ping_interval.filter(|interval| !interval.is_zero());
        // The first one comes after a random part of the interval, so that clients which arrived
        // together are not pinged together.
        let first = interval.map(|interval| interval.mul_f64(rand::random::<f64>() / 2.0 + 0.5));
        Keepalive {
            interval,
            timeout: config.ping_timeout,
            next: Deadline::after(first),
            count: 0,
            sent: None,
            silence: None,
            latency: None,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.interval.is_some()
    }

    /// Whether it is time for a ping; the next one is due an interval later. None is sent while
    /// the peer's silence after the last one is still being counted.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if self.next.instant().is_none_or(|at| at > now) {
            return false;
        }
        self.next = Deadline::at(self.interval.and_then(|interval| now.checked_add(interval)));
        self.silence.is_none() || self.timeout.is_none()
    }

    /// Takes note of a ping, when `received` bytes had come so far. Its payload.
    pub(super) fn ping(&mut self, now: Instant, received: u64) -> [u8; 4] {
        self.count = self.count.wrapping_add(1);
        self.sent = Some(now);
        self.silence.get_or_insert(Silence {
            since: now,
            received,
        });
        self.count.to_be_bytes()
    }

    pub(super) fn pong(&mut self, payload: &[u8]) {
        self.silence = None;
        if payload == self.count.to_be_bytes() {
            self.latency = self.sent.take().map(|sent| sent.elapsed()).or(self.latency);
        }
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// When the peer has been silent for too long.
    pub(super) fn silent_until(&self) -> Deadline {
        let silence = self.silence.zip(self.timeout);
        Deadline::at(silence.and_then(|(silence, timeout)| silence.since.checked_add(timeout)))
    }

    /// Whether nothing has been received since the ping.
    pub(super) fn is_silent(&self, received: u64) -> bool {
        self.silence
            .is_some_and(|silence| silence.received == received)
    }

    /// A sign of life.
    pub(super) fn heard(&mut self) {
        self.silence = None;
    }

    /// When to look again.
    pub(super) fn next(&self) -> Deadline {
        self.next.or(self.silent_until())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_second() -> Keepalive {
        let second = Some(Duration::from_secs(1));
        let config = Config {
            ping_interval: second,
            ping_timeout: second,
            ..Config::default()
        };
        Keepalive::new(&config)
    }

    #[test]
    fn a_ping_is_due_once_an_interval() {
        let mut keepalive = every_second();
        let now = Instant::now();
        assert!(
            !keepalive.is_due(now),
            "the first comes after half an interval at least"
        );
        let later = now + Duration::from_secs(1);
        assert!(keepalive.is_due(later));
        assert!(!keepalive.is_due(later));
    }

    #[test]
    fn more_pings_do_not_prolong_a_silence() {
        let mut keepalive = every_second();
        let now = Instant::now();
        keepalive.ping(now, 7);
        let until = keepalive.silent_until();
        assert_ne!(until, Deadline::NEVER);
        keepalive.ping(now + Duration::from_millis(900), 7);
        assert_eq!(keepalive.silent_until(), until);
        assert!(keepalive.is_silent(7) && !keepalive.is_silent(8));
        keepalive.heard();
        assert_eq!(keepalive.silent_until(), Deadline::NEVER);
    }

    #[test]
    fn only_the_answer_to_the_last_ping_measures() {
        let mut keepalive = every_second();
        let first = keepalive.ping(Instant::now(), 0);
        let second = keepalive.ping(Instant::now(), 0);
        keepalive.pong(&first);
        keepalive.pong(b"unasked");
        assert_eq!(keepalive.latency(), None);
        keepalive.pong(&second);
        let latency = keepalive.latency();
        assert!(latency.is_some());
        keepalive.pong(&second);
        assert_eq!(keepalive.latency(), latency, "measured once");
    }

    #[test]
    fn an_interval_of_nothing_is_off() {
        let config = Config {
            ping_interval: Some(Duration::ZERO),
            ..Config::default()
        };
        let mut keepalive = Keepalive::new(&config);
        assert!(!keepalive.is_on() && !keepalive.is_due(Instant::now()));
    }
}
