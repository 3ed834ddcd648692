//! `plainws connect` as people and programs use it, against a small server of ours; `completions`
//! and `man`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{ChildStdin, Command};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use plainws::{CloseCode, Connection, Error, Message, Server};
use serde_json::Value;

use crate::support::process::{Daemon, plainws_command};
use crate::support::terminal::{CTRL_C, CTRL_D, LEFT, Terminal, UP};
use crate::support::tools::{PATIENCE, wait_until};

mod lines;
mod options;
mod python;
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

/// Answers each message with itself.
fn echo() -> Server {
    let handler = |ws: &Connection| {
        for message in ws {
            ws.send(message?)?;
        }
        Ok(())
    };
    let server = Server::builder(handler).listen("127.0.0.1:0");
    server.start().expect("a server")
}

fn uri(server: &Server) -> String {
    format!("ws://{}/", server.local_addr())
}

/// The command `plainws connect` with these arguments, without the proxies of whoever tests.
fn connect(args: &[&str]) -> Command {
    let mut all = vec!["connect"];
    all.extend(args);
    let mut command = plainws_command(&all);
    for scheme in ["ws", "wss", "http", "https", "all", "no"] {
        command.env_remove(format!("{scheme}_proxy"));
        command.env_remove(format!("{scheme}_proxy").to_uppercase());
    }
    command
}

/// A client in a pipe.
struct Pipe {
    daemon: Daemon,
    stdin: Option<ChildStdin>,
}

impl Pipe {
    #[track_caller]
    fn new(args: &[&str]) -> Pipe {
        Pipe::spawn(connect(args))
    }

    #[track_caller]
    fn spawn(command: Command) -> Pipe {
        let daemon = Daemon::spawn(command);
        let stdin = Some(daemon.stdin());
        Pipe { daemon, stdin }
    }

    fn write(&mut self, input: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("the input has not ended");
        // It may have ended before it has read all.
        let _ = stdin.write_all(input.as_ref());
    }

    /// Ends the input.
    fn end(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end: exit code, lines of stdout and of stderr.
    #[track_caller]
    fn result(mut self) -> (i32, Vec<String>, Vec<String>) {
        let status = self.daemon.wait_exit(PATIENCE);
        let Some(code) = status.code() else {
            panic!("a signal ended it: {}", self.daemon.report());
        };
        (code, self.daemon.stdout_lines(), self.daemon.lines())
    }
}

/// Runs it with this input to its end.
#[track_caller]
fn run(args: &[&str], input: &str) -> (i32, Vec<String>, Vec<String>) {
    let mut pipe = Pipe::new(args);
    pipe.write(input);
    pipe.end();
    pipe.result()
}

/// The next message, within patience.
#[track_caller]
fn message(ws: &Connection) -> Message {
    match ws.recv_timeout(PATIENCE) {
        Ok(Some(message)) => message,
        other => panic!("awaited a message, got {other:?}"),
    }
}

/// How the connection ends for the server.
#[track_caller]
fn end(ws: &Connection) -> plainws::Closed {
    match ws.recv_timeout(PATIENCE) {
        Err(Error::Closed(closed)) => *closed,
        other => panic!("awaited the end, got {other:?}"),
    }
}

/// The code that the client closed with.
#[track_caller]
fn received_code(ws: &Connection) -> u16 {
    let closed = end(ws);
    let frame = closed.received.as_ref();
    frame
        .unwrap_or_else(|| panic!("no close frame: {closed}"))
        .code
        .0
}

/// Takes a connection by hand, for a server that does not keep to the rules: the stream, and the
/// head of the request.
#[track_caller]
fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let head = read_head(&mut stream);
    let key = head
        .lines()
        .find_map(|l| l.strip_prefix("Sec-WebSocket-Key: "));
    let accept = tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSet-Cookie: id=hidden\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).unwrap();
    (stream, head)
}

fn read_head(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A listener of the test's own, and the URI that leads to it.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, uri)
}
