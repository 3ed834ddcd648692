//! `Listener`: a bound socket that clients come to, TCP or Unix.
//!
//! Binds what is written as text, or takes over sockets that somebody else has bound. Accepting
//! never blocks; `server.rs` waits.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::address::{Address, HostPort};
use crate::error::{Error, Result};
use crate::tls::Tls;
use crate::wire::Wire;

/// std listens with a backlog of 128, too few when a thousand pages reconnect at once. The
/// kernel lowers it to its own limit (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A bound socket that clients come to.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    address: Address,
    tls: Option<Tls>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    /// With the file to remove at the end, if we made it.
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "dropping it is its use")] Option<OwnFile>,
    ),
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
            return Ok(vec![bind_unix(Path::new(path))?]);
        }
        let parsed = HostPort::parse(address).ok();
        let (host, port) = parsed
            .and_then(|parsed| Some((parsed.host(), parsed.number()?)))
            .ok_or_else(|| no_address(address))?;
        if host.is_empty() {
            return Ok(vec![bind_all(port)?]);
        }
        let resolved = (host, port)
            .to_socket_addrs()
            .map_err(|error| Error::io(format!("cannot resolve {address}"), error))?;
        let resolved: Vec<SocketAddr> = resolved.collect();
        let mut tries = 0;
        loop {
            match bind_each(&resolved) {
                // The port that was free for the first address is taken at the second.
                Err((_, error)) if port == 0 && tries < 10 && is_in_use(&error) => tries += 1,
                Err((wanted, error)) => return Err(cannot_listen(&wanted, error)),
                Ok(listeners) if listeners.is_empty() => return Err(no_address(address)),
                Ok(listeners) => return Ok(listeners),
            }
        }
    }

    /// With TLS, or without.
    pub(crate) fn with_tls(mut self, tls: Option<&Tls>) -> Listener {
        self.tls = tls.cloned();
        self
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The address it is bound to, with the port that the system has chosen.
    pub fn local_addr(&self) -> &Address {
        &self.address
    }

    /// Takes the next client, if there is one.
    pub(crate) fn accept(&self) -> io::Result<(Wire, Address)> {
        match &self.socket {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Wire::new(stream), Address::plain(peer)))
            }
            Bound::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                Ok((Wire::new(stream), Address::Unix(None)))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Bound::Tcp(listener) => listener.as_fd(),
            Bound::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// Takes over a socket that was bound elsewhere: by systemd, or by a test.
impl TryFrom<TcpListener> for Listener {
    type Error = Error;

    fn try_from(listener: TcpListener) -> Result<Listener> {
        let adopted = || {
            listener.set_nonblocking(true)?;
            listener.local_addr()
        };
        let address = adopted().map_err(|error| Error::io("cannot take over a listener", error))?;
        Ok(Listener {
            socket: Bound::Tcp(listener),
            address: Address::plain(address),
            tls: None,
        })
    }
}

/// Takes over a socket that was bound elsewhere. Its file is left alone at the end.
impl TryFrom<UnixListener> for Listener {
    type Error = Error;

    fn try_from(listener: UnixListener) -> Result<Listener> {
        let adopted = || {
            listener.set_nonblocking(true)?;
            listener.local_addr()
        };
        let address = adopted().map_err(|error| Error::io("cannot take over a listener", error))?;
        let path = address.as_pathname().map(Arc::from);
        Ok(Listener {
            socket: Bound::Unix(listener, None),
            address: Address::Unix(path),
            tls: None,
        })
    }
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

fn is_unavailable(error: &io::Error) -> bool {
    let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unsupported)
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Binds all addresses of a name that this host has, at one port.
fn bind_each(
    resolved: &[SocketAddr],
) -> std::result::Result<Vec<Listener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut failed = None;
    for &(mut wanted) in resolved {
        // Port 0 is chosen once, and the same for every address of the name.
        if let (0, Some(first)) = (wanted.port(), listeners.first()) {
            wanted.set_port(first.address.port().unwrap_or(0));
        }
        match bind_tcp(wanted, false) {
            Ok(listener) => listeners.push(listener),
            // A name may have an address that this host has not: `localhost` without IPv6.
            Err(error) if is_unavailable(&error) => failed = Some((wanted, error)),
            Err(error) => return Err((wanted, error)),
        }
    }
    match failed {
        Some(failed) if listeners.is_empty() => Err(failed),
        _ => Ok(listeners),
    }
}

/// One socket for IPv6 and IPv4; only IPv4 on a host without IPv6.
fn bind_all(port: u16) -> Result<Listener> {
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let v4 = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), port);
    match bind_tcp(v6, true) {
        Err(error) if is_unavailable(&error) => bind_tcp(v4, false),
        result => result,
    }
    .map_err(|error| cannot_listen(&format_args!(":{port}"), error))
}

fn bind_tcp(address: SocketAddr, both_families: bool) -> io::Result<Listener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(!both_families)?;
    }
    // So that a restart does not wait for connections of the last run that linger in the kernel.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    let address = Address::Tcp(listener.local_addr()?);
    Ok(Listener {
        socket: Bound::Tcp(listener),
        address,
        tls: None,
    })
}

fn bind_unix(path: &Path) -> Result<Listener> {
    let name = || format!("unix:{}", path.display());
    remove_stale(path)?;
    let bound = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        let file = OwnFile::of(path)?;
        // As a port of this host: any program may connect, whatever the umask. Its folder can keep
        // programs away.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok((UnixListener::from(std::os::fd::OwnedFd::from(socket)), file))
    };
    let (listener, file) = bound().map_err(|error| cannot_listen(&name(), error))?;
    let address = Address::Unix(Some(Arc::from(path)));
    Ok(Listener {
        socket: Bound::Unix(listener, Some(file)),
        address,
        tls: None,
    })
}

const LISTENS: &str = "another program listens there";

/// Removes the socket of a server that has ended; leaves anything else alone.
fn remove_stale(path: &Path) -> Result<()> {
    let cannot = |why: &str| {
        Err(Error::invalid(format!(
            "cannot listen on unix:{}: {why}",
            path.display()
        )))
    };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Error::io(
                format!("cannot look at {}", path.display()),
                error,
            ));
        }
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return cannot("a file that is no socket is in the way");
        }
        Ok(_) => {}
    }
    // Without waiting: a server whose queue is full would let us.
    let connected = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&socket2::SockAddr::unix(path)?)
    };
    match connected() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(
                    format!("cannot remove the stale {}", path.display()),
                    error,
                )),
                _ => Ok(()),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => cannot(LISTENS),
        Err(error) => Err(Error::io(
            format!("cannot look who listens on {}", path.display()),
            error,
        )),
        Ok(()) => cannot(LISTENS),
    }
}

/// The file of a Unix socket that we made: removed at the end, unless somebody has put another
/// one in its place.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl OwnFile {
    fn of(path: &Path) -> io::Result<OwnFile> {
        Ok(OwnFile {
            path: path.to_owned(),
            inode: inode(path)?,
        })
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = path.symlink_metadata()?;
    Ok((metadata.dev(), metadata.ino()))
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
