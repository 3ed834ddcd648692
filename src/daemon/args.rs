//! The arguments as values. Nothing is opened here.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use log::LevelFilter;
use plainws::Network;

use super::access::AccessFiles;
use super::keys::KeyFiles;
use super::listen::{self, Listen};
use super::logger::LogFormat;
use super::metrics::FiguresAt;
use super::state::Sync;
use crate::units::{self, OrOff, at_least_one};

/// Serve topics, streams and pages of your own, and hello, clock and counter
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 ended, 1 could not start or stop, 2 wrong usage, 65 the state is damaged,\n78 its directory cannot be used."
)]
pub(crate) struct Serve {
    /// Listen here; repeatable. ADDR is HOST:PORT, [V6]:PORT, :PORT (all addresses of both IP
    /// families) or unix:/path; with port 0 the system chooses one. /hello, /clock and /counter
    /// are served at each; with APP= (hello, clock, counter) every other path is that application.
    /// With --tls-cert it is TLS, unless plain+ stands in front; tls+ insists on TLS. Sockets that a
    /// service manager hands over (LISTEN_FDS) replace the default; a socket belongs to the
    /// application that it is named after, or else to that of the same ADDR or port here
    #[arg(long, value_name = "[tls+][APP=]ADDR", env = "PLAINWS_LISTEN", value_delimiter = ',',
        default_value = listen::DEFAULT, value_parser = Listen::parse)]
    pub(crate) listen: Vec<Listen>,

    #[command(flatten)]
    pub(crate) tls: KeyFiles,

    #[command(flatten)]
    pub(crate) access: AccessFiles,

    /// Serve the files below this folder, index.html for each folder; they come before the bundled
    /// pages, of which hello.html, clock.html, counter.html, topic.html, stream.html and topics.html
    /// replace the page of that name. No file is served whose name begins with a dot
    #[arg(long, value_name = "DIR", env = "PLAINWS_HTML_DIR")]
    pub(crate) html_dir: Option<PathBuf>,

    /// The Content-Security-Policy of the files of --html-dir. Default: frame-ancestors 'self'
    #[arg(long, value_name = "POLICY", env = "PLAINWS_CSP", value_parser = policy)]
    pub(crate) csp: Option<String>,

    /// Topics and streams that there may be at once; one more gets 507, or is closed with 1013
    #[arg(long, value_name = "N", env = "PLAINWS_MAX_TOPICS", default_value_t = 1000, value_parser = at_least_one)]
    pub(crate) max_topics: usize,

    /// Messages that a stream keeps, and values that a topic remembers
    #[arg(long, value_name = "N", env = "PLAINWS_KEEP", default_value_t = 100, value_parser = at_least_one)]
    pub(crate) keep: usize,

    /// What all topics and streams hold in memory, in bytes or as 64KiB, 1MiB; one that would take
    /// more forgets its own past first, then gets 507
    #[arg(long, value_name = "SIZE", env = "PLAINWS_TOPICS_SIZE", default_value = "64MiB", value_parser = units::size)]
    pub(crate) topics_size: usize,

    /// Origins whose pages may connect, such as https://app.example; repeatable. `null` is a page
    /// from disk, `none` a client that is no browser. Replaces the default: none, null, and the
    /// host the request is addressed to
    #[arg(long, value_name = "ORIGIN", env = "PLAINWS_ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub(crate) origin: Vec<String>,

    /// Names that requests may be addressed to in their Host header; repeatable. Default: any
    #[arg(long, value_name = "NAME", env = "PLAINWS_HOST", value_delimiter = ',')]
    pub(crate) host: Vec<String>,

    /// Connections open at once; more get 503
    #[arg(long, value_name = "N", env = "PLAINWS_MAX_CONNECTIONS", default_value_t = 1000, value_parser = at_least_one)]
    pub(crate) max_connections: usize,

    /// Connections that one address may have open at once, or off; more get 503. Of IPv6 the first
    /// 64 bits count
    #[arg(long, value_name = "N", env = "PLAINWS_MAX_PER_ADDRESS", default_value = "off", value_parser = per_address)]
    pub(crate) max_per_address: PerAddress,

    /// A proxy whose X-Forwarded-For, or else X-Real-IP, says where a client comes from, for logs
    /// and --max-per-address: an IP address, a network such as 10.0.0.0/8, or unix: for whoever
    /// connects to a Unix socket; repeatable. Default: none
    #[arg(
        long,
        value_name = "NET",
        env = "PLAINWS_TRUSTED_PROXY",
        value_delimiter = ','
    )]
    pub(crate) trusted_proxy: Vec<Network>,

    /// Largest message accepted, in bytes or as 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", env = "PLAINWS_MAX_SIZE", default_value = "64KiB", value_parser = units::size)]
    pub(crate) max_size: usize,

    /// What may wait for a slow client, in bytes or as 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", env = "PLAINWS_BACKLOG", default_value = "256KiB", value_parser = units::size)]
    pub(crate) backlog: usize,

    /// Time for the opening handshake, in seconds or as 500ms, 10s, 2m
    #[arg(long, value_name = "TIME", env = "PLAINWS_OPEN_TIMEOUT", default_value = "10s", value_parser = units::duration)]
    pub(crate) open_timeout: Duration,

    /// Time for the closing handshake, and for shutting down
    #[arg(long, value_name = "TIME", env = "PLAINWS_CLOSE_TIMEOUT", default_value = "5s", value_parser = units::duration)]
    pub(crate) close_timeout: Duration,

    /// Time within which a client must read something of what waits for it, or off
    #[arg(long, value_name = "TIME", env = "PLAINWS_WRITE_TIMEOUT", default_value = "30s", value_parser = units::duration_or_off)]
    pub(crate) write_timeout: OrOff,

    /// Time between keepalive pings, or off
    #[arg(long, value_name = "TIME", env = "PLAINWS_PING_INTERVAL", default_value = "20s", value_parser = units::duration_or_off)]
    pub(crate) ping_interval: OrOff,

    /// Time within which a client must show a sign of life after a ping, or off
    #[arg(long, value_name = "TIME", env = "PLAINWS_PING_TIMEOUT", default_value = "20s", value_parser = units::duration_or_off)]
    pub(crate) ping_timeout: OrOff,

    /// Keep the counter's value, topics and streams in this directory across restarts. Default: the first of
    /// $STATE_DIRECTORY, which systemd sets for StateDirectory=, or nothing is saved
    #[arg(long, value_name = "DIR", env = "PLAINWS_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// When a change is on disk: second, within a second and at the end; always,
    /// before any client sees it, with one write for all changes that come together
    #[arg(
        long,
        value_name = "WHEN",
        env = "PLAINWS_SYNC",
        default_value = "second",
        hide_possible_values = true
    )]
    pub(crate) sync: Sync,

    /// -v logs connections, -vv also frames
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Log exactly from this level on: off, error, warn, info, debug, trace; -v goes before it.
    /// A port that the system has chosen is told at every level but off
    #[arg(long, value_name = "LEVEL", env = "PLAINWS_LOG_LEVEL", value_parser = level)]
    pub(crate) log_level: Option<LevelFilter>,

    /// Log as text, or as one JSON object a line: text, json
    #[arg(
        long,
        value_name = "FORMAT",
        env = "PLAINWS_LOG_FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,

    /// Serve figures for Prometheus: at /metrics of a listener of its own, an ADDR as for --listen
    /// without TLS, or at this /PATH of all listeners. Default: off
    #[arg(long, value_name = "PLACE", env = "PLAINWS_METRICS", value_parser = FiguresAt::parse)]
    pub(crate) metrics: Option<FiguresAt>,
}

fn origin(text: &str) -> Result<String, String> {
    let authority = text.split_once("://").map(|(_, authority)| authority);
    let fine = authority.is_some_and(|a| !a.is_empty() && !a.contains(['/', '@', ' ', '?', '#']));
    if fine || text == "null" || text == "none" {
        return Ok(text.to_owned());
    }
    Err("an origin is SCHEME://HOST[:PORT], null or none".to_owned())
}

/// What can stand in a header.
fn policy(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        true => Ok(text.to_owned()),
        false => Err("a policy is printable ASCII, such as default-src 'self'".to_owned()),
    }
}

/// `None` is no limit.
type PerAddress = Option<usize>;

fn per_address(text: &str) -> Result<PerAddress, String> {
    match text {
        "off" => Ok(None),
        _ => at_least_one(text)
            .map(Some)
            .map_err(|error| format!("{error}, or off")),
    }
}

fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse()
        .map_err(|_| "write off, error, warn, info, debug or trace".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path() {
        for fine in ["https://app.example", "http://[::1]:80", "null", "none"] {
            assert!(origin(fine).is_ok(), "{fine}");
        }
        for wrong in ["app.example", "https://", "https://a/", "https://u@a", "*"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
