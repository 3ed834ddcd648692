//! `connect`, and `Client` with its builder: a URL becomes a TCP connection, a request and a
//! checked answer (RFC 6455, section 4.1), and the same `Connection` as on a server.
//!
//! All in the caller's thread, within one deadline.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::http::Uri;
use tungstenite::protocol::Role;

use crate::caretaker::Caretaker;
use crate::config::{Config, DEFAULT_CLIENT_MAX_SIZE, connection_options};
use crate::connection::{self, Connection, Opened};
use crate::deadline::Deadline;
use crate::error::{Error, Refused, Result};
use crate::escaped::Escaped;
use crate::listener::Address;
use crate::request::{self, Request};
use crate::wire::Wire;

/// Limits of what a server may answer to the handshake.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;
const MAX_BODY: usize = 4096;
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// No server takes a request as large as this.
const MAX_REQUEST: usize = 32 * 1024;

/// Connects to a WebSocket server, `ws://localhost:8765/path?query`, with the defaults of
/// [`Client`]. Waits for the opening handshake, 10 s at most.
///
/// # Errors
///
/// [`Error::Invalid`] for what is no such URL, [`Error::Io`] if nobody can be reached there,
/// [`Error::TimedOut`], [`Error::Refused`] if the server answers with something else than an
/// upgrade, [`Error::Handshake`] if its answer is not one of RFC 6455.
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
            headers: Vec::new(),
            trust: Default::default(),
        }
    }
}

/// Describes a client's connection before it is made; it may be used again.
#[derive(Clone, Debug)]
#[must_use = "a description does nothing until it connects"]
pub struct ClientBuilder {
    config: Config,
    headers: Vec<(String, String)>,
    trust: crate::tls::Trust,
}

