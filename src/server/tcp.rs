//! Binds TCP listeners: at every address of a name, at one port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

/// std listens with a backlog of 128, too few when a thousand pages reconnect at once. The
/// kernel lowers it to its own limit (`net.core.somaxconn`).
pub(crate) const BACKLOG: i32 = 4096;
/// A port that is chosen for one address may be taken at another one.
const TRIES: usize = 10;

/// The addresses of a name.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// One socket for IPv6 and IPv4; only IPv4 on a host without IPv6.
pub(crate) fn bind_all(port: u16) -> io::Result<TcpListener> {
    match bind((Ipv6Addr::UNSPECIFIED, port).into(), true) {
        Err(error) if is_unavailable(&error) => bind((Ipv4Addr::UNSPECIFIED, port).into(), false),
        result => result,
    }
}

/// Binds all of the addresses that this host has, at one port; says at which one it fails.
pub(crate) fn bind_each(
    addresses: &[SocketAddr],
) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut tries = 1;
    loop {
        match try_each(addresses) {
            Err((_, error))
                if error.kind() == io::ErrorKind::AddrInUse
                    && addresses[0].port() == 0
                    && tries < TRIES =>
            {
                tries += 1;
            }
            result => return result,
        }
    }
}

fn try_each(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners = Vec::new();
    let mut chosen = None;
    let mut failed = None;
    for &(mut wanted) in addresses {
        // Port 0 is chosen once, and the same for every address of the name.
        wanted.set_port(chosen.unwrap_or(wanted.port()));
        let bound = bind(wanted, false).and_then(|l| Ok((l.local_addr()?.port(), l)));
        match bound {
            Ok((port, listener)) => {
                chosen = Some(port);
                listeners.push(listener);
            }
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

fn bind(address: SocketAddr, both_families: bool) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(!both_families)?;
    }
    // So that a restart does not wait for connections of the last run that linger in the kernel.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn is_unavailable(error: &io::Error) -> bool {
    let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unsupported)
}
