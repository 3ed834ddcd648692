//! `Endpoint`: what `listen` takes, an address to bind or a socket that is bound already.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use crate::error::Result;
use crate::server::listener::Listener;

/// Where a server listens: an address as text, or a socket that was bound elsewhere.
#[derive(Debug)]
pub struct Endpoint(Kind);

#[derive(Debug)]
enum Kind {
    Address(String),
    Bound(Result<Listener>),
}

impl Endpoint {
    /// Binds the address, if it is not bound yet: a name may have several.
    pub(crate) fn bind(self) -> Result<Vec<Listener>> {
        match self.0 {
            Kind::Address(address) => Listener::bind(&address),
            Kind::Bound(listener) => Ok(vec![listener?]),
        }
    }
}

impl From<&str> for Endpoint {
    fn from(address: &str) -> Endpoint {
        Endpoint(Kind::Address(address.to_owned()))
    }
}

impl From<&String> for Endpoint {
    fn from(address: &String) -> Endpoint {
        Endpoint(Kind::Address(address.clone()))
    }
}

impl From<String> for Endpoint {
    fn from(address: String) -> Endpoint {
        Endpoint(Kind::Address(address))
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        Endpoint(Kind::Address(address.to_string()))
    }
}

impl From<Listener> for Endpoint {
    fn from(listener: Listener) -> Endpoint {
        Endpoint(Kind::Bound(Ok(listener)))
    }
}

impl From<TcpListener> for Endpoint {
    fn from(listener: TcpListener) -> Endpoint {
        Endpoint(Kind::Bound(listener.try_into()))
    }
}

impl From<UnixListener> for Endpoint {
    fn from(listener: UnixListener) -> Endpoint {
        Endpoint(Kind::Bound(listener.try_into()))
    }
}
