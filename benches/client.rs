//! One client: opened with blocking calls, then non-blocking.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

use crate::Result;
use crate::frame;

/// How long any single wait for a server may last.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and what was read from it.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the unread part of the buffer starts.
    start: usize,
    /// Set once the stream has ended: why.
    ended: Option<String>,
}

impl Client {
    /// Connects and upgrades.
    pub(crate) fn connect(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| format!("no connection to {address}: {error}"))?;
        Client::upgrade(stream, address)
    }

    /// The same through little buffer space: the kernel sizes the server's send buffer for some
    /// tens of segments, which on loopback are so long that it would take megabytes.
    pub(crate) fn connect_narrow(address: SocketAddr) -> Result<Client> {
        let open = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_recv_buffer_size(2304)?;
            socket.set_tcp_mss(536)?;
            socket.connect_timeout(&address.into(), PATIENCE)?;
            Ok(TcpStream::from(socket))
        };
        let stream = open()
            .map_err(|error: std::io::Error| format!("no connection to {address}: {error}"))?;
        Client::upgrade(stream, address)
    }

    fn upgrade(stream: TcpStream, address: SocketAddr) -> Result<Client> {
        let mut client = Client {
            stream,
            buffer: Vec::new(),
            start: 0,
            ended: None,
        };
        client
            .shake_hands(address)
            .map_err(|error| format!("no answer to the upgrade request: {error}"))?;
        let head = client.take_head()?;
        if head.starts_with("HTTP/1.1 101 ") {
            Ok(client)
        } else {
            let status = head.lines().next().unwrap_or_default();
            Err(format!("the upgrade was refused with {status:?}"))
        }
    }

    /// Sends the request and reads until the head of the answer is in the buffer.
    fn shake_hands(&mut self, address: SocketAddr) -> std::io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        (&self.stream).write_all(request.as_bytes())?;
        while self.head_length().is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut bytes = [0; 4096];
            match (&self.stream).read(&mut bytes)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&bytes[..count]),
            }
        }
        self.stream.set_nonblocking(true)
    }

    fn head_length(&self) -> Option<usize> {
        let end = self
            .buffer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")?;
        Some(end + 4)
    }

    fn take_head(&mut self) -> Result<String> {
        let length = self.head_length().ok_or("the answer has no end")?;
        let head: Vec<u8> = self.buffer.drain(..length).collect();
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// The client's end of the connection.
    pub(crate) fn local_address(&self) -> Result<SocketAddr> {
        self.stream
            .local_addr()
            .map_err(|error| format!("a connection without an address: {error}"))
    }

    /// Sends bytes, waiting while the socket takes none.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match (&self.stream).write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.wait(PollFlags::OUT, PATIENCE)? {
                        return Err(format!("the server has read nothing for {PATIENCE:?}"));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot send: {error}")),
            }
        }
        Ok(())
    }

    /// Waits until there is something to read; false if there is nothing in that time.
    pub(crate) fn wait_readable(&self, timeout: Duration) -> Result<bool> {
        self.wait(PollFlags::IN, timeout)
    }

    fn wait(&self, flags: PollFlags, timeout: Duration) -> Result<bool> {
        let timeout = timespec(timeout)?;
        match poll(&mut [PollFd::new(&self.stream, flags)], Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(format!("cannot wait for a client: {error}")),
        }
    }

    /// Reads what there is, by way of `scratch`. An end of the stream shows at
    /// [`Client::next_message`].
    pub(crate) fn fill(&mut self, scratch: &mut [u8]) {
        // Earlier frames were taken; what is left is the beginning of one.
        self.buffer.drain(..self.start);
        self.start = 0;
        while self.ended.is_none() {
            match (&self.stream).read(scratch) {
                Ok(0) => self.ended = Some("the connection ended without a close frame".into()),
                Ok(count) => {
                    self.buffer.extend_from_slice(&scratch[..count]);
                    // A short read means that the socket is empty: the call that only says so is
                    // saved.
                    if count < scratch.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.ended = Some(format!("the connection broke: {error}")),
            }
        }
    }

    /// Takes the next message that [`Client::fill`] has read. Pings are answered on the way.
    ///
    /// # Errors
    /// If the server has closed the connection or sends what it may not.
    pub(crate) fn next_message(&mut self) -> Result<Option<Range<usize>>> {
        while let Some(frame) = frame::parse(&self.buffer[self.start..])? {
            let payload = self.start + frame.payload.start..self.start + frame.payload.end;
            self.start = payload.end;
            match frame.opcode {
                frame::TEXT | frame::BINARY => return Ok(Some(payload)),
                frame::PING => {
                    let pong = frame::masked(frame::PONG, self.payload(&payload));
                    self.send(&pong)?;
                }
                frame::CLOSE => return Err(close_sentence(self.payload(&payload))),
                _ => {}
            }
        }
        self.ended.clone().map_or(Ok(None), Err)
    }

    /// The bytes of a message; they stay until the next [`Client::fill`].
    pub(crate) fn payload(&self, message: &Range<usize>) -> &[u8] {
        &self.buffer[message.clone()]
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn close_sentence(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => format!(
            "the server closed the connection with {} {:?}",
            u16::from_be_bytes(*code),
            String::from_utf8_lossy(reason)
        ),
        None => "the server closed the connection without a code".into(),
    }
}

/// A duration as the kernel takes it.
pub(crate) fn timespec(duration: Duration) -> Result<Timespec> {
    Timespec::try_from(duration).map_err(|_| format!("a wait of {duration:?} is too long"))
}
