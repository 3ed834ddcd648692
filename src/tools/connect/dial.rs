//! `Dial`: where a session's connections come from. Asked by its thread `receive` only.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use plainws::{ClientBuilder, Connection, Result, Retry};

/// Where connections come from.
pub(super) enum Dial {
    Once(ClientBuilder, String),
    Unix(ClientBuilder, String, PathBuf, Duration),
    Again(Box<Retry>),
}

impl Dial {
    /// The next connection; `None` when it was stopped. Waits.
    pub(super) fn connect(&mut self) -> Option<Result<Connection>> {
        match self {
            Dial::Once(client, uri) => Some(client.connect(uri)),
            Dial::Unix(client, uri, path, limit) => Some(
                reach(path, *limit)
                    .map_err(|error| {
                        format!("cannot connect to unix:{}: {error}", path.display()).into()
                    })
                    .and_then(|stream| client.connect_over(uri, stream)),
            ),
            Dial::Again(retry) => retry.next(),
        }
    }
}

/// Connecting to a Unix socket waits while its listener's queue is full, for the send timeout.
fn reach(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(limit))?;
    socket
        .connect(&SockAddr::unix(path)?)
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })?;
    socket.set_write_timeout(None)?;
    Ok(socket.into())
}
