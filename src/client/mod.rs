//! `connect`, and `Client` with its builder: a URL becomes a socket, a request and a checked answer
//! (RFC 6455, section 4.1), and the same `Connection` as on a server.
//!
//! All in the caller's thread, within one deadline. Each stage has a file of its own; here is their
//! order, and the rules of redirects.

mod answer;
mod attempt;
mod dial;
mod environment;
mod login;
mod offer;
mod proxy;
mod retry;
mod socks;
mod target;

use std::fmt;
use std::sync::Arc;

use tungstenite::handshake::client::generate_key;
use tungstenite::protocol::Role;

use crate::caretaker::Caretaker;
use crate::config::{Config, DEFAULT_CLIENT_MAX_SIZE, connection_options};
use crate::connection::{Connection, Opened};
use crate::error::{Error, Result};
use crate::http::request::Request;
#[cfg(feature = "tls")]
use crate::tls::Identity;
use crate::tls::Trust;
use crate::wire::socket::Socket;
use answer::Answer;
pub(crate) use attempt::Attempt;
use dial::Line;
use environment::Environment;
use login::Login;
use offer::Offer;
use proxy::{Choice, Url};
pub use retry::{Retry, Stopper};
use target::Target;

const MAX_REDIRECTS: usize = 10;

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

/// The client end: [`Client::builder`] describes connections before they are made.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Starts the description of a connection.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .max_size(16 * 1024 * 1024)
    ///     .ping_interval(None)
    ///     .connect("ws://localhost:8765/echo")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn builder() -> ClientBuilder {
        let config = Config {
            max_size: DEFAULT_CLIENT_MAX_SIZE,
            ..Config::default()
        };
        ClientBuilder {
            config,
            offer: Offer::default(),
            login: None,
            proxy: Choice::default(),
            max_redirects: MAX_REDIRECTS,
            tls: Trust::default(),
        }
    }
}

/// Describes a client's connection before it is made; it may be used again, and from several
/// threads. Neither its `Debug` nor an error or a log line of it shows a password.
#[derive(Clone)]
#[must_use = "a description does nothing until it connects"]
pub struct ClientBuilder {
    config: Config,
    offer: Offer,
    login: Option<Login>,
    proxy: Choice,
    max_redirects: usize,
    tls: Trust,
}

