//! `Socket`: a connected socket, TCP or Unix.
//!
//! Bytes go in and out without ever blocking (`MSG_DONTWAIT` a call: `O_NONBLOCK` would be shared
//! by every clone). All methods take `&self` and any thread may call them.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockRef, TcpKeepalive};

use crate::address::Address;

/// NOSIGNAL: std ignores SIGPIPE, but a program with a C main may not.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

#[cfg(not(target_vendor = "apple"))]
fn no_signal(_: &impl AsFd) {}

/// Apple's systems have that as an option of the socket.
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT;

#[cfg(target_vendor = "apple")]
fn no_signal(socket: &impl AsFd) {
    let _ = SockRef::from(socket).set_nosigpipe(true);
}

/// A connected socket that [`connect_over`](crate::ClientBuilder::connect_over) takes: a
/// `TcpStream` or a `UnixStream` becomes one by `into()`.
#[derive(Debug)]
pub struct Socket(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Sets what every connection of ours has: no Nagle delay, and TCP keepalive, which finds a
/// vanished peer where pings are off.
impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Socket {
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(10));
        // Neither is worth losing a client for: they fail when it has gone already.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        no_signal(&stream);
        Socket(Kind::Tcp(stream))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Socket {
        no_signal(&stream);
        Socket(Kind::Unix(stream))
    }
}

impl Socket {
    /// For a socket that somebody else has made.
    pub(crate) fn set_blocking(&self) -> io::Result<()> {
        match &self.0 {
            Kind::Tcp(stream) => stream.set_nonblocking(false),
            Kind::Unix(stream) => stream.set_nonblocking(false),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        match &self.0 {
            Kind::Tcp(stream) => stream.peer_addr().map(Address::Tcp),
            Kind::Unix(stream) => stream.peer_addr().map(|address| unix(&address)),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        match &self.0 {
            Kind::Tcp(stream) => stream.local_addr().map(Address::Tcp),
            Kind::Unix(stream) => stream.local_addr().map(|address| unix(&address)),
        }
    }

    /// Takes what has arrived; `WouldBlock` if nothing has, 0 at the end of the stream.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(retry(|| rustix::net::recv(self, &mut *buffer, RecvFlags::DONTWAIT))?.0)
    }

    /// Waits for bytes and appends them to the buffer, which has room; 0 at the end of the stream.
    /// `WouldBlock` if the socket was made one that does not wait.
    pub(crate) fn recv_blocking(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        Ok(retry(|| rustix::net::recv(self, spare_capacity(bytes), RecvFlags::empty()))?.0)
    }

    /// Looks at what has arrived and leaves it there.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        Ok(retry(|| rustix::net::recv(self, &mut *buffer, flags))?.0)
    }

    /// Hands over what the socket takes at once; `WouldBlock` if it takes nothing.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| rustix::net::send(self, bytes, SEND_FLAGS))
    }

    /// Errors mean that the peer is gone already.
    pub(crate) fn shutdown(&self, how: std::net::Shutdown) {
        let _ = match &self.0 {
            Kind::Tcp(stream) => stream.shutdown(how),
            Kind::Unix(stream) => stream.shutdown(how),
        };
    }

    /// Lets closing throw away what the peer has not taken, so that the kernel does not go on
    /// retransmitting to a host that has vanished.
    pub(crate) fn drop_unsent(&self) {
        if let Kind::Tcp(stream) = &self.0 {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Tcp(stream) => stream.as_fd(),
            Kind::Unix(stream) => stream.as_fd(),
        }
    }
}

fn unix(address: &std::os::unix::net::SocketAddr) -> Address {
    Address::Unix(address.as_pathname().map(Arc::from))
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    Ok(rustix::io::retry_on_intr(&mut call)?)
}
