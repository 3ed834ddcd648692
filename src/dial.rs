//! Dialling: a host and a port become a connected socket, within the attempt's deadline; and
//! `Socket`, one that somebody else has connected.
//!
//! In the caller's thread. The system's own resolver cannot be stopped: what it takes (5 s for each
//! name server that is silent) counts, and then the deadline is found to have passed.

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::attempt::Attempt;
use crate::error::{Error, Result};
use crate::listener::Address;
use crate::wire::Wire;

/// A connected socket, for [`connect_over`](crate::ClientBuilder::connect_over). A `TcpStream` and
/// a `UnixStream` become one by `into()`.
#[derive(Debug)]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection to a Unix socket.
    Unix(UnixStream),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Socket {
        Socket::Tcp(stream)
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Socket {
        Socket::Unix(stream)
    }
}

/// A way to the server, and the addresses of its ends.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) wire: Wire,
    pub(crate) peer: Address,
    pub(crate) local: Address,
}

impl Line {
    pub(crate) fn tcp(stream: TcpStream, peer: SocketAddr) -> Line {
        let local = stream.local_addr();
        Line {
            wire: Wire::tcp(stream),
            peer: Address::Tcp(peer),
            local: local.map_or(Address::Unix(None), Address::Tcp),
        }
    }

    /// Takes a given socket over.
    pub(crate) fn over(socket: Socket) -> io::Result<Line> {
        // Waiting for a message is one call that blocks: on a socket that does not, it would spin.
        match socket {
            Socket::Tcp(stream) => {
                stream.set_nonblocking(false)?;
                let peer = stream.peer_addr()?;
                Ok(Line::tcp(stream, peer))
            }
            Socket::Unix(stream) => {
                stream.set_nonblocking(false)?;
                let name = |address: io::Result<std::os::unix::net::SocketAddr>| {
                    let path = address.ok()?.as_pathname().map(Arc::from);
                    Some(Address::Unix(path))
                };
                let peer = name(stream.peer_addr()).unwrap_or(Address::Unix(None));
                let local = name(stream.local_addr()).unwrap_or(Address::Unix(None));
                let wire = Wire::unix(stream);
                Ok(Line { wire, peer, local })
            }
        }
    }
}

/// All addresses of a name.
pub(crate) fn resolve(attempt: &Attempt, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let what = format!("cannot resolve {host}");
    let addresses: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(attempt.failed(what, error)),
    };
    if addresses.is_empty() {
        let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(Error::io(what, none));
    }
    Ok(addresses)
}

/// Connects to the first address that answers. Each may take its share of the time that is left, so
/// that one whose packets vanish, as IPv6 does in some networks, leaves enough to those behind it.
pub(crate) fn dial(attempt: &Attempt, host: &str, port: u16, name: impl Display) -> Result<Line> {
    let addresses = resolve(attempt, host, port)?;
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for (tried, address) in addresses.iter().enumerate() {
        let still_to_try = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let connected = match attempt.deadline.remaining() {
            None => TcpStream::connect(address),
            Some(left) => {
                let share = left / still_to_try;
                if share.is_zero() {
                    break;
                }
                TcpStream::connect_timeout(address, share)
            }
        };
        match connected {
            Ok(stream) => return Ok(Line::tcp(stream, *address)),
            Err(error) => last = error,
        }
    }
    Err(attempt.failed(format_args!("cannot connect to {name}"), last))
}
