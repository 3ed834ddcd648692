//! A client on a plain socket: sends any bytes, reads HTTP answers and frames by hand. It checks
//! nothing by itself, so that it can be as wrong as a test wants.

use std::collections::BTreeSet;
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

pub struct Raw {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

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

impl Raw {
    pub fn connect(port: u16) -> Raw {
        Raw::over(TcpStream::connect(("127.0.0.1", port)).expect("connect"))
    }

    /// Connects so that the peer soon finds the socket full when we do not read.
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
        Raw {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Connects and makes a plain opening handshake.
    pub fn upgrade(port: u16, path: &str) -> Raw {
        Raw::connect(port).open(path)
    }

    /// Makes a plain opening handshake.
    pub fn open(mut self, path: &str) -> Raw {
        self.send(upgrade_request(path, "").as_bytes());
        let answer = self.answer();
        assert_eq!(answer.status, 101, "{answer:?}");
        self
    }

    /// This end's address, as the peer's log has it.
    pub fn address(&self) -> String {
        self.stream.local_addr().expect("an address").to_string()
    }

    /// Ends the connection with a reset instead of a FIN.
    pub fn reset(self) {
        let no_time = Some(Duration::ZERO);
        SockRef::from(&self.stream)
            .set_linger(no_time)
            .expect("linger");
    }

    /// All that still comes until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.buffer)
    }

    /// Sends bytes; that the peer has gone meanwhile is no error here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// One HTTP answer with its body, as long as Content-Length says.
    pub fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                panic!(
                    "no HTTP answer but {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .expect("a status line");
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        if status != 101 {
            while self.more() {}
            answer.body = String::from_utf8_lossy(&self.buffer).into_owned();
            self.buffer.clear();
        }
        answer
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
    pub fn message(&mut self) -> Frame {
        loop {
            let frame = self
                .frame()
                .expect("a frame, not the end of the connection");
            if frame.opcode != 9 {
                return frame;
            }
        }
    }

    /// Waits for the close frame, past whatever comes before it.
    pub fn close_frame(&mut self) -> (u16, String) {
        loop {
            match self.frame() {
                Some(frame) if frame.opcode == 8 => return frame.close(),
                Some(_) => {}
                None => panic!("the connection ended without a close frame"),
            }
        }
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
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return true,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {}
            }
        }
    }

    /// Reads more; false at the end of the stream.
    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(n) => {
                    self.buffer.extend_from_slice(&bytes[..n]);
                    return n > 0;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return false,
                Err(e) => panic!("nothing came within {PATIENCE:?}: {e}"),
            }
        }
    }
}

/// Sends a request on a connection of its own, and gives the answer.
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
    let mut bytes = vec![first, 0x80 | short];
    bytes.extend_from_slice(&len.to_be_bytes()[8 - extended..]);
    bytes.extend_from_slice(&MASK);
    bytes
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
pub fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (len, start) = match second & 0x7f {
        126 => (
            u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?) as usize,
            4,
        ),
        127 => (
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
            10,
        ),
        n => (n as usize, 2),
    };
    let (mask, start) = match second & 0x80 {
        0 => ([0; 4], start),
        _ => (bytes.get(start..start + 4)?.try_into().ok()?, start + 4),
    };
    let payload = bytes.get(start..start + len)?;
    let payload = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    Some((
        Frame {
            fin: first & 0x80 != 0,
            opcode: first & 0x0f,
            payload,
        },
        start + len,
    ))
}

/// Starts the daemon with one listener of the application, and gives its port.
#[track_caller]
pub fn serve(app: &str, more: &[&str]) -> (Daemon, u16) {
    let listen = format!("{app}=127.0.0.1:0");
    let daemon = plainws(&[&["serve", "--listen", &listen], more].concat());
    let port = url_port(&daemon.wait_line(&format!("{app} at ")));
    (daemon, port)
}

/// What the system says of a process.
impl Daemon {
    /// Resident memory in KiB.
    pub fn resident(&self) -> i64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a status");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("a VmRSS line");
        line.split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number")
    }

    /// Processor time used so far, in user and system mode.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|n| n.parse::<u64>().expect("ticks")).sum();
        // A tick is 10 ms on every Linux, as far as processes can see.
        Duration::from_millis(ticks * 10)
    }

    /// The names of all threads.
    pub fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("tasks");
        // A thread may end between the two steps.
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim_end().to_owned()).collect()
    }

    /// How many threads serve a client.
    pub fn clients(&self) -> usize {
        let names = self.threads();
        let named = names.iter().filter(|name| name.starts_with("ws-conn-"));
        // One that has not run yet still has the name of the thread that made it.
        let makers: Vec<_> = names
            .iter()
            .filter(|n| n.starts_with("ws-accept-"))
            .collect();
        let listeners: BTreeSet<_> = makers.iter().collect();
        named.count() + makers.len() - listeners.len()
    }

    /// How many files are open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("descriptors")
            .count()
    }
}

/// How many bytes, and connections, wait in the system for a server at this port of 127.0.0.1.
pub fn unread(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    let local = format!("0100007F:{port:04X}");
    let lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|line| line[1] == local)
        .map(|line| {
            let (_, waiting) = line[4].split_once(':').expect("two queues");
            u64::from_str_radix(waiting, 16).expect("a number")
        })
        .sum()
}
