//! Clients of the counter, and the daemon that saves its value.

use plainws::Connection;
use rusqlite::Connection as Database;

use super::files::Folder;
use super::process::Daemon;
use super::raw::serve;
use super::talk;

pub const PLUS: &str = r#"{"action":"plus"}"#;
/// The file with its value.
pub const NAME: &str = "plainws.db";

pub fn users(count: u32) -> String {
    format!(r#"{{"type":"users","count":{count}}}"#)
}

pub fn state(value: i64) -> String {
    format!(r#"{{"type":"state","value":{value}}}"#)
}

/// The value of a message, if it is one with a value.
pub fn value(text: &str) -> Option<i64> {
    let value = text.strip_prefix(r#"{"type":"state","value":"#)?;
    Some(value.strip_suffix('}')?.parse().expect("a number"))
}

#[track_caller]
pub fn next_value(ws: &Connection) -> i64 {
    std::iter::from_fn(|| Some(talk::text(ws)))
        .find_map(|text| value(&text))
        .unwrap()
}

/// A client, and the value that it was told at first.
#[track_caller]
pub fn joined(port: u16) -> (Connection, i64) {
    let ws = talk::connect(port, "/");
    let value = next_value(&ws);
    (ws, value)
}

/// Adds one as often, and waits to see it.
#[track_caller]
pub fn add(ws: &Connection, times: i64) -> i64 {
    for _ in 0..times {
        ws.send(PLUS).unwrap();
    }
    (0..times).fold(0, |_, _| next_value(ws))
}

/// The daemon with the counter, which saves into the folder.
#[track_caller]
pub fn saving(folder: &Folder, more: &[&str]) -> (Daemon, u16) {
    let args = ["--state-dir", &folder.arg("")];
    serve("counter", &[&args, more].concat())
}

/// What is on disk, if anything.
#[track_caller]
pub fn saved(folder: &Folder) -> Option<i64> {
    let path = folder.path(NAME);
    let database = path
        .exists()
        .then(|| Database::open(path).expect("a database"))?;
    let sql = "SELECT value FROM numbers WHERE name = 'counter'";
    database.query_row(sql, [], |row| row.get(0)).ok()
}