impl ClientBuilder {
    /// The certificates to trust, in PEM, instead of the system's: those of issuers, or the
    /// server's own if it is self-signed. Concerns `wss://`. Defaults to the system's.
    #[cfg(feature = "tls")]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust.set_ca(pem.into());
        self
    }

    /// The certificate to show to servers that ask for one. Defaults to none.
    #[cfg(feature = "tls")]
    pub fn identity(mut self, identity: &crate::tls::Identity) -> Self {
        self.trust.set_identity(identity.clone());
        self
    }

    /// Accepts any certificate of a server, also of another host and expired ones: whoever
    /// stands in between can read and change everything.
    #[cfg(feature = "tls")]
    pub fn insecure(mut self) -> Self {
        self.trust.set_insecure();
        self
    }

    /// Adds a header to the request: `Origin` for example. Those of the handshake itself cannot
    /// be replaced.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    connection_options!("1 MiB");

    /// Connects. Waits for the opening handshake.
    ///
    /// # Errors
    ///
    /// As [`connect`].
    pub fn connect(&self, url: &str) -> Result<Connection> {
        let target = Target::parse(url)?;
        let key = generate_key();
        let fields = self.fields(&target, &key)?;
        let deadline = Deadline::after(self.config.open_timeout);
        let (stream, peer) = self.reach(&target, deadline)?;
        let local = stream.local_addr();
        let mut wire = Wire::new(stream);
        if url.starts_with("wss") {
            self.trust.secure(&mut wire, &target.host, deadline)?;
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        let mut head = format!("GET {} HTTP/1.1\r\n", target.path);
        for (name, value) in &fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        wire.send_all(head.as_bytes(), deadline)
            .map_err(|error| self.timed_out(&target, error, "cannot send the request to"))?;
        let (answer, rest) = self.read_answer(&wire, &target, deadline)?;
        check_answer(&answer, &key)?;
        Ok(Connection::new(Opened {
            id: connection::next_id(),
            role: Role::Client,
            config: self.config.clone(),
            wire: Arc::new(wire),
            caretaker: Caretaker::shared()?,
            peer,
            local: local.map_or(Address::Unix(None), Address::Tcp),
            request: Request::of_client(&target.path, &fields),
            rest,
        }))
    }

    fn fields(&self, target: &Target, key: &str) -> Result<Vec<(String, String)>> {
        let mut fields = vec![
            ("Host".to_owned(), target.authority.clone()),
            ("Upgrade".to_owned(), "websocket".to_owned()),
            ("Connection".to_owned(), "Upgrade".to_owned()),
            ("Sec-WebSocket-Key".to_owned(), key.to_owned()),
            ("Sec-WebSocket-Version".to_owned(), "13".to_owned()),
        ];
        for (name, value) in &self.headers {
            let token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let fine =
                !name.is_empty() && name.bytes().all(token) && !value.contains(['\r', '\n', '\0']);
            if !fine {
                return Err(Error::Invalid(format!("'{}' is no header", Escaped(name))));
            }
            if fields
                .iter()
                .take(5)
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
            {
                return Err(Error::Invalid(format!(
                    "the header {name} is set by the handshake itself"
                )));
            }
            fields.push((name.clone(), value.clone()));
        }
        let size: usize = fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        if size + target.path.len() > MAX_REQUEST {
            return Err(Error::Invalid(format!(
                "a request of {size} bytes is larger than the limit of {MAX_REQUEST} bytes"
            )));
        }
        Ok(fields)
    }

    /// Tries the addresses of the name one after the other, all within the deadline.
    fn reach(&self, target: &Target, deadline: Deadline) -> Result<(TcpStream, Address)> {
        let addresses = (target.host.as_str(), target.port)
            .to_socket_addrs()
            .map_err(|error| target.failed("cannot resolve", error))?;
        let mut last = io::Error::other("the name has no address");
        for address in addresses {
            let left = deadline.remaining().unwrap_or(self.config.open_timeout);
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok((stream, Address::Tcp(address))),
                Err(error) => last = error,
            }
        }
        Err(self.timed_out(target, last, "cannot connect to"))
    }

    fn timed_out(&self, target: &Target, error: io::Error, what: &str) -> Error {
        if error.kind() == io::ErrorKind::TimedOut {
            let limit = self.config.open_timeout;
            return Error::TimedOut(format!("{what} {} within {limit:?}", target.authority));
        }
        target.failed(what, error)
    }

    fn read_answer(
        &self,
        wire: &Wire,
        target: &Target,
        deadline: Deadline,
    ) -> Result<(Answer, Vec<u8>)> {
        let mut bytes = Vec::with_capacity(1024);
        let end = loop {
            if let Some(end) = request::head_end(&bytes) {
                break end;
            }
            if bytes.len() > MAX_HEAD {
                return Err(Error::Handshake(format!(
                    "the head of the server's answer is longer than the limit of {MAX_HEAD} bytes"
                )));
            }
            let read = receive(wire, &mut bytes, deadline);
            if read.map_err(|error| self.timed_out(target, error, "no answer from"))? == 0 {
                return Err(Error::Handshake(format!(
                    "{} closed without an answer",
                    target.authority
                )));
            }
        };
        let mut rest = bytes.split_off(end);
        let mut answer = Answer::parse(&bytes)?;
        if answer.status != 101 {
            // What a refusal says is worth waiting for a little, but it is not needed.
            let deadline = deadline.or(Deadline::after(BODY_TIMEOUT));
            let length = answer.body_length();
            while rest.len() < length
                && matches!(receive(wire, &mut rest, deadline), Ok(n) if n > 0)
            {}
            rest.truncate(length);
            answer.body = String::from_utf8_lossy(&rest).into_owned();
        }
        Ok((answer, rest))
    }
}

