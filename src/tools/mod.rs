//! The tools beside the daemon.

#[cfg(feature = "tls")]
pub(crate) mod cert;
pub(crate) mod connect;
mod say;
pub(crate) mod token;
