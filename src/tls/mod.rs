//! TLS, at both ends: `Identity`, a certificate with its key; `Tls`, the server's side, which shows
//! it; `Trust`, the client's side, which checks it; and `Session`, which a `Wire` reads and writes
//! through once the handshake is done.
//!
//! A handshake runs in the thread of the connection, within its opening deadline. Nothing here
//! ever blocks but to wait for the peer in a handshake. Without the feature `tls` only the type
//! that can never exist is left, so that `wire.rs` reads the same.

#[cfg(feature = "tls")]
mod acceptor;
#[cfg(feature = "tls")]
mod connector;
#[cfg(feature = "tls")]
mod identity;
#[cfg(feature = "tls")]
mod pipe;
// What makes and checks certificates and keys, and accepts handshakes.
#[cfg(feature = "tls")]
#[cfg_attr(
    not(any(target_vendor = "apple", plainws_native_tls)),
    path = "openssl.rs"
)]
#[cfg_attr(any(target_vendor = "apple", plainws_native_tls), path = "native.rs")]
mod provider;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod words;

#[cfg(not(feature = "tls"))]
mod absent;

#[cfg(feature = "tls")]
pub use acceptor::Tls;
#[cfg(feature = "tls")]
pub(crate) use connector::Trust;
#[cfg(feature = "tls")]
pub use identity::Identity;
#[cfg(feature = "tls")]
pub(crate) use session::Session;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Session, Tls, Trust};
