//! `Address`: where one end of a connection is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// The address of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IP address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; none for a client's end, which has no name.
    Unix(Option<Arc<Path>>),
}

impl Address {
    /// The port of a TCP address.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    /// The IP address of a TCP address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Tcp(address) => Some(address.ip()),
            Address::Unix(_) => None,
        }
    }

    /// An IPv4 client of a socket for both families shows as `::ffff:127.0.0.1`; say it plainly.
    pub(crate) fn plain(address: SocketAddr) -> Address {
        Address::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

/// `127.0.0.1:8765`, `[::1]:8765` or `unix:/path`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Address::Unix(None) => f.write_str("unix:"),
        }
    }
}
