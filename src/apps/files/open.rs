//! Opening a file below a folder: nothing outside is reached, neither by `..` nor by a symbolic link nor
//! by somebody who moves folders meanwhile.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Opened {
    File(File, Metadata),
    Folder,
}

/// Opens what stands below `folder`; `path` has no empty part, and none that begins with a dot.
///
/// # Errors
///
/// When there is nothing that may be read, or what is there is neither a regular file nor a folder.
pub(super) fn beneath(folder: &Path, path: &Path) -> io::Result<Opened> {
    // Anew each time: the folder may have been replaced.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(folder, flags, Mode::empty())?;
    // NONBLOCK: a FIFO would wait for somebody to write to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open_beneath(&folder, path, flags)?);
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Opened::Folder);
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is neither a file nor a folder"));
    }
    Ok(Opened::File(file, metadata))
}

/// The kernel itself keeps below the folder (openat2(2), since Linux 5.6).
#[cfg(target_os = "linux")]
fn open_beneath(folder: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..16 {
        match openat2(folder, path, flags, Mode::empty(), resolve) {
            // Something was moved meanwhile, so that the kernel is not sure.
            Err(Errno::AGAIN) => {}
            // An older kernel, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return open_without_links(folder, path, flags),
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(folder: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_without_links(folder, path, flags)
}

/// Part by part, and through no symbolic link.
fn open_without_links(folder: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut parts = path.iter().peekable();
    let mut at = folder.try_clone().map_err(|_| Errno::MFILE)?;
    while let Some(part) = parts.next() {
        let flags = match parts.peek() {
            Some(_) => OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            None => flags,
        };
        at = openat(&at, part, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_is_opened() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("secret"), "x").expect("written");
        let folder = outside.path().join("pages");
        std::fs::create_dir_all(folder.join("sub")).expect("made");
        std::fs::write(folder.join("sub/file"), "x").expect("written");
        symlink("../secret", folder.join("relative")).expect("linked");
        symlink(outside.path().join("secret"), folder.join("absolute")).expect("linked");
        symlink("..", folder.join("up")).expect("linked");
        symlink("sub/file", folder.join("inside")).expect("linked");
        let made = std::process::Command::new("mkfifo")
            .arg(folder.join("fifo"))
            .status();
        assert!(made.expect("mkfifo").success());
        let is_file = |path: &str| match beneath(&folder, Path::new(path)) {
            Ok(Opened::File(..)) => Some(true),
            Ok(Opened::Folder) => Some(false),
            Err(_) => None,
        };
        let cases = [
            ("sub/file", Some(true)),
            ("sub", Some(false)),
            ("inside", Some(true)),
            ("../secret", None),
            ("relative", None),
            ("absolute", None),
            ("up/secret", None),
            ("fifo", None),
            ("none", None),
            ("sub/file/more", None),
        ];
        for (path, expected) in cases {
            assert_eq!(is_file(path), expected, "{path}");
        }
        // As where the kernel does not help: no symbolic link at all.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let root = open(&folder, flags | OFlags::DIRECTORY, Mode::empty()).expect("open");
        let opens = |path: &str| open_without_links(&root, Path::new(path), flags).is_ok();
        assert!(opens("sub/file"));
        for path in ["relative", "absolute", "up/secret", "inside"] {
            assert!(!opens(path), "{path}");
        }
    }
}
