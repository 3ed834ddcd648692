//! `Database`: the file `plainws.db` of a state's directory. In come batches, each of them one
//! transaction; at the start what there is goes out. SQLite keeps the promises; here is what it is told.
//!
//! Blocks for as long as the disk takes: it is used by the store's thread, or by who waits for the disk
//! anyway.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use rustix::fs::{Access, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::batch::Batch;
use super::failed::Failed;
use crate::apps::journal::{Entry, Kind, Saved};

const NAME: &str = "plainws.db";
/// A new one is made under this name first, so that a file of no bytes is no beginning.
const NEW: &str = "plainws.db.new";
/// `plws`: whose file it is, for `file(1)` and for us.
const APPLICATION: i64 = 0x706c_7773;
/// The version of the tables.
const VERSION: i64 = 1;

/// Pages that are free before the file is made smaller.
const MAX_FREE: i64 = 256;

const TABLES: &str = "
    PRAGMA auto_vacuum = INCREMENTAL;
    BEGIN;
    CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE entries (
        kind INTEGER NOT NULL, name TEXT NOT NULL, id INTEGER NOT NULL,
        time INTEGER NOT NULL, is_text INTEGER NOT NULL, media TEXT, body BLOB NOT NULL,
        PRIMARY KEY (kind, name, id)
    ) WITHOUT ROWID;
    COMMIT;
";

/// One process has it.
pub(super) struct Database {
    /// For messages.
    pub(super) path: PathBuf,
    connection: Connection,
    /// Locked as long as it is open.
    directory: File,
}

impl Database {
    /// Opens the state in a directory, which must be there, and reads it. Changes nothing if it fails.
    pub(super) fn open(directory: &Path) -> Result<(Database, Saved), Failed> {
        let lock = lock(directory)?;
        let path = directory.join(NAME);
        if !exists(&path)? {
            check_no_log(&path)?;
            create(directory).map_err(|error| error.at(&path))?;
        }
        let connection = connect(&path).map_err(|error| error.at(&path))?;
        let saved = read(&connection).map_err(|error| error.at(&path))?;
        // From here on closing it may write.
        let opened = set(&connection, false);
        opened.map_err(|error| Error::from(error).at(&path))?;
        let database = Database {
            path,
            connection,
            directory: lock,
        };
        Ok((database, saved))
    }

    /// Writes a batch, whole or not at all. When it returns, it is on disk.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), Failed> {
        self.try_write(batch).map_err(|error| {
            let what = format_args!("cannot save {}", self.path.display()).to_string();
            Failed::io(what, &error)
        })
    }

    fn try_write(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let numbers = [
            ("counter", batch.counter),
            ("floor", batch.floor.map(|floor| floor as i64)),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                let sql = "INSERT OR REPLACE INTO numbers VALUES (?1, ?2)";
                transaction.execute(sql, params![name, value])?;
            }
        }
        for ((kind, name), series) in &batch.series {
            let kind = *kind as i64;
            let below = if series.deleted {
                i64::MAX
            } else {
                series.first as i64
            };
            let sql = "DELETE FROM entries WHERE kind = ?1 AND name = ?2 AND id < ?3";
            transaction.execute(sql, params![kind, name, below])?;
            for entry in &series.entries {
                let sql = "INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let (id, time) = (entry.id as i64, entry.time as i64);
                let (media, body) = (entry.media.as_deref(), &entry.body[..]);
                let row = params![kind, name, id, time, entry.is_text, media, body];
                transaction.execute(sql, row)?;
            }
        }
        transaction.commit()?;
        let free: i64 = self
            .connection
            .pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free > MAX_FREE {
            // Each step gives back one page.
            let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
        }
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Closing is not enough: a program that another thread is just starting has a copy of the
        // descriptor until it runs.
        let _ = rustix::fs::flock(&self.directory, FlockOperation::Unlock);
    }
}

/// Opens the directory and locks it against a second process.
fn lock(path: &Path) -> Result<File, Failed> {
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
        Ok(()) => Ok(directory),
        Err(Errno::WOULDBLOCK) => Err(Failed::Locked(format!(
            "the state in {} is in use by another process: end that, or take another directory",
            path.display()
        ))),
        Err(error) => Err(unusable(error.into())),
    }
}

