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
mod session;

#[cfg(feature = "tls")]
mod pipe;

#[cfg(feature = "tls")]
mod identity;

#[cfg(feature = "tls")]
mod pem;

#[cfg(feature = "tls")]
mod words;

#[cfg(not(feature = "tls"))]
mod absent;

mod failure;

#[cfg(feature = "tls")]
pub use acceptor::Tls;
#[cfg(feature = "tls")]
pub(crate) use connector::Trust;
#[cfg(feature = "tls")]
pub use identity::Identity;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Tls, Trust};
pub(crate) use failure::Failure;
