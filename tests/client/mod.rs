//! Our client against servers and proxies that say what a test wants.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plainws::{Client, ClientBuilder, Connection, Error};
use tungstenite::handshake::derive_accept_key;

use crate::support::raw::Raw;
use crate::support::tools::{PATIENCE, is_like};

mod answers;
mod logs;
mod proxies;
mod redirects;
mod retrying;
mod sockets;
mod socks;

/// Who answers connections by a script, one after the other, in a thread that is joined when this
/// is dropped.
struct Peer {
    address: SocketAddr,
    /// The heads that were read, of all connections.
    heads: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// `answer` is called with each connection and its number, from 0.
    fn new(answer: impl FnMut(&mut Caller, usize) + Send + 'static) -> Peer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Peer::at(listener, answer)
    }

    fn at(
        listener: TcpListener,
        mut answer: impl FnMut(&mut Caller, usize) + Send + 'static,
    ) -> Peer {
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let ended = Arc::<AtomicBool>::default();
        let (read, over) = (Arc::clone(&heads), Arc::clone(&ended));
        let serve = move || {
            for number in 0.. {
                let (stream, _) = listener.accept().unwrap();
                if over.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                let heads = Arc::clone(&read);
                answer(&mut Caller(Raw::new(stream), heads), number);
            }
        };
        Peer {
            address,
            heads,
            ended,
            thread: Some(thread::spawn(serve)),
        }
    }

    /// Answers the requests of each connection, by its number, with these, a head each.
    fn answering<A: AsRef<str>, const N: usize>(
        answers: impl Fn(usize) -> [A; N] + Send + 'static,
    ) -> Peer {
        Peer::new(move |caller, number| {
            for answer in answers(number) {
                caller.answer(answer.as_ref());
            }
            caller.wait_end();
        })
    }

    /// Answers each connection with this.
    fn saying(answer: impl Into<String>) -> Peer {
        let answer = answer.into();
        Peer::answering(move |_| [answer.clone()])
    }

    /// Answers a head with one that does not end.
    fn endless() -> Peer {
        Peer::new(|caller, _| {
            caller.answer("HTTP/1.1 200 OK\r\n");
            while caller.say("X: y\r\n".repeat(100)) {}
        })
    }

    /// Reads a head and goes.
    fn gone() -> Peer {
        Peer::new(|caller, _| drop(caller.head()))
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    fn heads(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // So that it stops to wait.
        drop(TcpStream::connect(self.address));
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.unwrap().expect("a peer's script");
        }
    }
}

/// A client that has connected, and where its heads are kept.
struct Caller(Raw, Arc<Mutex<Vec<String>>>);

impl Caller {
    fn head(&mut self) -> String {
        let head = self.0.until("\r\n\r\n");
        let mut heads = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push(head.clone());
        head
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.stream.read_exact(&mut bytes).expect("more bytes");
        bytes
    }

    /// Sends bytes; whether that worked, as the client may have gone.
    fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads a head and says this; `ACCEPT` becomes the right one.
    fn answer(&mut self, answer: &str) {
        let head = self.head();
        let key = header(&head, "Sec-WebSocket-Key");
        let accept = key.map_or_else(String::new, |key| derive_accept_key(key.as_bytes()));
        self.say(answer.replace("ACCEPT", &accept));
    }

    fn upgrade(&mut self) {
        self.answer(UPGRADE);
    }

    #[track_caller]
    fn wait_end(&mut self) {
        assert!(self.0.ends_within(PATIENCE), "the client has not gone");
    }
}

/// A good answer.
const UPGRADE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
                       Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";

/// A good answer with more lines in its head.
fn upgrade_with(lines: &str) -> String {
    UPGRADE.replace("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

/// A refusal without a body.
fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// A client that waits for no answer to its goodbye.
fn client() -> ClientBuilder {
    Client::builder().close_timeout(Duration::ZERO)
}

/// A client that does not wait long.
fn impatient() -> ClientBuilder {
    client().open_timeout(Duration::from_millis(700))
}

/// Connecting fails with an error of this kind that says so, and no secret; `*` is any text.
#[track_caller]
fn fails(result: plainws::Result<Connection>, pattern: &str) {
    let error = result.map(drop).expect_err(pattern);
    let kind = match error {
        Error::Handshake { .. } => "Handshake",
        Error::Invalid { .. } => "Invalid",
        Error::Io { .. } => "Io",
        Error::Refused(_) => "Refused",
        Error::TimedOut { .. } => "TimedOut",
        _ => "another kind",
    };
    let text = format!("{kind}: {error}");
    let told = is_like(&text, pattern) && !text.contains("secret");
    assert!(told, "{text:.300} is not {pattern}");
}

#[track_caller]
fn took_less_than(seconds: u64, start: Instant) {
    let took = start.elapsed();
    assert!(took < Duration::from_secs(seconds), "it took {took:?}");
}

/// An address that refuses, as the socket is bound, and nobody listens.
fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