/// Whether there is a file, and one that can be a database.
fn exists(path: &Path) -> Result<bool, Failed> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(Failed::io(
                format!("cannot read {}", path.display()),
                &error,
            ));
        }
    };
    let why = match (metadata.file_type(), metadata.len()) {
        (kind, _) if kind.is_symlink() => "it is a symbolic link",
        (kind, _) if !kind.is_file() => "it is not a regular file",
        (_, 0) => "it is empty",
        _ => return Ok(true),
    };
    Err(Error::Damaged(why.to_owned()).at(path))
}

/// A log without its database would be taken for that of a new one, and bring back what it has.
fn check_no_log(path: &Path) -> Result<(), Failed> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match std::fs::symlink_metadata(&log) {
        Ok(metadata) if metadata.len() > 0 => {
            let (path, log) = (path.display(), Path::new(&log).display());
            Err(Failed::Damaged(format!(
                "{path} is not there, but {log} is, which belongs to it: put the database back, or move \
                 that away, too, to start anew"
            )))
        }
        _ => Ok(()),
    }
}

/// Makes a database with its tables, and then gives it its name.
fn create(directory: &Path) -> Result<(), Error> {
    let new = directory.join(NEW);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // What is in it may be secret. SQLite gives its other files the same mode.
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(&new)?;
    let connection = Connection::open_with_flags(&new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.close().map_err(|(_, error)| error)?;
    File::open(&new)?.sync_all()?;
    std::fs::rename(&new, directory.join(NAME))?;
    File::open(directory)?.sync_all()?;
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, Error> {
    // Not NOFOLLOW: with systemd's DynamicUser= the directory itself is behind a symbolic link.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set(&connection, true)?;
    // One process has it, so that no memory need be shared. A page cache of 256 KiB is plenty.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA cache_size = -256;
         PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 1048576;
         PRAGMA wal_autocheckpoint = 250;",
    )?;
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION {
        return Err(Error::Damaged(
            "it is a database of another program".to_owned(),
        ));
    }
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(Error::Io(format!(
            "a newer plainws has written it, with version {version} of its tables: this one knows {VERSION}"
        )));
    }
    let flaw: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if flaw != "ok" {
        return Err(Error::Damaged(flaw));
    }
    // Power may fail at any moment.
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    Ok(connection)
}

/// Whether closing leaves the files as they are.
fn set(connection: &Connection, leave: bool) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave)
}

fn read(connection: &Connection) -> Result<Saved, Error> {
    let mut saved = Saved::default();
    let mut numbers = connection.prepare("SELECT name, value FROM numbers")?;
    let mut rows = numbers.query([])?;
    while let Some(row) = rows.next()? {
        let (name, value): (String, i64) = (row.get(0)?, row.get(1)?);
        match &*name {
            "counter" => saved.counter = Some(value),
            "floor" => saved.floor = value as u64,
            _ => {}
        }
    }
    let sql =
        "SELECT kind, name, id, time, is_text, media, body FROM entries ORDER BY kind, name, id";
    let mut entries = connection.prepare(sql)?;
    let mut rows = entries.query([])?;
    while let Some(row) = rows.next()? {
        let kind = match row.get(0)? {
            0 => Kind::Topic,
            1 => Kind::Stream,
            kind => return Err(Error::Damaged(format!("there is an entry of kind {kind}"))),
        };
        let name: String = row.get(1)?;
        let media: Option<String> = row.get(5)?;
        let body: Vec<u8> = row.get(6)?;
        let entry = Entry {
            id: row.get::<_, i64>(2)? as u64,
            time: row.get::<_, i64>(3)? as u64,
            is_text: row.get(4)?,
            media: media.map(String::into_boxed_str),
            body: body.into_boxed_slice(),
        };
        match saved.entries.last_mut() {
            Some((last, of, entries)) if *last == kind && **of == *name => entries.push(entry),
            _ => saved.entries.push((kind, Arc::from(name), vec![entry])),
        }
    }
    Ok(saved)
}

/// What went wrong, before it is said with which file.
enum Error {
    Damaged(String),
    Io(String),
}

impl Error {
    fn at(self, path: &Path) -> Failed {
        let path = path.display();
        match self {
            Error::Damaged(why) => Failed::Damaged(format!(
                "{path} is damaged, {why}; it is left as it is: try `sqlite3 {path} .recover`, or move it \
                 and {path}-wal away, to put a copy there or to start anew"
            )),
            Error::Io(why) => Failed::Io(format!("cannot use {path}: {why}")),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Error::Damaged(error.to_string())
            }
            // Tables of ours that are not there, or values of another type.
            Some(ErrorCode::Unknown) | None => Error::Damaged(error.to_string()),
            Some(_) => Error::Io(error.to_string()),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error.to_string())
    }
}
