//! The text format of Prometheus, version 0.0.4: for each figure what it is, its type and its value.

use std::fmt::Write;

use plainws::Metrics;

/// What may happen to a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only goes up, until the process ends.
    Counter,
    Gauge,
}

/// A page under way. Names, helps and labels are ours, and need no escapes.
#[derive(Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// What the library knows.
    pub(super) fn server(&mut self, metrics: &Metrics) {
        use Kind::{Counter, Gauge};
        self.head(
            Gauge,
            "plainws_build_info",
            "The program; the value is always 1.",
        );
        let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
        self.sample("plainws_build_info", version, 1);
        self.one(
            Gauge,
            "plainws_clients",
            "WebSocket connections that are open.",
            metrics.clients as u64,
        );
        self.one(
            Counter,
            "plainws_connections_accepted_total",
            "WebSocket connections opened.",
            metrics.accepted,
        );
        let refused = "plainws_connections_refused_total";
        let help = "Clients that got neither a WebSocket nor a page, by reason.";
        self.head(Counter, refused, help);
        for (reason, count) in metrics.refused() {
            self.sample(refused, &format!("reason=\"{reason}\""), count);
        }
        let rest = [
            (
                Counter,
                "plainws_pages_total",
                "Requests answered with a page.",
                metrics.pages,
            ),
            (
                Counter,
                "plainws_messages_received_total",
                "WebSocket messages received.",
                metrics.messages_in,
            ),
            (
                Counter,
                "plainws_messages_sent_total",
                "WebSocket messages sent, a broadcast once for each client.",
                metrics.messages_out,
            ),
            (
                Counter,
                "plainws_received_bytes_total",
                "Bytes received, with handshakes and pages, without TLS.",
                metrics.bytes_in,
            ),
            (
                Counter,
                "plainws_sent_bytes_total",
                "Bytes sent, with handshakes and pages, without TLS.",
                metrics.bytes_out,
            ),
            (
                Counter,
                "plainws_slow_clients_closed_total",
                "Clients that were closed because they read too slowly.",
                metrics.slow_closed,
            ),
            (
                Gauge,
                "plainws_backlog_bytes",
                "Bytes that wait for slow clients.",
                metrics.backlog_bytes,
            ),
        ];
        for (kind, name, help, value) in rest {
            self.one(kind, name, help, value);
        }
    }

    /// A figure without labels.
    pub(super) fn one(&mut self, kind: Kind, name: &str, help: &str, value: u64) {
        self.head(kind, name, help);
        self.sample(name, "", value);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, kind: Kind, name: &str, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to memory does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, label: &str, value: u64) {
        let _ = match label {
            "" => writeln!(self.0, "{name} {value}"),
            label => writeln!(self.0, "{name}{{{label}}} {value}"),
        };
    }
}
