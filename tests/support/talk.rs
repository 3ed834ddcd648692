//! What is heard from a peer through a connection of ours, each within [`PATIENCE`].

use plainws::{Closed, Connection, Error, Message};

use super::tools::PATIENCE;

#[track_caller]
pub fn connect(port: u16, path: &str) -> Connection {
    plainws::connect(&format!("ws://127.0.0.1:{port}{path}")).expect("a client is taken")
}

/// The next message.
#[track_caller]
pub fn next(ws: &Connection) -> Message {
    match ws.recv_timeout(PATIENCE) {
        Ok(Some(message)) => message,
        other => panic!("awaited a message within {PATIENCE:?}, got {other:?}"),
    }
}

/// The next message, which has to be a text.
#[track_caller]
pub fn text(ws: &Connection) -> String {
    match next(ws) {
        Message::Text(text) => text,
        binary => panic!("awaited a text, got {binary}"),
    }
}

/// How the connection ends, past what is received before.
#[track_caller]
pub fn end(ws: &Connection) -> Closed {
    loop {
        match ws.recv_timeout(PATIENCE) {
            Ok(Some(_)) => {}
            Err(Error::Closed(closed)) => return *closed,
            other => panic!("awaited the end within {PATIENCE:?}, got {other:?}"),
        }
    }
}

/// The code that the peer closed with.
#[track_caller]
pub fn received_code(ws: &Connection) -> u16 {
    let closed = end(ws);
    let frame = closed.received.as_ref();
    let frame = frame.unwrap_or_else(|| panic!("no close frame: {closed}"));
    frame.code.0
}
