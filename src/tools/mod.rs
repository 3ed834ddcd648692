//! The tools beside the daemon.

#[cfg(feature = "tls")]
pub(crate) mod cert;
pub(crate) mod connect;
pub(crate) mod package;
mod say;
