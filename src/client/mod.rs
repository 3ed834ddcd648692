//! The client end: `connect` opens a connection as `builder` describes it, `retry` one after the other.
//! In reading order; each file uses only those below it.

mod retry;

mod connect;

mod builder;

mod proxies;

mod proxy;

mod socks;

mod response;

mod body;

mod offer;

mod target;

mod transport;

mod attempt;

mod url;

mod login;

pub use builder::{Client, ClientBuilder};
pub use connect::connect;
pub use retry::{Retry, Stopper};