impl ClientBuilder {
    /// Adds a header to the request. Those of the handshake itself cannot be replaced, which
    /// [`connect`](ClientBuilder::connect) tells.
    ///
    /// `Authorization`, `Cookie` and `Proxy-Authorization` are for the server that the URL names: a
    /// redirect to another scheme, host or port is followed without them.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .header("Authorization", "Bearer e4d909c2")
    ///     .connect("ws://localhost:8765")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.offer.headers.push((name.into(), value.into()));
        self
    }

    /// The web page's origin that the request shall come from, `https://app.example`: servers that
    /// serve browsers look at it. Defaults to none, as for a program.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .origin("https://app.example")
    ///     .connect("ws://localhost:8765")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.offer.origin = Some(origin.into());
        self
    }

    /// The subprotocols offered to the server, the best first; it chooses one of them, which is
    /// [`Connection::subprotocol`], or none. A server that chooses another one is an error.
    /// Defaults to none.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .subprotocols(["chat.v2", "chat.v1"])
    ///     .connect("ws://localhost:8765")?;
    /// assert!(ws.subprotocol().is_some(), "this server does not chat");
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.offer.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Who we are, by HTTP's Basic authentication (RFC 7617), instead of the name and the password
    /// that the URL has: `ws://NAME:PASSWORD@HOST/`, percent-encoded. A header `Authorization` given
    /// by [`header`](ClientBuilder::header) counts before both. Over `ws://` everybody on the way
    /// can read it.
    ///
    /// A redirect to another scheme, host or port is followed without it. Defaults to none.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .basic_auth("ada", "open sesame")
    ///     .connect("ws://localhost:8765")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn basic_auth(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some(Login::new(name, password));
        self
    }

    /// The URL of a proxy that all servers are reached through, `None` for the direct way: an HTTP
    /// proxy that knows CONNECT, `http://HOST:PORT` or over TLS `https://HOST:PORT`; or a SOCKS 5
    /// proxy, `socks5h://HOST:PORT`, which resolves the server's name itself, or
    /// `socks5://HOST:PORT`, for which it is resolved here. With a login as
    /// `http://NAME:PASSWORD@HOST:PORT`, percent-encoded. Ports default to 80, 443 and 1080.
    ///
    /// Defaults to none.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .proxy("socks5h://localhost:9050")
    ///     .connect("ws://server.example")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn proxy<'a>(mut self, url: impl Into<Option<&'a str>>) -> Self {
        self.proxy = match url.into() {
            Some(url) => Choice::Given(Url(url.to_owned())),
            None => Choice::Direct,
        };
        self
    }

    /// Reads the proxies from the environment, now; of itself the library reads none.
    ///
    /// For `wss://` it is the first of `wss_proxy`, `https_proxy` and `all_proxy`, for `ws://` of
    /// `ws_proxy`, `http_proxy`, `https_proxy` and `all_proxy`, each in lower case or else in upper
    /// case; an empty one in lower case switches both off. `HTTP_PROXY` in upper case does not count
    /// in a CGI program (where `REQUEST_METHOD` is set), as it may come from a request. The values
    /// are URLs as for [`proxy`](ClientBuilder::proxy); without a scheme, `http://` is meant.
    ///
    /// `no_proxy` lists what is reached directly, separated by commas: hosts, each with what is
    /// below it (`example.com` or `.example.com`), addresses, nets (`10.0.0.0/8`), each of which may
    /// have a `:PORT`, or `*` for all. A redirect is looked up again.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .proxy_from_env()
    ///     .connect("ws://server.example")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn proxy_from_env(mut self) -> Self {
        let environment = Environment::read(|name| std::env::var(name).ok());
        self.proxy = Choice::Environment(Box::new(environment));
        self
    }

    /// How many redirects are followed, one after the other; with 0 a redirect is
    /// [`Error::Refused`], as any other answer. Never from `wss://` to `ws://`. Defaults to 10.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .max_redirects(0)
    ///     .connect("ws://localhost:8765")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn max_redirects(mut self, redirects: usize) -> Self {
        self.max_redirects = redirects;
        self
    }

    /// The certificates to trust, in PEM, instead of the system's: those of issuers, or the
    /// server's own if it is self-signed. Concerns `wss://` and a proxy at `https://`. Defaults to
    /// the system's.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .ca(std::fs::read("localhost.pem")?)
    ///     .connect("wss://localhost:8443")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.set_ca(pem.into());
        self
    }

    /// The certificate to show to servers that ask for one. Defaults to none.
    ///
    /// ```no_run
    /// let me = plainws::Identity::from_pem_file("me.pem")?;
    /// let ws = plainws::Client::builder()
    ///     .identity(&me)
    ///     .connect("wss://server.example")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.tls.set_identity(identity.clone());
        self
    }

    /// Accepts any certificate of a server, of another host and expired ones, too: whoever
    /// stands in between can read and change everything. Never do it but to look at a server of
    /// your own.
    #[cfg(feature = "tls")]
    pub fn insecure(mut self) -> Self {
        self.tls.set_insecure();
        self
    }

    connection_options!("1 MiB");

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
        let mut trusted = true;
        let mut redirects = 0;
        loop {
            let asked = Asked::new(self, &target, trusted)?;
            let line = match self.proxy.of(&target)? {
                Some(proxy) => proxy.reach(&attempt, &target, &self.tls)?,
                None => dial::dial(&attempt, &target.host, target.port, target.place())?,
            };
            let (line, answer) = self.ask(&attempt, line, &target, &asked)?;
            let location = answer.location().filter(|_| self.max_redirects > 0);
            let Some(location) = location else {
                return self.open(&attempt, line, &target, asked, answer);
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
        let asked = Asked::new(self, &target, true)?;
        let line = Line::over(socket.into());
        let line = line.map_err(|error| attempt.failed("cannot use the given socket", error))?;
        let (line, answer) = self.ask(&attempt, line, &target, &asked)?;
        self.open(&attempt, line, &target, asked, answer)
    }

    /// Connects again and again: an endless iterator of connections, which waits between attempts
    /// that fail. Does nothing until it is asked for the first one.
    ///
    /// ```no_run
    /// for ws in plainws::Client::builder().retry("ws://localhost:8765/counter") {
    ///     let ws = ws?; // what will not pass by trying again
    ///     while let Ok(message) = ws.recv() {
    ///         println!("{message}");
    ///     }
    /// }
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn retry(&self, url: &str) -> Retry {
        Retry::new(self.clone(), url)
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
        attempt: &Attempt,
        mut line: Line,
        target: &Target,
        asked: &Asked,
    ) -> Result<(Line, Answer)> {
        if target.secure {
            attempt.secure(&mut line.wire, &self.tls, &target.host, &target.place())?;
        }
        let place = target.place();
        let first = format!("GET {} HTTP/1.1", target.path);
        attempt.send_head(&line.wire, &first, &asked.fields, &place)?;
        let answer = Answer::read(attempt, &line.wire, &place)?;
        Ok((line, answer))
    }

    /// Opens the connection, if the answer is an upgrade.
    fn open(
        &self,
        attempt: &Attempt,
        line: Line,
        target: &Target,
        asked: Asked,
        answer: Answer,
    ) -> Result<Connection> {
        if answer.status != 101 {
            return Err(answer.refused(attempt, &line.wire, None));
        }
        let subprotocol = answer.check(&asked.key, &self.offer.subprotocols)?;
        let fields: Vec<(&str, &str)> = asked.fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        Ok(Connection::new(Opened {
            id: attempt.id,
            role: Role::Client,
            config: self.config.clone(),
            wire: Arc::new(line.wire),
            caretaker: Caretaker::shared()?,
            peer: line.peer,
            local: line.local,
            request: Request::of_client(&target.path, &fields),
            subprotocol,
            response: answer.headers.into(),
            rest: answer.rest,
        }))
    }
}

/// What is sent to one server: its headers, with a key of its own (RFC 6455, section 4.1).
struct Asked {
    key: String,
    fields: Vec<(String, String)>,
}

impl Asked {
    fn new(client: &ClientBuilder, target: &Target, trusted: bool) -> Result<Asked> {
        let key = generate_key();
        let fields = client.offer.fields(target, &key, trusted)?;
        Ok(Asked { key, fields })
    }
}

/// Without passwords: of headers, whose values may be any secret, only the names.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.offer.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("ClientBuilder")
            .field("config", &self.config)
            .field("headers", &names)
            .field("origin", &self.offer.origin)
            .field("subprotocols", &self.offer.subprotocols)
            .field("basic_auth", &self.login)
            .field("proxy", &self.proxy)
            .field("max_redirects", &self.max_redirects)
            .field("tls", &self.tls)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_shows_no_secret() {
        let builder = Client::builder()
            .header("Authorization", "secret")
            .header("X-Key", "secret")
            .basic_auth("ada", "secret")
            .proxy("http://ada:secret@proxy.example");
        for shown in [
            format!("{builder:?}"),
            format!("{:?}", builder.retry("ws://ada:secret@h")),
        ] {
            assert!(!shown.contains("secret"), "{shown}");
            assert!(shown.contains("...@proxy.example"), "{shown}");
        }
    }
}
