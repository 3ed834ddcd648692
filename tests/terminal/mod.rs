//! `plainws connect` as people and programs use it, against a small server of ours; the
//! completions and the man page.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use plainws::{CloseCode, Connection, Error, Server};
use serde_json::Value;

use crate::support::pipe::{Pipe, connect, run};
use crate::support::raw::Raw;
use crate::support::servers::{echo, start, start_with};
use crate::support::talk::{next as message, received_code};
use crate::support::terminal::{CTRL_C, CTRL_D, LEFT, Terminal, UP};
use crate::support::tools::{PATIENCE, wait_until};

mod lines;
mod options;
mod reconnecting;
mod tools;
mod typing;

/// A server whose connections the test holds.
struct Peer {
    opened: mpsc::Receiver<Connection>,
    /// Dropped: the handlers return.
    _hold: mpsc::Sender<()>,
    server: Server,
}

impl Peer {
    fn new() -> Peer {
        Peer::at("127.0.0.1:0")
    }

    #[track_caller]
    fn at(address: &str) -> Peer {
        let (opens, opened) = mpsc::channel();
        let (hold, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let handler = move |ws: &Connection| {
            opens.send(ws.clone()).map_err(Error::other)?;
            // One at a time is enough: an ended connection returns for the next one.
            let held = held.lock().unwrap();
            while !ws.is_closed() {
                match held.recv_timeout(Duration::from_millis(5)) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    _ => break,
                }
            }
            Ok(())
        };
        let server = Server::builder(handler).listen(address);
        let server = server.ping_interval(None).start().expect("a server");
        Peer {
            opened,
            _hold: hold,
            server,
        }
    }

    fn uri(&self) -> String {
        uri(&self.server)
    }

    /// The next connection.
    #[track_caller]
    fn next(&self) -> Connection {
        let opened = self.opened.recv_timeout(PATIENCE);
        opened.expect("the client connects")
    }
}

fn uri(server: &Server) -> String {
    format!("ws://{}/", server.local_addr())
}

/// Takes a connection by hand, for a server that does not keep to the rules: the stream, and the
/// head of the request.
#[track_caller]
fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let mut raw = Raw::new(listener.accept().unwrap().0);
    raw.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = raw.until("\r\n\r\n");
    let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap_or_default();
    let key = key.lines().next().unwrap_or_default();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSet-Cookie: id=hidden\r\n\r\n"
    );
    raw.send(answer.as_bytes());
    (raw.stream, head)
}

/// Waits for a close frame, which will not be answered, and a moment more.
#[track_caller]
fn wait_closing(stream: &mut TcpStream) {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [0x88]);
    let start = Instant::now();
    wait_until("time between the two", PATIENCE, || {
        (start.elapsed() > Duration::from_millis(50)).then_some(())
    });
}

/// It has ended with this code, no output, and one sentence, which contains this.
#[track_caller]
fn failed(result: (i32, Vec<String>, Vec<String>), code: i32, sentence: &str) {
    let (ended, lines, errors) = &result;
    let told = errors.len() == 1 && errors[0].contains(sentence);
    let as_expected = *ended == code && lines.is_empty() && told;
    assert!(as_expected, "{result:?} is not {code}: {sentence}");
}

/// It has ended well, with this line alone.
#[track_caller]
fn printed(result: (i32, Vec<String>, Vec<String>), line: &str) {
    assert_eq!(result, (0, vec![line.to_owned()], vec![]));
}

/// A server that refuses everybody with 403.
fn refusing() -> Server {
    start_with(Server::builder(|_| Ok(())).hosts(["app.example"]))
}

/// A URI where nobody listens any more.
fn nobody() -> String {
    listener().1
}

/// A listener of the test's own, and the URI that leads to it.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, uri)
}
