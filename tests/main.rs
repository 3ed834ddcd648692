//! All integration tests in one binary, which links once. The modules mirror `src/` by topic.

// Tests may stop at the first thing that is not as it should be.
#![allow(clippy::unwrap_used)]

mod support;

/// The three applications, spoken to by our own client.
mod apps;
/// Chromium with the bundled pages.
mod browser;
/// The client: servers and proxies that lie, redirects, retrying.
mod client;
/// `Connection` from the outside: the same cases as server and as client.
mod connection;
/// The daemon as a process: arguments, logs, signals, exit codes.
mod daemon;
/// Every example, run as its header says.
mod examples;
/// Raw frames against the daemon and the echo example: the protocol, its limits and deadlines.
mod frames;
/// Raw bytes against the daemon: request heads, pages, refusals, Origin and Host.
mod http;
/// `Hub`: order, slow clients, registration.
mod hub;
/// Python websockets at the other end.
mod python;
/// What was once wrong.
mod regression;
/// `Server`: listeners, limits, shutdown.
mod server;
/// Peers that are slow, silent or gone; many at once; shutdown under load.
mod slow;
/// The units, and the Debian package as a service in a booted container.
#[cfg(feature = "tls")]
mod systemd;
/// `plainws connect` in a pseudo-terminal and in a pipe; completions and the man page.
mod terminal;
/// What a build without TLS says.
#[cfg(not(feature = "tls"))]
mod without_tls;
