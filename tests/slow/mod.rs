//! Peers that are slow, silent or gone; many at once; shutdown under load.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::blemish;
use crate::support::counter::PLUS;
use crate::support::process::Daemon;
use crate::support::raw::{
    Peer, Raw, close, exchange, get, header, join, masked, next_state, serve, text,
};
use crate::support::raw::{unread, upgrade_request};
use crate::support::tools::{PATIENCE, poll, wait_until};

/// What a busy machine may take for what should happen at once.
const SLACK: Duration = Duration::from_secs(10);

#[track_caller]
fn wait_read(port: u16) {
    let read = || (unread(port) == 0).then_some(());
    wait_until("the daemon to read all that was sent", PATIENCE, read);
}

/// Asserts that something took the time of a deadline, and not much more.
#[track_caller]
fn assert_took(elapsed: Duration, deadline: Duration) {
    // The peer's clock may have started a little earlier than ours.
    let early = deadline - deadline / 10;
    assert!(elapsed >= early, "after {elapsed:?}, before {deadline:?}");
    let late = deadline + SLACK;
    assert!(elapsed < late, "after {elapsed:?} instead of {deadline:?}");
}

mod crowds;
mod ends;
mod openings;
mod readers;