/// Waits for bytes and appends them; 0 at the end of the stream.
fn receive(wire: &Wire, bytes: &mut Vec<u8>, deadline: Deadline) -> io::Result<usize> {
    loop {
        if !wire.wait_readable(deadline)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let start = bytes.len();
        bytes.resize(start + 1024, 0);
        let read = wire.recv(&mut bytes[start..]);
        bytes.truncate(start + *read.as_ref().unwrap_or(&0));
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Where a URL leads.
struct Target {
    host: String,
    port: u16,
    /// As `Host` wants it: without the default port.
    authority: String,
    /// Path and query.
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Target> {
        let invalid = |why: &str| {
            Error::Invalid(format!(
                "'{}' is no WebSocket URL: {why}; write ws://HOST[:PORT][/PATH]",
                Escaped(url)
            ))
        };
        let uri: Uri = url.parse().map_err(|_| invalid("it cannot be read"))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => {}
            _ => return Err(invalid("its scheme is not ws")),
        }
        if url.contains('#') {
            return Err(invalid("it has a fragment"));
        }
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("user names in URLs are not in this version yet"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(invalid("it has no host"));
        }
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| invalid("its port is no port"))?,
            None => 80,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Target {
            // The resolver wants an IPv6 address without its brackets.
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port,
            authority: if port == 80 {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            },
            path: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
        })
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        Error::io(format!("{what} {}", self.authority), error)
    }
}

/// A server's answer to the handshake.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn parse(head: &[u8]) -> Result<Answer> {
        let wrong =
            |why: String| Error::Handshake(format!("the server's answer is not HTTP/1.1: {why}"));
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(wrong("incomplete".to_owned())),
            Err(error) => return Err(wrong(error.to_string())),
        }
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
        let headers = parsed
            .headers
            .iter()
            .map(|h| (h.name.to_owned(), text(h.value)))
            .collect();
        Ok(Answer {
            status: parsed.code.unwrap_or(0),
            headers,
            body: String::new(),
        })
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// How much of the body is worth reading: nothing that is not plain text as it stands.
    fn body_length(&self) -> usize {
        if self.all("Transfer-Encoding").next().is_some() {
            return 0;
        }
        let length = self.all("Content-Length").next();
        let length = length.and_then(|length| length.parse().ok());
        length.unwrap_or(MAX_BODY).min(MAX_BODY)
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|v| v.split(','))
            .any(|t| t.trim().eq_ignore_ascii_case(token))
    }
}

/// RFC 6455, section 4.1: what a client must check in the answer.
fn check_answer(answer: &Answer, key: &str) -> Result<()> {
    if answer.status != 101 {
        let body = answer.body.clone();
        return Err(Error::Refused(Box::new(Refused {
            status: answer.status,
            body,
        })));
    }
    let wrong = |why: &str| Err(Error::Handshake(format!("the server's answer {why}")));
    if !answer.has_token("Upgrade", "websocket") || !answer.has_token("Connection", "upgrade") {
        return wrong("does not upgrade to a WebSocket");
    }
    let mut accepts = answer.all("Sec-WebSocket-Accept");
    if accepts.next() != Some(derive_accept_key(key.as_bytes()).as_str())
        || accepts.next().is_some()
    {
        return wrong("has the wrong Sec-WebSocket-Accept");
    }
    if answer.all("Sec-WebSocket-Extensions").next().is_some() {
        return wrong("chooses an extension that was not offered");
    }
    if answer.all("Sec-WebSocket-Protocol").next().is_some() {
        return wrong("chooses a subprotocol that was not offered");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_hosts() {
        let target = Target::parse("ws://localhost:8765").expect("a URL");
        assert_eq!(
            (&*target.host, target.port, &*target.path),
            ("localhost", 8765, "/")
        );
        assert_eq!(target.authority, "localhost:8765");
        let target = Target::parse("ws://[::1]/a/b?c=d").expect("a URL");
        assert_eq!(
            (&*target.host, target.port, &*target.path),
            ("::1", 80, "/a/b?c=d")
        );
        assert_eq!(target.authority, "[::1]");
        let target = Target::parse("ws://h?x").expect("a URL");
        assert_eq!(target.path, "/?x");
    }

    #[test]
    fn what_is_no_url_says_what_is_one() {
        for wrong in [
            "",
            "localhost:8765",
            "http://h/",
            "ws://",
            "ws:///x",
            "ws://h:99999/",
            "ws://h/#x",
        ] {
            match Target::parse(wrong) {
                Err(error) => assert!(error.to_string().contains("ws://HOST"), "{wrong}: {error}"),
                Ok(_) => panic!("{wrong} was taken"),
            }
        }
    }
}
