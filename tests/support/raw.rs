//! A client on a socket, plain or with TLS of OpenSSL's: sends any bytes, reads HTTP answers and frames by
//! hand. It checks nothing by itself, so that it can be as wrong as a test wants.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::process::{Daemon, plainws, url_port};
use super::tools::PATIENCE;

/// The key of RFC 6455, section 1.3, and the answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub struct Peer<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

pub type Raw = Peer<TcpStream>;

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A frame as it came, unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> String {
        assert_eq!(self.opcode, 1, "not a text frame: {self:?}");
        String::from_utf8(self.payload.clone()).expect("text frames are UTF-8")
    }

    /// Code and reason of a close frame; 1005 without a code.
    pub fn close(&self) -> (u16, String) {
        assert_eq!(self.opcode, 8, "not a close frame: {self:?}");
        match self.payload.as_slice() {
            [] => (1005, String::new()),
            [a, b, reason @ ..] => (
                u16::from_be_bytes([*a, *b]),
                String::from_utf8_lossy(reason).into_owned(),
            ),
            _ => panic!("a close frame of one byte"),
        }
    }
}

impl<S: Read + Write> Peer<S> {
    pub fn new(stream: S) -> Peer<S> {
        let buffer = Vec::new();
        Peer { stream, buffer }
    }

    /// Makes a plain opening handshake.
    #[track_caller]
    pub fn open(mut self, path: &str) -> Peer<S> {
        self.send(upgrade_request(path, "").as_bytes());
        let answer = self.answer();
        assert_eq!(answer.status, 101, "{answer:?}");
        self
    }

    /// All that still comes until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.buffer)
    }

    /// What comes up to and with the next of these.
    #[track_caller]
    pub fn until(&mut self, end: &str) -> String {
        loop {
            let found = self
                .buffer
                .windows(end.len())
                .position(|w| w == end.as_bytes());
            if let Some(at) = found {
                let text: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                return String::from_utf8(text).expect("UTF-8");
            }
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            assert!(self.more(), "awaited {end:?}, the end came behind {text:?}");
        }
    }

    /// Sends bytes; that the peer has gone meanwhile is no error here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// One HTTP answer with its body, which ends where the connection does.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            assert!(self.more(), "no HTTP answer but {text:?}");
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.expect("a status line");
        let body = if status == 101 {
            Vec::new()
        } else {
            self.rest()
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { status, head, body }
    }

    /// The next frame, or `None` when the peer has closed.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Some(frame);
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The next frame that is no ping.
    #[track_caller]
    pub fn message(&mut self) -> Frame {
        let mut frames = std::iter::from_fn(|| self.frame());
        let frame = frames.find(|frame| frame.opcode != 9);
        frame.expect("a frame, not the end of the connection")
    }

    /// Waits for the close frame, past whatever comes before it.
    #[track_caller]
    pub fn close_frame(&mut self) -> (u16, String) {
        let mut frames = std::iter::from_fn(|| self.frame());
        let frame = frames.find(|frame| frame.opcode == 8);
        frame.expect("a close frame before the end").close()
    }

    /// Reads more; false at the end of the stream, however it ends.
    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(n) => {
                    self.buffer.extend_from_slice(&bytes[..n]);
                    return n > 0;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    panic!("nothing came within {PATIENCE:?}: {e}")
                }
                Err(_) => return false,
            }
        }
    }
}

impl Raw {
    #[track_caller]
    pub fn connect(port: u16) -> Raw {
        Raw::over(TcpStream::connect(("127.0.0.1", port)).expect("connect"))
    }

    /// Connects so that the peer soon finds the socket full when we do not read.
    #[track_caller]
    pub fn connect_narrow(port: u16) -> Raw {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Both before connecting. The window is never made smaller afterwards; and with segments
        // as large as loopback's, the peer's kernel alone would take 2.6 MB.
        socket.set_recv_buffer_size(2048).expect("a buffer size");
        socket.set_tcp_mss(1000).expect("a segment size");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        socket.connect(&address.into()).expect("connect");
        Raw::over(socket.into())
    }

    fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        Raw::new(stream)
    }

    /// Connects and makes a plain opening handshake.
    #[track_caller]
    pub fn upgrade(port: u16, path: &str) -> Raw {
        Raw::connect(port).open(path)
    }

    /// This end's address, as the peer's log has it.
    pub fn address(&self) -> String {
        self.stream.local_addr().expect("an address").to_string()
    }

    /// Ends the connection with a reset instead of a FIN.
    pub fn reset(self) {
        let socket = SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }

    /// Whether the peer closes within this time, whatever it sends before.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.stream.set_read_timeout(Some(left)).expect("timeout");
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => return true,
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return true,
                _ => {}
            }
        }
    }
}

/// Sends a request on a connection of its own, and gives the answer.
#[track_caller]
pub fn exchange(port: u16, request: impl AsRef<[u8]>) -> Answer {
    let mut raw = Raw::connect(port);
    raw.send(request.as_ref());
    raw.answer()
}

/// A valid request for a page; `more` are whole header lines.
pub fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
}

/// A valid opening request; `more` are whole header lines.
pub fn upgrade_request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame of a client: first byte as given, payload masked.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    let mask = MASK.iter().cycle();
    bytes.extend(payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The header of a client's frame that declares a payload of `len` bytes.
pub fn header(first: u8, len: u64) -> Vec<u8> {
    let extended = match len {
        0..=125 => 0,
        126..=65535 => 2,
        _ => 8,
    };
    header_as(first, len, extended)
}

/// A header whose length stands in an extension of so many bytes: 0, 2 or 8.
pub fn header_as(first: u8, len: u64, extended: usize) -> Vec<u8> {
    let short = match extended {
        0 => len as u8,
        2 => 126,
        _ => 127,
    };
    [
        &[first, 0x80 | short],
        &len.to_be_bytes()[8 - extended..],
        &MASK,
    ]
    .concat()
}

/// A whole masked text message.
pub fn text(text: &str) -> Vec<u8> {
    masked(0x81, text.as_bytes())
}

/// A masked close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    masked(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// The first frame of what came, and how many bytes it takes.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let length = bytes.get(2..2 + extended)?.iter();
    let len = match extended {
        0 => usize::from(second & 0x7f),
        _ => length.fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    };
    let masks = usize::from(second >> 7) * 4;
    let start = 2 + extended + masks;
    let mask = match masks {
        0 => &[0; 4][..],
        _ => bytes.get(start - masks..start)?,
    };
    let payload = bytes.get(start..start + len)?.iter();
    let payload = payload
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask);
    let frame = Frame {
        fin: first & 0x80 != 0,
        opcode: first & 0x0f,
        payload: payload.collect(),
    };
    Some((frame, start + len))
}

/// Starts the daemon with one listener of the application, and gives its port.
#[track_caller]
pub fn serve(app: &str, more: &[&str]) -> (Daemon, u16) {
    let listen = format!("{app}=127.0.0.1:0");
    let daemon = plainws(&[&["serve", "--listen", &listen], more].concat());
    let port = url_port(&daemon.wait_line(&format!("{app} at ")));
    (daemon, port)
}

/// How many bytes, and connections, wait in the system for a server at this port of 127.0.0.1.
pub fn unread(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    let local = format!("0100007F:{port:04X}");
    let fields = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_port = fields.filter(|fields| fields[1] == local);
    let waiting = of_port.map(|fields| {
        let (_, waiting) = fields[4].split_once(':').expect("two queues");
        u64::from_str_radix(waiting, 16).expect("a number")
    });
    waiting.sum()
}

/// Connects to the counter; gives its value.
#[track_caller]
pub fn join(port: u16) -> (Raw, i64) {
    let mut raw = Raw::upgrade(port, "/counter");
    let value = next_state(&mut raw);
    (raw, value)
}

/// The next value, past what is told of users.
#[track_caller]
pub fn next_state<S: Read + Write>(raw: &mut Peer<S>) -> i64 {
    loop {
        let news = raw.message().text();
        if let Some(value) = super::counter::value(&news) {
            return value;
        }
        assert!(news.contains("users"), "{news}");
    }
}
