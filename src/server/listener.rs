//! `Listener`: a bound socket that clients come to, TCP or Unix.
//!
//! Binds what is written as text, or takes over sockets that somebody else has bound. Accepting
//! never blocks; `accept.rs` waits.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use crate::address::{Address, HostPort};
use crate::error::{Error, Result};
use crate::server::unix::OwnFile;
use crate::server::{tcp, unix};
use crate::wire::Wire;

/// A bound socket that clients come to.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    address: Address,
    /// If we made it; to be removed at the end, which dropping it does.
    file: Option<OwnFile>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds an address: `localhost:8765` (every address the name has), `127.0.0.1:8765`,
    /// `[::1]:8765`, `:8765` (all addresses of both families), or `unix:/path`. With port 0 the
    /// system chooses one.
    ///
    /// A file left behind by a server that has ended is replaced at `unix:/path`; the file is
    /// removed when the listener is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the text is no address, [`Error::Io`] if it cannot be bound, because
    /// another program listens there for example.
    pub fn bind(address: &str) -> Result<Vec<Listener>> {
        if let Some(path) = address.strip_prefix("unix:") {
            let path = Path::new(path);
            unix::remove_stale(path)?;
            let (listener, file) =
                unix::bind(path).map_err(|error| cannot_listen(&address, error))?;
            let mut listener = Listener::try_from(listener)?;
            listener.file = Some(file);
            return Ok(vec![listener]);
        }
        let parsed = HostPort::parse(address).ok();
        let (host, port) = parsed
            .and_then(|parsed| Some((parsed.host(), parsed.number()?)))
            .ok_or_else(|| no_address(address))?;
        let bound = if host.is_empty() {
            let all = tcp::bind_all(port).map_err(|error| cannot_listen(&address, error))?;
            vec![all]
        } else {
            let resolved = tcp::resolve(host, port)
                .map_err(|error| Error::io(format!("cannot resolve {address}"), error))?;
            tcp::bind_each(&resolved).map_err(|(wanted, error)| cannot_listen(&wanted, error))?
        };
        if bound.is_empty() {
            return Err(no_address(address));
        }
        bound.into_iter().map(Listener::try_from).collect()
    }

    /// The address it is bound to, with the port that the system has chosen.
    pub fn local_addr(&self) -> &Address {
        &self.address
    }

    /// Takes the next client, if there is one.
    pub(crate) fn accept(&self) -> io::Result<(Wire, Address)> {
        let (wire, peer) = match &self.socket {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                (Wire::new(stream), Address::plain(peer))
            }
            Bound::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                (Wire::new(stream), Address::Unix(None))
            }
        };
        // On BSD it has the listener's O_NONBLOCK, with which who waits in `recv` would spin.
        #[cfg(not(target_os = "linux"))]
        wire.socket().set_blocking()?;
        Ok((wire, peer))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Bound::Tcp(listener) => listener.as_fd(),
            Bound::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Takes over a socket that was bound elsewhere: by systemd, or by a test.
impl TryFrom<TcpListener> for Listener {
    type Error = Error;

    fn try_from(listener: TcpListener) -> Result<Listener> {
        let adopted = listener.set_nonblocking(true);
        let address = adopted.and_then(|()| listener.local_addr());
        Ok(Listener {
            socket: Bound::Tcp(listener),
            address: Address::plain(address.map_err(cannot_take_over)?),
            file: None,
        })
    }
}

/// Takes over a socket that was bound elsewhere. Its file is left alone at the end.
impl TryFrom<UnixListener> for Listener {
    type Error = Error;

    fn try_from(listener: UnixListener) -> Result<Listener> {
        let adopted = listener.set_nonblocking(true);
        let address = adopted.and_then(|()| listener.local_addr());
        let path = address
            .map_err(cannot_take_over)?
            .as_pathname()
            .map(Arc::from);
        Ok(Listener {
            socket: Bound::Unix(listener),
            address: Address::Unix(path),
            file: None,
        })
    }
}

fn cannot_take_over(error: io::Error) -> Error {
    Error::io("cannot take over a listener", error)
}

fn no_address(address: &str) -> Error {
    Error::invalid(format!(
        "'{address}' is no address to listen on; write HOST:PORT, :PORT or unix:/path"
    ))
}

fn cannot_listen(address: &dyn fmt::Display, error: io::Error) -> Error {
    let way_out = match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another program listens there; stop it, or take another port)"
        }
        io::ErrorKind::NotFound => " (its folder has to exist)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need a privilege)",
        _ => "",
    };
    Error::io(format!("cannot listen on {address}{way_out}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_serves_both_families() {
        let listeners = Listener::bind(":0").expect("bind");
        let port = listeners[0].local_addr().port().expect("a port");
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("IPv4");
        if TcpListener::bind("[::1]:0").is_ok() {
            std::net::TcpStream::connect(("::1", port)).expect("IPv6");
        }
    }

    #[test]
    fn all_addresses_of_a_name_share_the_port() {
        let listeners = Listener::bind("localhost:0").expect("bind");
        let ports: Vec<_> = listeners.iter().map(|l| l.local_addr().port()).collect();
        assert!(
            ports.iter().all(|port| *port == ports[0] && port.is_some()),
            "{ports:?}"
        );
    }

    #[test]
    fn text_that_is_no_address_says_what_is_one() {
        for wrong in [
            "",
            "8765",
            "localhost",
            "localhost:",
            "localhost:99999",
            ":x",
            "[::1]",
        ] {
            let error = Listener::bind(wrong).expect_err(wrong).to_string();
            assert!(error.contains("HOST:PORT"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_unix_socket_is_replaced_refused_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let address = format!("unix:{}", path.display());
        drop(UnixListener::bind(&path).expect("a stale file"));
        let live = Listener::bind(&address).expect("replaces a stale file");
        let error = Listener::bind(&address)
            .expect_err("a live server")
            .to_string();
        assert!(error.contains("another program listens there"), "{error}");
        drop(live);
        assert!(!path.exists(), "the file is removed at the end");
        std::fs::write(&path, "precious").expect("write");
        assert!(
            Listener::bind(&address).is_err(),
            "a regular file is left alone"
        );
        assert_eq!(std::fs::read(&path).expect("read"), b"precious");
    }
}
