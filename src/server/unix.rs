//! Binds Unix listeners, and minds the file that each of them has.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{Error, Result};
use crate::server::tcp::BACKLOG;

pub(crate) fn bind(path: &Path) -> io::Result<(UnixListener, OwnFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = OwnFile {
        inode: inode(path)?,
        path: path.to_owned(),
    };
    // As a port of this host: any program may connect, whatever the umask. Its folder can keep
    // programs away.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    socket.listen(BACKLOG)?;
    Ok((OwnedFd::from(socket).into(), file))
}

/// Removes the socket of a server that has ended; leaves anything else alone.
pub(crate) fn remove_stale(path: &Path) -> Result<()> {
    let shown = path.display();
    let in_the_way = |what| Error::invalid(format!("cannot listen on unix:{shown}: {what}"));
    let failed = |what, error| Err(Error::io(format!("cannot {what} {shown}"), error));
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return failed("look at", error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(in_the_way("a file that is no socket is in the way"));
        }
        Ok(_) => {}
    }
    match connect(path).map_err(|error| (error.kind(), error)) {
        Err((io::ErrorKind::ConnectionRefused, _)) => {}
        Ok(()) | Err((io::ErrorKind::WouldBlock, _)) => {
            return Err(in_the_way("another program listens there"));
        }
        Err((_, error)) => return failed("look who listens on", error),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => failed("remove the stale", error),
        _ => Ok(()),
    }
}

/// Without waiting: a server whose queue is full would let us.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// The file of a Unix socket that we made: removed at the end, unless somebody has put another
/// one in its place.
#[derive(Debug)]
pub(crate) struct OwnFile {
    path: PathBuf,
    inode: (u64, u64),
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
