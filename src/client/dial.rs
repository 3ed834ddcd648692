//! Dialling: a host and a port become a connected socket, within the attempt's deadline.
//!
//! In the caller's thread. The system's own resolver cannot be stopped: what it takes (5 s for each
//! name server that is silent) counts, and then the deadline is found to have passed.

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

use super::attempt::Attempt;
use crate::address::Address;
use crate::error::{Error, Result};
use crate::wire::Wire;
use crate::wire::socket::Socket;

/// A way to the server, and the addresses of its ends.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) wire: Wire,
    pub(crate) peer: Address,
    pub(crate) local: Address,
}

impl Line {
    pub(crate) fn new(socket: Socket, peer: Address) -> Line {
        Line {
            local: socket.local_addr().unwrap_or(Address::Unix(None)),
            wire: Wire::new(socket),
            peer,
        }
    }

    /// Takes a given socket over.
    pub(crate) fn over(socket: Socket) -> io::Result<Line> {
        // Waiting for a message is one call that blocks: on a socket that does not, it would spin.
        socket.set_blocking()?;
        let peer = socket.peer_addr()?;
        Ok(Line::new(socket, peer))
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
    first_of(attempt, &addresses)
        .map_err(|error| attempt.failed(format_args!("cannot connect to {name}"), error))
}

fn first_of(attempt: &Attempt, addresses: &[SocketAddr]) -> io::Result<Line> {
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
            Ok(stream) => return Ok(Line::new(stream.into(), Address::Tcp(*address))),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// A listener that takes nobody any more: packets of who connects are thrown away, as in a
    /// network that swallows them.
    fn silent() -> (SocketAddr, Vec<Socket>) {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let listener = socket();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).expect("bind");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("an address");
        let mut sockets = vec![listener];
        for _ in 0..4 {
            let waiting = socket();
            waiting.set_nonblocking(true).expect("non-blocking");
            // Those that find no room in the queue stay there trying.
            let _ = waiting.connect(&address);
            sockets.push(waiting);
        }
        (address.as_socket().expect("an IP address"), sockets)
    }

    #[test]
    fn an_address_that_is_silent_leaves_time_for_those_behind_it() {
        let (silent, _sockets) = silent();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let good = listener.local_addr().expect("an address");
        let attempt = Attempt::new(Duration::from_secs(3));
        let line = first_of(&attempt, &[silent, good]).expect("a connection");
        assert_eq!(line.peer, Address::Tcp(good));
        assert!(!attempt.deadline.has_passed());
    }

    #[test]
    fn silent_addresses_take_the_time_there_is_and_no_more() {
        let (silent, _sockets) = silent();
        let attempt = Attempt::new(Duration::from_millis(200));
        let error = first_of(&attempt, &[silent, silent]).expect_err("nobody answers");
        let error = attempt.failed("cannot connect to h:80", error).to_string();
        assert_eq!(error, "cannot connect to h:80 within 200ms");
    }
}
