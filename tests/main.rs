//! The tests that need nothing but cargo, in one binary, which links once. The modules mirror `src/` by
//! topic. Those with real peers are in `peers/`.

// Tests may stop at the first thing that is not as it should be.
#![allow(clippy::unwrap_used)]

mod support;

/// Who may do what: rules, users, tokens, the login.
mod access;
/// Where a client comes from: forwarded addresses, the limit of each address.
mod addresses;
/// The three applications, spoken to by our own client.
mod apps;
/// The order of the modules, which `use` may not turn round.
mod architecture;
/// The client: servers and proxies that lie, redirects, retrying.
mod client;
/// `Connection` from the outside: the same cases as server and as client.
mod connection;
/// The daemon as a process: arguments, logs, signals, exit codes.
mod daemon;
/// Streams of server-sent events.
mod events;
/// Every example, run as its header says.
mod examples;
/// Raw frames against the daemon and the echo example: the protocol, its limits and deadlines.
mod frames;
/// Raw bytes against the daemon: request heads, pages, refusals, Origin and Host.
mod http;
/// `Hub`: order, slow clients, registration.
mod hub;
/// `Metrics`: figures of a server.
mod metrics;
/// README and docs: their links, commands and code.
mod papers;
/// What was once wrong.
mod regression;
/// `Server`: listeners, limits, shutdown.
mod server;
/// Peers that are slow, silent or gone; many at once; shutdown under load.
mod slow;
/// `plainws connect` in a pseudo-terminal and in a pipe; completions and the man page.
mod terminal;
/// TLS: certificates as files, policy and faults at the server, the daemon, real peers.
#[cfg(feature = "tls")]
mod tls;
/// The last one: nothing is left behind.
mod topics;
/// What a build without TLS says.
#[cfg(not(feature = "tls"))]
mod without_tls;

mod zz;
