//! `Framing`: what a connection is, and so how what it sends looks on the wire.

use tungstenite::protocol::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The server's end of a WebSocket.
    Server,
    /// The client's end: what it sends is masked.
    Client,
    /// A stream of server-sent events (HTML standard, section 9.2): what is sent stands there as it is,
    /// nothing is received, and the end of the stream is the only goodbye.
    Events,
}

impl Framing {
    /// For who reads frames; of an event stream nobody reads any.
    pub(super) fn role(self) -> Role {
        match self {
            Framing::Server | Framing::Events => Role::Server,
            Framing::Client => Role::Client,
        }
    }
}
