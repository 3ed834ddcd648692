//! `plainws serve`: the daemon, and what only it needs. A `use` among these points down the list.

mod serve;

mod args;

mod sockets;

#[cfg(feature = "tls")]
mod keys;
#[cfg(not(feature = "tls"))]
#[path = "no_keys.rs"]
mod keys;

mod access;

mod notify;

mod metrics;

mod listen;

mod state;

mod logger;

mod limits;

pub(crate) use args::Serve;
pub(crate) use serve::run as serve;
