//! `plainws serve`: the daemon, and what only it needs.

mod serve;

mod args;
#[cfg(feature = "tls")]
mod keys;
#[cfg(not(feature = "tls"))]
#[path = "no_keys.rs"]
mod keys;
mod limits;
mod logger;
mod metrics;
mod notify;
mod sockets;
mod state;

pub(crate) use args::Serve;
pub(crate) use serve::run as serve;
