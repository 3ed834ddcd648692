//! `Config`: every limit of a connection with its default and the reason for it.
//!
//! `Server` and `Client` have builders with the same names; the macro at the end writes those
//! setters once.

use std::time::Duration;

/// The limits of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) max_size: usize,
    pub(crate) backlog: usize,
    pub(crate) open_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Option<Duration>,
}

/// Messages of live pages are small, and a thousand clients may each hold one in memory.
pub(crate) const DEFAULT_MAX_SIZE: usize = 64 * 1024;
/// The size that a frame announces is reserved at once: without a bound a header of a few bytes
/// could ask for more than there is.
pub(crate) const MAX_MAX_SIZE: usize = 1 << 30;
/// A client on its own can afford more, and does not choose what it is sent.
pub(crate) const DEFAULT_CLIENT_MAX_SIZE: usize = 1024 * 1024;
/// Seconds of updates for a page; a thousand stuck clients cost at most 256 MiB.
pub(crate) const DEFAULT_BACKLOG: usize = 256 * 1024;
/// A slow mobile network manages it; a peer that holds a thread without speaking does not stay.
pub(crate) const DEFAULT_OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Two round trips on the worst network, and a restart is not held up by one dead peer.
pub(crate) const DEFAULT_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// As long as a message may take to arrive, so may one take to leave.
pub(crate) const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Proxies cut connections that are silent for 60 s: three pings fit in.
pub(crate) const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(20);
pub(crate) const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(20);

impl Default for Config {
    fn default() -> Config {
        Config {
            max_size: DEFAULT_MAX_SIZE,
            backlog: DEFAULT_BACKLOG,
            open_timeout: DEFAULT_OPEN_TIMEOUT,
            close_timeout: DEFAULT_CLOSE_TIMEOUT,
            write_timeout: Some(DEFAULT_WRITE_TIMEOUT),
            ping_interval: Some(DEFAULT_PING_INTERVAL),
            ping_timeout: Some(DEFAULT_PING_TIMEOUT),
        }
    }
}

/// Writes the setters that both builders share, into an `impl` block of a type with a field
/// `config: Config`. `$max_size` is the documented default of `max_size`.
macro_rules! connection_options {
    ($max_size:literal) => {
        /// The largest message accepted, in bytes of payload; a larger one is answered with close
        /// code 1009. A connection holds at most three times this in memory: a message being
        /// received, one handed to you, and what waits for you while you only send.
        #[doc = concat!("At most 1 GiB. Defaults to ", $max_size, ".")]
        pub fn max_size(mut self, bytes: usize) -> Self {
            self.config.max_size = bytes.min($crate::config::MAX_MAX_SIZE);
            self
        }

        /// How much may wait for a peer that reads slowly, in bytes: the rest of the frame that it
        /// is reading, the newest value of each state, and a stream of messages. Each state counts
        /// 256 bytes and twice its name on top, as that is what it costs. Above this the peer is
        /// closed with 1013. A blocking `send` waits for room instead. Defaults to 256 KiB.
        pub fn backlog(mut self, bytes: usize) -> Self {
            self.config.backlog = bytes;
            self
        }

        /// The time for the whole opening handshake. Defaults to 10 s.
        pub fn open_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.config.open_timeout = timeout;
            self
        }

        /// The time for the closing handshake, from our close frame on; then the connection is
        /// cut. Defaults to 5 s.
        pub fn close_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.config.close_timeout = timeout;
            self
        }

        /// How long the system may take nothing more for a peer before it is given up, because it
        /// reads nothing, or too little to make room in the system's send buffer. `None` waits for
        /// ever. Defaults to 30 s.
        pub fn write_timeout(mut self, timeout: impl Into<Option<std::time::Duration>>) -> Self {
            self.config.write_timeout = timeout.into();
            self
        }

        /// The time between two keepalive pings; `None` sends none. Defaults to 20 s.
        pub fn ping_interval(mut self, interval: impl Into<Option<std::time::Duration>>) -> Self {
            self.config.ping_interval = interval.into();
            self
        }

        /// The time within which a peer must show a sign of life after a ping, any byte will do;
        /// then it is closed with 1011. Not counted while bytes of it wait to be received by you.
        /// `None` pings without consequences. Defaults to 20 s.
        pub fn ping_timeout(mut self, timeout: impl Into<Option<std::time::Duration>>) -> Self {
            self.config.ping_timeout = timeout.into();
            self
        }
    };
}

pub(crate) use connection_options;

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/serve.md, the daemon's `--help` and the docs above name these values.
    #[test]
    fn defaults_are_what_the_documents_say() {
        let seconds = Duration::from_secs;
        let documented = Config {
            max_size: 65_536,
            backlog: 262_144,
            open_timeout: seconds(10),
            close_timeout: seconds(5),
            write_timeout: Some(seconds(30)),
            ping_interval: Some(seconds(20)),
            ping_timeout: Some(seconds(20)),
        };
        assert_eq!(Config::default(), documented);
    }
}
