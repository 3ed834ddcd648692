//! `Attempt`: one try to open a connection: its number in the log, and the one deadline over names,
//! TCP, proxy, TLS, upgrade and redirects together.
//!
//! In the caller's thread. What reads and writes heads goes through here, so that every stage ends
//! in time and names itself in its error.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use log::debug;

use super::target;
use crate::connection;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::escaped::Escaped;
use crate::tls::{Failure, Trust};
use crate::wire::Wire;

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
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) deadline: Deadline,
    limit: Duration,
}

impl Attempt {
    pub(crate) fn new(limit: Duration) -> Attempt {
        Attempt {
            id: connection::next_id(),
            deadline: Deadline::after(limit),
            limit,
        }
    }

    /// What has failed, `cannot connect to h:80`, and why: the deadline or the system.
    pub(crate) fn failed(&self, what: impl Display, error: io::Error) -> Error {
        // A system gives up on a silent host by itself, too, and says so in its own words.
        if self.deadline.has_passed() {
            Error::timed_out(format!("{what} within {:?}", self.limit))
        } else {
            Error::io(what.to_string(), error)
        }
    }

    /// Makes TLS over what the wire is so far. `host` is a name, or an address without brackets;
    /// `place` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the two ends do not agree, which will not pass; else as of any other stage.
    pub(crate) fn secure(
        &self,
        wire: &mut Wire,
        trust: &Trust,
        host: &str,
        place: &str,
    ) -> Result<()> {
        let below = wire.take_session();
        let session = trust.connect(wire.socket(), below, host, self.deadline);
        wire.secure(session.map_err(|failure| match failure {
            Failure::Absent => Error::invalid(format!(
                "cannot reach {place} by TLS: this build has none, it was made without the feature tls"
            )),
            Failure::Setup(error) => error,
            Failure::Late => {
                let late = io::ErrorKind::TimedOut.into();
                self.failed(format_args!("no answer to TLS with {place}"), late)
            }
            Failure::Lost(error) => self.failed(format_args!("TLS with {place}"), error),
            Failure::Disagreed(why) => Error::tls(format!("TLS with {place} failed: {why}")),
        })?);
        Ok(())
    }

    /// Sends a request's head.
    pub(crate) fn send_head<N: AsRef<str>>(
        &self,
        wire: &Wire,
        first_line: &str,
        fields: &[(N, String)],
        to: impl Display,
    ) -> Result<()> {
        self.log_line('>', first_line);
        let mut head = format!("{first_line}\r\n");
        for (name, value) in fields {
            let name = name.as_ref();
            self.log_header('>', name, value);
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(wire, head.as_bytes(), to)
    }

    /// Sends bytes, all of them.
    pub(crate) fn send(&self, wire: &Wire, bytes: &[u8], to: impl Display) -> Result<()> {
        let sent = wire.send_all(bytes, self.deadline);
        sent.map_err(|error| self.failed(format_args!("cannot send the request to {to}"), error))
    }

    /// Waits for bytes, and takes at most as many as the buffer has room for; never 0.
    pub(crate) fn receive(
        &self,
        wire: &Wire,
        buffer: &mut [u8],
        from: impl Display,
    ) -> Result<usize> {
        let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed");
        let received = match receive(wire, buffer, self.deadline) {
            Ok(0) => Err(ended()),
            received => received,
        };
        received.map_err(|error| self.failed(format_args!("no answer from {from}"), error))
    }

    /// Logs a line of a head, sent (`>`) or received (`<`).
    pub(crate) fn log_line(&self, direction: char, line: impl Display) {
        debug!(target: LOG, "ws-client-{} {direction} {}", self.id, Escaped(&line.to_string()));
    }

    pub(crate) fn log_header(&self, direction: char, name: &str, value: &str) {
        let secret = SECRET
            .iter()
            .any(|secret| secret.eq_ignore_ascii_case(name));
        let location = name.eq_ignore_ascii_case("Location");
        let value = match secret {
            true => "...".into(),
            false if location => target::without_login(value),
            false => value.to_owned(),
        };
        self.log_line(direction, format_args!("{name}: {value}"));
    }

    /// Logs where the attempt goes.
    pub(crate) fn log(&self, what: impl Display) {
        debug!(target: LOG, "ws-client-{} {what}", self.id);
    }
}

/// Waits for bytes; 0 at the end of the stream, `TimedOut` at the deadline.
pub(crate) fn receive(wire: &Wire, buffer: &mut [u8], deadline: Deadline) -> io::Result<usize> {
    loop {
        // Also if there is more: a peer that drips moves no deadline.
        if deadline.has_passed() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Before waiting: TLS may hold bytes that the socket does not know of any more.
        match wire.recv(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
        wire.wait_readable(deadline)?;
    }
}
