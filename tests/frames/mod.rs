//! Raw frames against the library and the daemon: the protocol, its limits, the counter's rules.

use std::io::Write;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use plainws::Server;
use serde_json::Value;

use crate::http::is_raw;
use crate::support::raw::{self, Frame, Raw, close, header, header_as, masked, serve, text};
use crate::support::tools::{PATIENCE, wait_until};

/// The default limit of a message.
const LIMIT: usize = 64 * 1024;
/// What the headers of its fragments may take on top.
const FRAGMENTS: usize = 16 * 1024;

// First bytes of frames.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// A text's first fragment, one in the middle, and the last.
const START: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const END: u8 = 0x80;

const PLUS: &str = r#"{"action":"plus"}"#;
const MINUS: &str = r#"{"action":"minus"}"#;

/// A server with all defaults that sends every message back.
fn echo() -> (Server, u16) {
    let echo = |ws: &plainws::Connection| {
        for message in ws {
            ws.write(message?)?;
        }
        Ok(())
    };
    let server = Server::builder(echo).listen("127.0.0.1:0").start();
    let server = server.expect("the server starts");
    let port = server.local_addr().port().expect("a TCP address");
    (server, port)
}

/// A peer's frame that was not masked.
fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 126];
    bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Connects to the counter; gives its value.
#[track_caller]
pub(crate) fn join(port: u16) -> (Raw, i64) {
    let mut raw = Raw::upgrade(port, "/counter");
    let value = next_state(&mut raw);
    (raw, value)
}

/// The next value.
#[track_caller]
pub(crate) fn next_state(raw: &mut Raw) -> i64 {
    let news = next_news(raw);
    assert_eq!(news["type"], "state", "{news}");
    news["value"].as_i64().expect("an integer")
}

/// The next message that is no news of users.
#[track_caller]
fn next_news(raw: &mut Raw) -> Value {
    loop {
        let news: Value = serde_json::from_str(&raw.message().text()).expect("JSON");
        if news["type"] != "users" {
            return news;
        }
    }
}

mod counter;
mod protocol;
