//! Dialling: a host and a port become a connected socket, within the attempt's deadline.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// A connected socket, for [`connect_over`](crate::ClientBuilder::connect_over).
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
