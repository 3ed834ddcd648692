//! `Store` with real files: what it finds, what it leaves, what it does when it cannot save.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::files::Failed;
use super::first;
use super::store::Store;

/// What a test waits for comes within this time.
const PATIENCE: Duration = Duration::from_secs(20);

const NAME: &str = "value.json";

/// A private directory, removed when dropped.
fn directory() -> TempDir {
    TempDir::with_prefix("plainws-store-").expect("a private directory can be made")
}

fn number(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn open(directory: &TempDir) -> Result<(Store, Option<i64>), Failed> {
    Store::open(directory.path(), NAME, number)
}

/// Waits for a condition that the store's thread brings about.
#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Opens it, which must not fail nor wait for anything.
#[track_caller]
fn opened(directory: &TempDir) -> (Store, Option<i64>) {
    let (tell, told) = mpsc::channel();
    let path = directory.path().to_owned();
    thread::spawn(move || tell.send(Store::open(&path, NAME, number)));
    let opened = told.recv_timeout(PATIENCE).expect("opening does not hang");
    opened.expect("the state can be opened")
}

fn newest(directory: &TempDir) -> PathBuf {
    directory.path().join(NAME)
}

fn previous(directory: &TempDir) -> PathBuf {
    directory.path().join(format!("{NAME}.previous"))
}

/// A directory whose newest value is 42 and whose previous one 41.
fn two_values() -> TempDir {
    let directory = directory();
    let (store, _) = opened(&directory);
    store.save("41").unwrap();
    store.save("42").unwrap();
    drop(store);
    directory
}

/// The files of a directory with their content.
fn files(directory: &TempDir) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let files = entries.map(|entry| {
        let entry = entry.unwrap();
        let content = fs::read(entry.path()).unwrap_or_default();
        (entry.file_name().into_string().unwrap(), content)
    });
    files.collect()
}

fn names(directory: &TempDir) -> Vec<String> {
    files(directory).into_keys().collect()
}

#[track_caller]
fn damaged(directory: &TempDir) -> String {
    match open(directory) {
        Err(Failed::Damaged(why)) => why,
        Err(other) => panic!("awaited that all is damaged, got {other}"),
        Ok(_) => panic!("awaited that all is damaged"),
    }
}

#[test]
fn the_first_of_several_directories_is_taken() {
    let first = |list: &str| first(OsStr::new(list)).map(OsStr::to_os_string);
    assert_eq!(first("/var/lib/a"), Some("/var/lib/a".into()));
    assert_eq!(first("/var/lib/a:/var/lib/b"), Some("/var/lib/a".into()));
    assert_eq!(first(""), None);
}

mod finding_tests;
mod saving_tests;
