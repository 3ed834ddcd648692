//! The tests with real peers at the other end: Chromium, nginx, Python, openssl, systemd, strace. A
//! peer that is missing is a failure, with the command that installs it.

// Tests may stop at the first thing that is not as it should be.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

/// Chromium with the bundled pages.
mod browser;
/// `plainws cert`: its files, read by the `openssl` tool, curl and Python.
mod cert;
/// `plainws connect` with a server of Python's; completions in bash, the man page in man.
mod connect;
/// The Django site of the examples, in Chromium, through nginx.
mod django;
/// SIGKILL at each step of saving, by strace.
mod kills;
mod login;
/// A real nginx in front: pages and sockets over TLS, addresses, idle connections.
mod nginx;
/// Chromium with pages of one's own.
mod own_pages;
/// Python websockets at the other end.
mod python;
/// Sockets handed over by systemd-socket-activate.
mod sockets;
/// The units, and the Debian package as a service in a booted container.
mod systemd;
/// TLS with Python, the `openssl` tool, curl and Chromium.
mod tls;
/// Chromium with the pages of topics and streams.
mod topics;
mod topics_pages;
/// The last one: nothing is left behind.
#[path = "../zz.rs"]
mod zz;
