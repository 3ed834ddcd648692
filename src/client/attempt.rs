//! `Attempt`: one try to open a connection: its number in the log, and the one deadline over names,
//! TCP, proxy, TLS, upgrade and redirects together. In the caller's thread.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use log::debug;

use super::url;
use crate::connection;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::escaped::Escaped;

/// The log target of what a client says and hears before the connection is open.
const LOG: &str = "plainws::client";
/// Headers whose values are nobody else's business.
const SECRET: [&str; 4] = [
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
];

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: u64,
    pub(super) deadline: Deadline,
    limit: Duration,
}

impl Attempt {
    pub(super) fn new(limit: Duration) -> Attempt {
        Attempt {
            id: connection::next_id(),
            deadline: Deadline::after(limit),
            limit,
        }
    }

    /// What has failed, `cannot connect to h:80`, and why: the deadline or the system.
    pub(super) fn failed(&self, what: impl Display, error: io::Error) -> Error {
        // A system gives up on a silent host by itself, too, and says so in its own words.
        match self.deadline.has_passed() {
            true => Error::timed_out(format!("{what} within {:?}", self.limit)),
            false => Error::io(what.to_string(), error),
        }
    }

    /// Logs where the attempt goes.
    pub(super) fn log(&self, what: impl Display) {
        debug!(target: LOG, "ws-client-{} {what}", self.id);
    }

    /// Logs a line of a head, sent (`>`) or received (`<`).
    pub(super) fn log_line(&self, direction: char, line: impl Display) {
        self.log(format_args!("{direction} {}", Escaped(&line.to_string())));
    }

    pub(super) fn log_header(&self, direction: char, name: &str, value: &str) {
        let is = |other: &&str| other.eq_ignore_ascii_case(name);
        let value = match value {
            _ if SECRET.iter().any(is) => "...".to_owned(),
            value if is(&"Location") => url::without_login(value),
            value => value.to_owned(),
        };
        self.log_line(direction, format_args!("{name}: {value}"));
    }
}
