//! `Metrics`: a server's figures at one moment. `Counters`: those of them that are counted as things
//! happen, by any thread, without a lock.
//!
//! What a connection sends and receives is not counted here: it counts that for itself anyhow, under
//! locks that it holds anyhow, and `roster.rs` adds it up when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::connection::Tally;

/// What a server has done since it started, and what it holds now; see
/// [`Server::metrics`](crate::Server::metrics).
///
/// Counters never go down. Nothing here is a text that a client sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Connections that are open now.
    pub clients: usize,
    /// Those of them that are event streams.
    pub event_streams: usize,
    /// Connections opened.
    pub accepted: u64,
    /// Requests answered with a page.
    pub pages: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent, one for each client that a broadcast went to.
    pub messages_out: u64,
    /// Bytes received, of handshakes and pages, too; without those of TLS.
    pub bytes_in: u64,
    /// Bytes handed to the system, of handshakes and pages, too; without those of TLS.
    pub bytes_out: u64,
    /// Clients that were closed or cut because they read too slowly.
    pub slow_closed: u64,
    /// Bytes that wait in the backlogs of slow clients now.
    pub backlog_bytes: u64,
    refused: [u64; Reason::NAMES.len()],
}

impl Metrics {
    /// How many clients were refused, by reason. The reasons are always the same words, in the
    /// same order, also those that have not happened.
    ///
    /// ```
    /// let server = plainws::Server::builder(|_| Ok(())).listen("localhost:0").start()?;
    /// let metrics = server.metrics();
    /// assert!(metrics.refused().any(|(reason, count)| reason == "origin" && count == 0));
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::NAMES.into_iter().zip(self.refused)
    }

    pub(crate) fn add_tally(&mut self, all: Tally) {
        self.messages_in = all.messages_in;
        self.messages_out = all.messages_out;
        self.bytes_in = all.bytes_in;
        self.bytes_out = all.bytes_out;
        self.slow_closed = all.slow_closed;
        self.backlog_bytes = all.backlog_bytes;
    }
}

/// Why a client got no connection. The names go into labels, and so are few and fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// As many connections of its address are open as may be.
    Address,
    /// Another answer of the program than a page or an upgrade, but 404.
    Application,
    /// A head that is no request, or one that is too large.
    BadRequest,
    /// All places are taken.
    Full,
    /// It went away, or the connection broke.
    Gone,
    /// A Host that is not served.
    Host,
    /// The program answered 404.
    NotFound,
    /// A page of an origin that is not allowed.
    Origin,
    /// The server is shutting down.
    Stopping,
    /// The system gave no thread.
    Threads,
    /// The opening handshake took too long.
    Timeout,
    /// No TLS where it is spoken, or the other way round, or its handshake came to nothing.
    Tls,
    /// No WebSocket where only that is served, or another version of it.
    Upgrade,
}

impl Reason {
    /// Of all, in the order of the variants, which is that of the alphabet.
    const NAMES: [&str; Reason::Upgrade as usize + 1] = [
        "address",
        "application",
        "bad_request",
        "full",
        "gone",
        "host",
        "not_found",
        "origin",
        "stopping",
        "threads",
        "timeout",
        "tls",
        "upgrade",
    ];

    pub(crate) fn name(self) -> &'static str {
        Reason::NAMES[self as usize]
    }

    /// Of an answer to a request that was not understood.
    pub(crate) fn of_status(status: u16) -> Reason {
        match status {
            408 => Reason::Timeout,
            426 => Reason::Upgrade,
            _ => Reason::BadRequest,
        }
    }

    /// Of an answer that the program gave.
    pub(crate) fn of_application(status: u16) -> Reason {
        match status {
            404 => Reason::NotFound,
            _ => Reason::Application,
        }
    }
}

/// Counted once a client, or more rarely: relaxed, as no figure says anything about another.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    pages: AtomicU64,
    refused: [AtomicU64; Reason::NAMES.len()],
}

impl Counters {
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn page(&self) {
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, reason: Reason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fill(&self, metrics: &mut Metrics) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        metrics.accepted = read(&self.accepted);
        metrics.pages = read(&self.pages);
        metrics.refused = std::array::from_fn(|i| read(&self.refused[i]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_under_its_own_name() {
        let reasons = [
            Reason::Address,
            Reason::Application,
            Reason::BadRequest,
            Reason::Full,
            Reason::Gone,
            Reason::Host,
            Reason::NotFound,
            Reason::Origin,
            Reason::Stopping,
            Reason::Threads,
            Reason::Timeout,
            Reason::Tls,
            Reason::Upgrade,
        ];
        for reason in reasons {
            let name = reason.name().replace('_', "");
            assert_eq!(name, format!("{reason:?}").to_lowercase());
            let counters = Counters::default();
            counters.refused(reason);
            let mut metrics = Metrics::default();
            counters.fill(&mut metrics);
            let counted: Vec<_> = metrics.refused().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(reason.name(), 1)]);
        }
    }
}
