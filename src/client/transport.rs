//! `Transport`: a connected socket that is to become a connection, to a server or first to a proxy.
//!
//! In the caller's thread. Every step ends within the attempt's deadline and names itself in its
//! error. Only the system's own resolver cannot be stopped: what it takes (5 s for each name server
//! that is silent) counts, and then the deadline is found to have passed.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::attempt::Attempt;
use crate::address::Address;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::tls::{Failure, Trust};
use crate::wire::Wire;
use crate::wire::socket::Socket;

/// A way to the server, and the addresses of its ends.
#[derive(Debug)]
pub(super) struct Transport<'a> {
    pub(super) attempt: &'a Attempt,
    /// Who is at the other end, for errors.
    pub(super) name: String,
    pub(super) wire: Wire,
    pub(super) peer: Address,
    pub(super) local: Address,
}

impl<'a> Transport<'a> {
    /// Connects to the first address of a host that answers.
    pub(super) fn dial(attempt: &'a Attempt, host: &str, port: u16, name: String) -> Result<Self> {
        let connected = first_of(attempt.deadline, &resolve(attempt, host, port)?);
        let (stream, peer) = connected
            .map_err(|error| attempt.failed(format_args!("cannot connect to {name}"), error))?;
        Ok(Transport::new(
            attempt,
            name,
            stream.into(),
            Address::Tcp(peer),
        ))
    }

    /// Takes a given socket over.
    pub(super) fn over(attempt: &'a Attempt, socket: Socket, name: String) -> Result<Self> {
        // Waiting for a message is one call that blocks.
        let peer = socket.set_blocking().and_then(|()| socket.peer_addr());
        let peer = peer.map_err(|error| attempt.failed("cannot use the given socket", error))?;
        Ok(Transport::new(attempt, name, socket, peer))
    }

    fn new(attempt: &'a Attempt, name: String, socket: Socket, peer: Address) -> Self {
        Transport {
            attempt,
            name,
            peer,
            local: socket.local_addr().unwrap_or(Address::Unix(None)),
            wire: Wire::new(socket),
        }
    }

    /// Makes TLS over what there is. `host` is a name, or an address without brackets; `place` is for
    /// errors.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the two ends do not agree, which will not pass; else as of any other stage.
    pub(super) fn secure(&mut self, trust: &Trust, host: &str, place: &str) -> Result<()> {
        let (attempt, below) = (self.attempt, self.wire.take_session());
        let session = trust.connect(self.wire.socket(), below, host, attempt.deadline);
        self.wire.secure(session.map_err(|failure| match failure {
            Failure::Absent => Error::invalid(format!(
                "cannot reach {place} by TLS: this build has none, it was made without the feature tls"
            )),
            Failure::Setup(error) => error,
            Failure::Late => {
                let late = io::ErrorKind::TimedOut.into();
                attempt.failed(format_args!("no answer to TLS with {place}"), late)
            }
            Failure::Lost(error) => attempt.failed(format_args!("TLS with {place}"), error),
            Failure::Disagreed(why) => Error::tls(format!("TLS with {place} failed: {why}")),
        })?);
        Ok(())
    }

    /// Sends a request's head.
    pub(super) fn send_head<'b>(
        &self,
        first_line: &str,
        fields: impl Iterator<Item = (&'b str, &'b str)>,
    ) -> Result<()> {
        self.attempt.log_line('>', first_line);
        let mut head = format!("{first_line}\r\n");
        for (name, value) in fields {
            self.attempt.log_header('>', name, value);
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())
    }

    /// Sends bytes, all of them.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<()> {
        let sent = self.wire.send_all(bytes, self.attempt.deadline);
        sent.map_err(|error| {
            let what = format_args!("cannot send the request to {}", self.name);
            self.attempt.failed(what, error)
        })
    }

    /// Waits for bytes, and takes at most as many as the buffer has room for; never 0.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed");
        let received = match self.receive_until(buffer, self.attempt.deadline) {
            Ok(0) => Err(ended()),
            received => received,
        };
        received.map_err(|error| {
            let what = format_args!("no answer from {}", self.name);
            self.attempt.failed(what, error)
        })
    }

    /// Waits for bytes; 0 at the end of the stream, `TimedOut` at the deadline.
    pub(super) fn receive_until(&self, buffer: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        loop {
            // Also if there is more: a peer that drips moves no deadline.
            if deadline.has_passed() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Before waiting: TLS may hold bytes that the socket does not know of any more.
            match self.wire.recv(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
            self.wire.wait_readable(deadline)?;
        }
    }
}

/// All addresses of a name.
pub(super) fn resolve(attempt: &Attempt, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let what = format!("cannot resolve {host}");
    match (host, port).to_socket_addrs() {
        Ok(addresses) if addresses.len() > 0 => Ok(addresses.collect()),
        Ok(_) => {
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            Err(Error::io(what, none))
        }
        Err(error) => Err(attempt.failed(what, error)),
    }
}

/// Each address may take its share of the time that is left, so that one whose packets vanish, as
/// IPv6 does in some networks, leaves enough to those behind it.
fn first_of(deadline: Deadline, addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for (address, still_to_try) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let connected = match deadline.remaining().map(|left| left / still_to_try) {
            None => TcpStream::connect(address),
            Some(Duration::ZERO) => break,
            Some(share) => TcpStream::connect_timeout(address, share),
        };
        match connected {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
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
        let (_, peer) = first_of(attempt.deadline, &[silent, good]).expect("a connection");
        assert_eq!(peer, good);
        assert!(!attempt.deadline.has_passed());
    }

    #[test]
    fn silent_addresses_take_the_time_there_is_and_no_more() {
        let (silent, _sockets) = silent();
        let attempt = Attempt::new(Duration::from_millis(200));
        let error = first_of(attempt.deadline, &[silent, silent]).expect_err("nobody answers");
        let error = attempt.failed("cannot connect to h:80", error).to_string();
        assert_eq!(error, "cannot connect to h:80 within 200ms");
    }
}
