//! The opening of a client's connection, as one list: a URL becomes a target, a transport, perhaps
//! through a proxy, TLS, a request and a checked answer (RFC 6455, section 4.1), and the same
//! `Connection` as on a server. And the rules of redirects.
//!
//! All in the caller's thread, within one deadline.

use std::sync::Arc;

use super::attempt::Attempt;
use super::builder::{Client, ClientBuilder};
use super::offer::KEY;
use super::response::ResponseHead;
use super::target::Target;
use super::transport::Transport;
use crate::caretaker::Caretaker;
use crate::connection::{Connection, Framing, Opened};
use crate::error::{Error, Result};
use crate::http::request::Request;
use crate::wire::socket::Socket;

/// Connects to a WebSocket server, `ws://localhost:8765/path?query`, with the defaults of
/// [`Client`]. Waits for the opening handshake, 10 s at most.
///
/// # Errors
///
/// As [`ClientBuilder::connect`].
///
/// ```no_run
/// let ws = plainws::connect("ws://localhost:8765")?;
/// ws.send("Rust")?;
/// println!("{}", ws.recv()?);
/// # Ok::<(), plainws::Error>(())
/// ```
pub fn connect(url: &str) -> Result<Connection> {
    Client::builder().connect(url)
}

impl ClientBuilder {
    /// Connects to `ws://[NAME:PASSWORD@]HOST[:PORT][/PATH][?QUERY]`, or `wss://` for TLS, with the
    /// ports 80 and 443 by default. Characters of path and query that need it are percent-encoded.
    ///
    /// Waits until the connection is open: names, TCP, proxy, TLS, upgrade and redirects together
    /// for [`open_timeout`](ClientBuilder::open_timeout). Of a host with several addresses each may
    /// take its share of the time left. Only the system's resolver of names, which cannot be
    /// stopped, may take longer, some 10 s when its name servers are silent.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`]: what is no such URL, or an option that cannot be meant.
    /// - [`Error::Io`]: nobody can be reached there, or it closed without an answer.
    /// - [`Error::TimedOut`]: not open in time; says which stage it was.
    /// - [`Error::Tls`]: TLS has failed.
    /// - [`Error::Refused`]: the server, or a proxy, answers with something else than an upgrade.
    /// - [`Error::Handshake`]: the answer is not one of RFC 6455, or leads where it may not.
    ///
    /// ```no_run
    /// match plainws::Client::builder().connect("ws://localhost:8765") {
    ///     Ok(ws) => ws.send("Rust")?,
    ///     Err(plainws::Error::Refused(refused)) => println!("{}: {}", refused.status, refused.body),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn connect(&self, url: &str) -> Result<Connection> {
        let mut target = self.target(url)?;
        let attempt = Attempt::new(self.config.open_timeout);
        let (mut trusted, mut redirects) = (true, 0);
        loop {
            let request = self.offer.request(&target, trusted)?;
            let mut transport = match self.proxies.choose(&target)? {
                Some(proxy) => proxy.reach(&attempt, &target, &self.trust)?,
                None => Transport::dial(&attempt, &target.host, target.port, target.place())?,
            };
            let response = self.ask(&mut transport, &target, &request)?;
            let location = response.location().filter(|_| self.max_redirects > 0);
            let Some(location) = location else {
                return self.open(transport, request, response);
            };
            // The answer's body is of no interest, nor is the connection.
            let next = target.follow(location)?;
            redirects += 1;
            if redirects > self.max_redirects {
                return Err(Error::handshake(format!(
                    "more than {} redirects, the last one to {next}",
                    self.max_redirects
                )));
            }
            attempt.log(format_args!("redirected to {next}"));
            // Once left, the server is not trusted on the way back either: who sends there now is
            // somebody else.
            trusted = trusted && next.is_same_origin(&target);
            target = next;
        }
    }

    /// Opens a connection over a socket that you have connected: through a tunnel of your own, or a
    /// Unix socket. The URL's scheme, host and path are used as ever, for TLS and the request;
    /// neither proxies nor redirects are, one of which is [`Error::Refused`].
    ///
    /// The socket is made blocking. Waits for TLS and upgrade, for
    /// [`open_timeout`](ClientBuilder::open_timeout).
    ///
    /// # Errors
    ///
    /// As [`connect`](ClientBuilder::connect).
    ///
    /// ```no_run
    /// let socket = std::os::unix::net::UnixStream::connect("/run/plainws/counter.sock")?;
    /// let ws = plainws::Client::builder().connect_over("ws://localhost/", socket)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect_over(&self, url: &str, socket: impl Into<Socket>) -> Result<Connection> {
        let target = self.target(url)?;
        let attempt = Attempt::new(self.config.open_timeout);
        let request = self.offer.request(&target, true)?;
        let mut transport = Transport::over(&attempt, socket.into(), target.place())?;
        let response = self.ask(&mut transport, &target, &request)?;
        self.open(transport, request, response)
    }

    /// Where the URL leads, and who we are there.
    fn target(&self, url: &str) -> Result<Target> {
        let mut target = Target::parse(url)?;
        if self.login.is_some() {
            target.login.clone_from(&self.login);
        }
        Ok(target)
    }

    /// Makes TLS, if it is wanted, sends the request and reads the answer.
    fn ask(
        &self,
        transport: &mut Transport<'_>,
        target: &Target,
        request: &Request,
    ) -> Result<ResponseHead> {
        if target.secure {
            transport.secure(&self.trust, &target.host, &target.place())?;
        }
        let first = format!("GET {} HTTP/1.1", target.path);
        transport.send_head(&first, request.headers())?;
        ResponseHead::read(transport)
    }

    /// Opens the connection, if the answer is an upgrade.
    fn open(
        &self,
        transport: Transport<'_>,
        request: Request,
        response: ResponseHead,
    ) -> Result<Connection> {
        if response.status != 101 {
            return Err(response.refused(&transport, None));
        }
        let key = request.header(KEY).unwrap_or_default();
        Ok(Connection::new(Opened {
            id: transport.attempt.id,
            framing: Framing::Client,
            config: self.config.clone(),
            user: None,
            subprotocol: response.check(key, &self.offer.subprotocols)?,
            wire: Arc::new(transport.wire),
            caretaker: Caretaker::shared()?,
            peer: transport.peer,
            local: transport.local,
            request,
            response: response.headers.into(),
            rest: response.rest,
        }))
    }
}
