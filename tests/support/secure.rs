//! A client on a TLS socket, by OpenSSL itself: what [`Raw`](super::raw::Raw) is without TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use openssl::ssl::{ShutdownState, SslConnector, SslMethod, SslStream, SslVerifyMode};

use super::certificates;
use super::raw::{Frame, Raw, parse, upgrade_request};

pub struct Secure {
    pub stream: SslStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Secure {
    /// Connects, whatever certificate the server shows.
    #[track_caller]
    pub fn connect(port: u16) -> Secure {
        Secure::over(Raw::connect(port))
    }

    /// As [`connect`](Secure::connect), over a connection that has been made.
    #[track_caller]
    pub fn over(raw: Raw) -> Secure {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
        connector.set_verify(SslVerifyMode::NONE);
        let connector = connector.build();
        match connector.connect("localhost", raw.stream) {
            Ok(stream) => Secure {
                stream,
                buffer: Vec::new(),
            },
            Err(error) => panic!("no TLS handshake: {error}"),
        }
    }

    /// Connects and makes a plain opening handshake.
    #[track_caller]
    pub fn upgrade(port: u16, path: &str) -> Secure {
        Secure::connect(port).open(path)
    }

    /// Makes a plain opening handshake.
    #[track_caller]
    pub fn open(mut self, path: &str) -> Secure {
        self.send(upgrade_request(path, "").as_bytes());
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more(), "closed without an answer");
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        self.buffer.drain(..end);
        self
    }

    /// This end's address, as the peer's log has it.
    pub fn address(&self) -> String {
        self.stream
            .get_ref()
            .local_addr()
            .expect("an address")
            .to_string()
    }

    /// The serial number of the certificate that the server has shown.
    pub fn serial(&self) -> String {
        let certificate = self.stream.ssl().peer_certificate();
        certificates::serial(&certificate.expect("a certificate of the server"))
    }

    /// Sends bytes; that the peer has gone meanwhile is no error here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame, or `None` when the peer has closed.
    #[track_caller]
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
        loop {
            let frame = self.frame();
            let frame = frame.expect("a frame, not the end of the connection");
            if frame.opcode != 9 {
                return frame;
            }
        }
    }

    /// Waits for the close frame, past whatever comes before it.
    #[track_caller]
    pub fn close_frame(&mut self) -> (u16, String) {
        loop {
            match self.frame() {
                Some(frame) if frame.opcode == 8 => return frame.close(),
                Some(_) => {}
                None => panic!("the connection ended without a close frame"),
            }
        }
    }

    /// All that still comes until the peer closes.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the peer has said by `close_notify` that it has ended.
    pub fn was_notified(&mut self) -> bool {
        self.stream.get_shutdown().contains(ShutdownState::RECEIVED)
    }

    /// Reads more; false at the end of the stream, with or without `close_notify`.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(n) => {
                self.buffer.extend_from_slice(&bytes[..n]);
                n > 0
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("nothing came in time: {error}")
            }
            Err(_) => false,
        }
    }
}
