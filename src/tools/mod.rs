//! The tools beside the daemon.

#[cfg(all(feature = "tls", not(target_vendor = "apple")))]
pub(crate) mod cert;
pub(crate) mod connect;
pub(crate) mod package;
mod say;
