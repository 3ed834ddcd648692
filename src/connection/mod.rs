//! `Connection`: what a handler and a client hold. Receives through the inbox, sends through the
//! outbox, and waits for bytes outside the locks of both.
//!
//! | in | through | out |
//! |---|---|---|
//! | bytes | `receiver` (whose turn), `inbox` (tungstenite) | messages |
//! | messages, frames of a hub | `outbox`, `backlog` | bytes |
//! | the last word of either side | `closing`, `ending`, `end` | [`Closed`], a line in the log |
//! | time | `upkeep`, `keepalive` | pings, deadlines |

mod messages;

mod end;
mod receiver;

mod inbox;

mod closing;
mod upkeep;

mod outbox;

mod backlog;
mod ending;
mod frames;
mod keepalive;

mod frame;
mod name;

mod framing;
mod tally;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use self::frames::{Frames, Topic};
pub(crate) use self::framing::Framing;
pub use self::messages::Messages;
pub(crate) use self::outbox::Outbox;
pub(crate) use self::tally::Tally;
use crate::address::{Address, Via};
use crate::caretaker::Caretaker;
use crate::close::{CloseCode, CloseFrame, Closed};
use crate::config::Config;
use crate::connection::inbox::Inbox;
use crate::connection::receiver::Receiver;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::http::request::Request;
use crate::message::Message;
use crate::wire::Wire;

/// One WebSocket connection, at either end.
///
/// # Threads
///
/// All methods take `&self` and may be called from several threads at once: one receives while
/// others send, ping or close. A clone is a handle to the same connection. If several threads
/// receive, each message goes to one of them.
///
/// # Pings
///
/// A peer's pings are answered, and its leaving is noticed, by the calls that receive, and every
/// second by those that send. A handler that waits for something else for long should wait in
/// [`recv_timeout`](Connection::recv_timeout).
///
/// # The end
///
/// On a server the connection is closed when the handler returns. A client's is closed when its
/// last handle is dropped: with 1000, waiting for the server's answer for the close timeout at
/// most, as [`close`](Connection::close) does.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    framing: Framing,
    peer: Address,
    local: Address,
    request: Request,
    subprotocol: Option<Box<str>>,
    user: Option<Arc<str>>,
    response: Box<[(String, String)]>,
    outbox: Arc<Outbox>,
    receiver: Receiver,
}

/// What a connection is made of, once the handshake is done.
pub(crate) struct Opened {
    pub(crate) id: u64,
    pub(crate) framing: Framing,
    pub(crate) config: Config,
    pub(crate) wire: Arc<Wire>,
    pub(crate) caretaker: Arc<Caretaker>,
    pub(crate) peer: Address,
    pub(crate) local: Address,
    pub(crate) request: Request,
    /// The subprotocol agreed on.
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) user: Option<Arc<str>>,
    /// At a client, the headers of the server's answer.
    pub(crate) response: Box<[(String, String)]>,
    /// Bytes that came behind the handshake.
    pub(crate) rest: Vec<u8>,
}

