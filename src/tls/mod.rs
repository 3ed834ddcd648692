//! TLS, at both ends: `Identity`, a certificate with its key; `Tls`, the server's side, which shows
//! it; `Trust`, the client's side, which checks it. A socket and a deadline go in, and a `Session`
//! comes out, which a wire reads and writes through, or a `Failure`, which the caller words.
//!
//! A handshake runs in the caller's thread. Nothing here ever blocks but to wait for the peer in a
//! handshake. Without the feature `tls` there are types that nobody can get, so that nothing else
//! needs to ask.

#[cfg(feature = "tls")]
mod acceptor;
#[cfg(feature = "tls")]
mod connector;
#[cfg(feature = "tls")]
mod identity;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod pipe;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod words;

#[cfg(not(feature = "tls"))]
mod absent;

use std::fmt;
use std::io;

use crate::error::Error;

#[cfg(feature = "tls")]
pub use acceptor::Tls;
#[cfg(feature = "tls")]
pub(crate) use connector::Trust;
#[cfg(feature = "tls")]
pub use identity::Identity;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Tls, Trust};

/// Why a handshake came to nothing.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "nothing fails that is not there")
)]
pub(crate) enum Failure {
    /// This build has no TLS.
    #[cfg_attr(feature = "tls", expect(dead_code, reason = "this build has it"))]
    Absent,
    /// What was set cannot be used; nothing was sent.
    Setup(Error),
    /// The deadline came first.
    Late,
    /// The connection was lost.
    Lost(io::Error),
    /// The two ends do not agree: why, as the end says it that finds out.
    Disagreed(String),
}

/// As a server says it of a client.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Absent => f.write_str("this build has none"),
            Failure::Setup(error) => error.fmt(f),
            Failure::Late => f.write_str("it took too long"),
            Failure::Lost(error) => error.fmt(f),
            Failure::Disagreed(why) => f.write_str(why),
        }
    }
}
