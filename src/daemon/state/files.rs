//! The files of a value in its directory: how they are locked, read and replaced. Blocking, and
//! for one thread at a time; the directory is opened once, so that all of it happens in one place, and
//! locked as long, against a second process.
//!
//! | name | what it is |
//! |---|---|
//! | `counter.json` | the newest value; once it is there, it is there at every moment |
//! | `counter.json.previous` | the value before |
//! | `counter.json.new` | a value being written; whatever is found there is removed |

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use log::warn;
use rustix::fs::{Access, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::sealed;
use crate::file;

/// The largest value. It is written whole each time.
const MAX_VALUE: usize = 64 * 1024;
/// Nobody else needs to know the state of a program.
const SECRET: Mode = Mode::from_raw_mode(0o600);

pub(super) struct Files {
    path: PathBuf,
    /// Locked; the lock ends with the process, however that dies.
    directory: File,
    newest: String,
    previous: String,
    new: String,
    /// The value in the newest file, if that is a good one: only such a one becomes the previous.
    saved: Option<Vec<u8>>,
}

/// What is found under a name.
enum Found<T> {
    Nothing,
    Value(T, Vec<u8>),
    Damaged(String),
}

/// Why a state cannot be used or saved, as a sentence.
#[derive(Debug)]
pub(crate) enum Failed {
    /// There is a value, and all of it is damaged; it is left as it is.
    Damaged(String),
    /// Another process uses it.
    Locked(String),
    /// The system refused something.
    Io(String),
}

impl Failed {
    pub(super) fn io(what: impl fmt::Display, error: &io::Error) -> Failed {
        Failed::Io(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Damaged(what) | Failed::Locked(what) | Failed::Io(what) => f.write_str(what),
        }
    }
}

impl Files {
    /// Opens the directory, locks the state against a second user, and reads the value: of the
    /// newest file, or, if that is damaged, of the one before. Changes nothing if it fails.
    pub(super) fn open<T>(
        path: &Path,
        name: &str,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<(Files, Option<T>), Failed> {
        let unusable = |error: io::Error| {
            let path = path.display();
            // It is not made here: a wrong name, or a disk that is not mounted, would be a start
            // anew without a word.
            let what = match error.kind() {
                ErrorKind::NotFound => format!("make the state directory {path}, or name another"),
                _ => format!("cannot use the state directory {path}"),
            };
            Failed::io(what, &error)
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty());
        let directory = File::from(directory.map_err(|error| unusable(error.into()))?);
        // Better now, and to who starts it, than at the first change.
        let access = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(&directory, ".", access, AtFlags::empty())
            .map_err(|error| unusable(error.into()))?;
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Failed::Locked(format!(
                    "the state in {} is in use by another process: end that, or take another \
                     directory",
                    path.display()
                )));
            }
            Err(error) => return Err(unusable(error.into())),
        }
        let mut files = Files {
            path: path.to_owned(),
            directory,
            newest: name.to_owned(),
            previous: format!("{name}.previous"),
            new: format!("{name}.new"),
            saved: None,
        };
        let value = files.read(parse)?;
        // Left by a process that was killed while it wrote.
        let _ = files.remove(&files.new);
        Ok((files, value))
    }

    fn read<T>(&mut self, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Failed> {
        let (newest, previous) = (self.newest(), self.shown(&self.previous));
        let why = match self.find(&self.newest, &parse)? {
            Found::Value(value, content) => {
                self.saved = Some(content);
                return Ok(Some(value));
            }
            Found::Nothing => {
                // Saving never takes the newest file away, so a person did.
                if let Ok(Found::Value(..)) = self.find(&self.previous, &parse) {
                    warn!(
                        "{newest} is not there, starting anew; the value before is still in \
                         {previous}: to have it back, stop and rename that file"
                    );
                }
                return Ok(None);
            }
            Found::Damaged(why) => why,
        };
        let also = match self.find(&self.previous, &parse)? {
            Found::Value(value, _) => {
                warn!("{newest} is damaged, {why}; going on with the value before, of {previous}");
                return Ok(Some(value));
            }
            Found::Nothing => format!("there is no {previous}"),
            Found::Damaged(why) => format!("so is {previous}, {why}"),
        };
        Err(Failed::Damaged(format!(
            "{newest} is damaged, {why}, and {also}; both are left as they are: restore one of \
             them, or move them away to start anew"
        )))
    }

    /// Looks under a name. An error is one that says nothing about the value: a file that may not
    /// be read might be the good one.
    fn find<T>(&self, name: &str, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Found<T>, Failed> {
        let damaged = |why: &str| Ok(Found::Damaged(why.to_owned()));
        // NONBLOCK: opening a FIFO would wait for somebody to write to it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(Errno::LOOP) => return damaged("it is a symbolic link"),
            // A socket, or a device that is not there.
            Err(Errno::NXIO | Errno::NODEV) => return damaged("it is not a regular file"),
            Err(error) => return Err(self.unreadable(name, &error.into())),
        };
        let content = match file::read_open(&file, MAX_VALUE + sealed::FRAME) {
            Ok((content, _)) => content,
            // No file, too large for a state, or lost by the medium.
            Err(error)
                if matches!(error.kind(), ErrorKind::Other | ErrorKind::FileTooLarge)
                    || error.raw_os_error() == Some(Errno::IO.raw_os_error()) =>
            {
                return damaged(&error.to_string());
            }
            Err(error) => return Err(self.unreadable(name, &error)),
        };
        match sealed::open(&content) {
            Err(flaw) => damaged(&flaw.to_string()),
            Ok(value) => match parse(value) {
                Some(parsed) => Ok(Found::Value(parsed, value.to_vec())),
                None => damaged("its value cannot be meant"),
            },
        }
    }

    /// Replaces the newest file; the one that was the newest is the previous one then. At every
    /// moment there is a whole file under the newest's name, the old one or the new one, and when
    /// this returns it is on disk. After an error either may be there, and no other file.
    pub(super) fn replace(&mut self, value: &[u8]) -> Result<(), Failed> {
        self.try_replace(value).map_err(|error| {
            let _ = self.remove(&self.new);
            Failed::io(format_args!("cannot save {}", self.newest()), &error)
        })
    }

    fn try_replace(&mut self, value: &[u8]) -> io::Result<()> {
        let content = sealed::seal(value);
        // A new file each time: after a failed fsync nobody knows what is in the old one.
        self.write(&self.new, &content)?;
        if self.saved.is_some() {
            self.keep()?;
        }
        let (from, to) = (self.new.as_str(), self.newest.as_str());
        rustix::fs::renameat(&self.directory, from, &self.directory, to)?;
        self.saved = Some(value.to_vec());
        match self.directory.sync_all() {
            // Some file systems cannot do that for a directory.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }

    /// Gives the newest file the previous one's name, too.
    fn keep(&self) -> io::Result<()> {
        // A link does not replace; until it is there, the newest file is the only one, and good.
        self.remove(&self.previous)?;
        let (at, from, to) = (&self.directory, &*self.newest, &*self.previous);
        match rustix::fs::linkat(at, from, at, to, AtFlags::empty()) {
            // Somebody has taken it away: what is not there needs no second name. A file system
            // without links (FAT) has no previous value.
            Ok(()) | Err(Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.remove(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, SECRET)?;
        let mut file = File::from(file);
        file.write_all(content)?;
        file.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The value in the newest file, if that is a good one.
    pub(super) fn saved(&self) -> Option<&[u8]> {
        self.saved.as_deref()
    }

    /// The newest file, for messages.
    pub(super) fn newest(&self) -> String {
        self.shown(&self.newest)
    }

    fn shown(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn unreadable(&self, name: &str, error: &io::Error) -> Failed {
        Failed::io(format_args!("cannot read {}", self.shown(name)), error)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Closing is not enough: a program that another thread is just starting has a copy of the
        // descriptor until it runs.
        let _ = rustix::fs::flock(&self.directory, FlockOperation::Unlock);
    }
}