/// Counts the connections of the process; never 0.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Connection {
    pub(crate) fn new(opened: Opened) -> Connection {
        let (id, framing, config) = (opened.id, opened.framing, opened.config);
        let receiver = Receiver::new(Inbox::new(framing, config.max_size, opened.rest));
        let outbox = Outbox::new(id, framing, config, opened.wire, opened.caretaker);
        Connection {
            inner: Arc::new(Inner {
                framing,
                peer: opened.peer,
                local: opened.local,
                request: opened.request,
                subprotocol: opened.subprotocol,
                user: opened.user,
                response: opened.response,
                outbox,
                receiver,
            }),
        }
    }

    /// Receives the next message; waits for it as long as the connection is open.
    ///
    /// Sends first what [`write`](Connection::write) has queued. Pings are answered and fragments
    /// put together on the way.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection is closed, by whichever side, or lost. Messages that
    /// came before that have been received by then. After our own [`close`](Connection::close)
    /// in another thread this returns when the peer has answered, after the close timeout at the
    /// latest.
    pub fn recv(&self) -> Result<Message> {
        loop {
            // Without a deadline there is a message or an error.
            if let Some(message) = self.inner.receive(Deadline::NEVER)? {
                return Ok(message);
            }
        }
    }

    /// Receives a message that has arrived already, or `None`. Never waits.
    ///
    /// # Errors
    ///
    /// As [`recv`](Connection::recv).
    pub fn try_recv(&self) -> Result<Option<Message>> {
        self.inner.receive(Deadline::after(Duration::ZERO))
    }

    /// Receives the next message, or `None` if none has come within `timeout`. What has arrived
    /// of an unfinished message is kept for the next call.
    ///
    /// # Errors
    ///
    /// As [`recv`](Connection::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Message>> {
        self.inner.receive(Deadline::after(timeout))
    }

    /// Sends a message, after all that [`write`](Connection::write) has queued.
    ///
    /// Returns when the message is handed to the system, or queued within the backlog limit; waits
    /// while the peer reads too slowly for that.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection is closed or closing, or when the peer has not
    /// read anything for the write timeout.
    pub fn send(&self, message: impl Into<Message>) -> Result<()> {
        self.inner.sender().send(&message.into())
    }

    /// Sends a message without ever waiting.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] when the peer reads too slowly and the message would pass the backlog
    /// limit; it is not sent, the connection stays. [`Error::Closed`] as with
    /// [`send`](Connection::send).
    pub fn try_send(&self, message: impl Into<Message>) -> Result<()> {
        self.inner.sender().try_send(&message.into())
    }

    /// Queues a message. It is sent by the next [`flush`](Connection::flush),
    /// [`send`](Connection::send) or receiving call, or when 16 KiB are queued: answers to many
    /// messages that arrived together leave in one system call.
    ///
    /// Waits only as `send` does.
    ///
    /// # Errors
    ///
    /// As [`send`](Connection::send).
    pub fn write(&self, message: impl Into<Message>) -> Result<()> {
        self.inner.sender().write(&message.into())
    }

    /// Sends what is queued, as far as the system takes it at once; the rest follows by itself.
    /// Never waits.
    pub fn flush(&self) {
        self.inner.outbox.flush();
    }

    /// Sends a ping; the peer's answer sets [`latency`](Connection::latency). Never waits. You
    /// need it only if the pings sent every `ping_interval` are too rare.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection is closed or closing.
    pub fn ping(&self) -> Result<()> {
        self.inner.outbox.ping()
    }

    /// The time between the last answered ping and its answer, if there was one. The answer is
    /// seen by a thread that receives.
    pub fn latency(&self) -> Option<Duration> {
        self.inner.outbox.state().keepalive.latency()
    }

    /// Closes the connection: sends what is queued and a close frame, and waits until the peer
    /// has answered, for the close timeout at most; messages that arrive meanwhile are thrown
    /// away, unless another thread receives them. Wakes a thread that is blocked in
    /// [`recv`](Connection::recv). Does nothing if the connection is closed.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a code that may not be sent or a reason above 123 bytes (RFC 6455,
    /// sections 5.5 and 7.4).
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<()> {
        let frame = CloseFrame::checked(code, reason).map_err(Error::invalid)?;
        self.inner.finish(frame);
        Ok(())
    }

    /// Whether the closing handshake has begun, by either side, or the connection was lost.
    pub fn is_closed(&self) -> bool {
        self.inner.outbox.state().ending.has_begun()
    }

    /// How the connection ended, from the first close frame or its loss on; `None` while it is open.
    pub fn closed(&self) -> Option<Closed> {
        let state = self.inner.outbox.state();
        state
            .ending
            .has_begun()
            .then(|| state.ending.closed.clone())
    }

    /// The number of this connection, unique in the process. Log lines and the thread's name
    /// have it.
    pub fn id(&self) -> u64 {
        self.inner.outbox.id
    }

    /// The request that opened the connection: path and headers. At a client, the one it sent.
    pub fn request(&self) -> &Request {
        &self.inner.request
    }

    /// The path of the request, without the query: `/` or `/counter`.
    pub fn path(&self) -> &str {
        self.inner.request.path()
    }

    /// The subprotocol that both ends have agreed on in the opening handshake, if there is one.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .subprotocols(["chat.v2", "chat.v1"])
    ///     .connect("ws://localhost:8765")?;
    /// match ws.subprotocol() {
    ///     Some(name) => println!("we speak {name}"),
    ///     None => println!("the server knows none of them"),
    /// }
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn subprotocol(&self) -> Option<&str> {
        self.inner.subprotocol.as_deref()
    }

    /// Who the client is, as the route said: [`Answer::user`](crate::Answer::user).
    pub fn user(&self) -> Option<&str> {
        self.inner.user.as_deref()
    }

    /// The headers of the answer that opened the connection, in its order; none at a server.
    ///
    /// ```no_run
    /// let ws = plainws::connect("ws://localhost:8765")?;
    /// for (name, value) in ws.response_headers() {
    ///     println!("{name}: {value}");
    /// }
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn response_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.response.iter().map(|(n, v)| (&**n, &**v))
    }

    /// The other end's address. Through a proxy, the proxy's.
    pub fn peer_addr(&self) -> &Address {
        &self.inner.peer
    }

    /// The IP address of the client, for logs and limits; at a client, its own. Behind one of the
    /// [`trusted_proxies`](crate::ServerBuilder::trusted_proxies) it is the one that the proxy forwards.
    /// `None` for a peer of a Unix socket of which nothing is known.
    ///
    /// ```
    /// use plainws::Server;
    ///
    /// let server = Server::builder(|ws| ws.send(format!("{:?}", ws.client_ip())))
    ///     .trusted_proxies(["127.0.0.0/8".parse()?])
    ///     .listen("127.0.0.1:0")
    ///     .start()?;
    /// // As a proxy would.
    /// let ws = plainws::Client::builder()
    ///     .header("X-Forwarded-For", "203.0.113.9")
    ///     .connect(&format!("ws://{}", server.local_addr()))?;
    /// assert_eq!(ws.recv()?.to_string(), "Some(203.0.113.9)");
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn client_ip(&self) -> Option<IpAddr> {
        match self.inner.framing {
            Framing::Server | Framing::Events => self.inner.request.client_ip(),
            Framing::Client => self.inner.local.ip(),
        }
    }

    /// Who is connected, as log lines have it: `127.0.0.1:4711`, or through one of the
    /// [`trusted_proxies`](crate::ServerBuilder::trusted_proxies) `203.0.113.9 via 127.0.0.1:4711`.
    pub fn caller(&self) -> impl fmt::Display + '_ {
        self.inner.caller()
    }

    /// This end's address.
    pub fn local_addr(&self) -> &Address {
        &self.inner.local
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.inner.outbox
    }

    /// Messages in both directions; the bytes are the wire's.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            messages_in: self.inner.receiver.messages(),
            ..self.inner.outbox.tally()
        }
    }
}

impl Inner {
    fn caller(&self) -> Via<'_> {
        Via {
            peer: &self.peer,
            client: self.request.client_ip(),
        }
    }

    /// The outbox, for a call that sends: on the way it looks whether a ping waits for an answer.
    fn sender(&self) -> &Outbox {
        self.receiver.read_control_frames(&self.outbox);
        &self.outbox
    }

    fn receive(&self, deadline: Deadline) -> Result<Option<Message>> {
        let received = self.receiver.receive(&self.outbox, deadline);
        if received.is_err() {
            self.hang_up();
        }
        received
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("peer", self.peer_addr())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
