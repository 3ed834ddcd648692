//! Reading a file that somebody has named: whole, if it is a regular one and not larger than it could
//! be meant. Waits for the disk, but for no writer of a FIFO.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The content, of at most so many bytes, and what else is known of the file.
pub(crate) fn read(path: &Path, most: usize) -> io::Result<(Vec<u8>, Metadata)> {
    let mut options = File::options();
    options.custom_flags(OFlags::NONBLOCK.bits() as i32);
    read_open(&options.read(true).open(path)?, most)
}

/// The same of a file that is open; without `O_NONBLOCK` opening a FIFO would have waited.
pub(crate) fn read_open(file: &File, most: usize) -> io::Result<(Vec<u8>, Metadata)> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut content = Vec::new();
    // One byte more tells that there is more.
    file.take(most as u64 + 1).read_to_end(&mut content)?;
    if content.len() > most {
        let why = format!("it is larger than {most} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok((content, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_up_to_a_size_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").expect("written");
        assert_eq!(
            read(&path, 5).map(|(content, _)| content).ok(),
            Some(b"12345".to_vec())
        );
        let refused = |path: &Path| read(path, 4).map(drop).expect_err("no").kind();
        assert_eq!(refused(&path), ErrorKind::FileTooLarge);
        assert_eq!(refused(folder.path()), ErrorKind::Other);
        assert_eq!(refused(&folder.path().join("none")), ErrorKind::NotFound);
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.expect("mkfifo").success());
        assert_eq!(
            refused(&fifo),
            ErrorKind::Other,
            "and nobody waits for its writer"
        );
    }
}
