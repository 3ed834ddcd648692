//! `Name`: how a connection is called in logs, and its thread on a server.

use std::fmt;

use crate::connection::framing::Framing;

/// `ws-conn-17` at a server, `ws-client-17` at a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name(pub(crate) Framing, pub(crate) u64);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Framing::Server | Framing::Events => "conn",
            Framing::Client => "client",
        };
        write!(f, "ws-{kind}-{}", self.1)
    }
}
