//! `Request`: what a client asks for, its target and headers.
//!
//! Made of a head that `head.rs` has read, or by a client. Reads and judges nothing itself.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use crate::escaped::Escaped;
use crate::http::response::Response;

/// A request that opens a connection: method, target and headers.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Target, then names and values, then the method, in one allocation: an idle client keeps it.
    text: Box<str>,
    target: u16,
    method: u16,
    fields: Box<[Field]>,
    http_1_0: bool,
    listener: u16,
    client: Option<IpAddr>,
}

/// Where name and value stand in the text.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Field {
    name: u16,
    value: u16,
    end: u16,
}

impl Request {
    pub(crate) fn new<'a>(
        method: &str,
        target: &str,
        fields: impl IntoIterator<Item = (&'a str, Cow<'a, str>)>,
    ) -> Request {
        let mut text = target.to_owned();
        let fields = fields.into_iter().map(|(name, value)| {
            let start = offset(&text);
            text.push_str(name);
            let middle = offset(&text);
            text.push_str(&value);
            Field {
                name: start,
                value: middle,
                end: offset(&text),
            }
        });
        let fields = fields.collect();
        let end = offset(&text);
        text.push_str(method);
        Request {
            fields,
            target: offset(target),
            method: end,
            text: text.into_boxed_str(),
            http_1_0: false,
            listener: 0,
            client: None,
        }
    }

    /// The method, as it was sent: `GET`, or another if a [route](crate::ServerBuilder::route) is asked.
    pub fn method(&self) -> &str {
        &self.text[self.method.into()..]
    }

    /// The request target as it was sent: path and query.
    pub fn target(&self) -> &str {
        &self.text[..self.target.into()]
    }

    /// The path, without the query, as it was sent (not percent-decoded).
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// What stands behind the `?`, if anything does.
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The value of the first header of this name; case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers, in the order in which they were sent.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| {
            let at = |from: u16, to: u16| &self.text[from.into()..to.into()];
            (at(field.name, field.value), at(field.value, field.end))
        })
    }

    /// Whether the client asks for a WebSocket: `Connection: upgrade` and `Upgrade: websocket`,
    /// which may stand among others and on several lines (RFC 9110, section 7.8).
    pub fn is_upgrade(&self) -> bool {
        self.has_token("Connection", "upgrade") && self.has_token("Upgrade", "websocket")
    }

    /// Whether it asked for a WebSocket before somebody in between took that off: only a WebSocket
    /// has a key.
    pub(crate) fn lost_its_upgrade(&self) -> bool {
        self.header("Sec-WebSocket-Key").is_some() && !self.is_upgrade()
    }

    /// Which of the server's listeners it came to, counted from 0 in the order of
    /// [`ServerBuilder::listen`](crate::server::ServerBuilder::listen).
    pub fn listener(&self) -> usize {
        self.listener.into()
    }

    /// The IP address that it comes from, for logs and limits: the peer's, or, if the peer is one of
    /// the [`trusted_proxies`](crate::ServerBuilder::trusted_proxies), what that says. `None` for a peer
    /// of a Unix socket that says nothing, and at a client.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client
    }

    pub(crate) fn with_version(mut self, http_1_0: bool) -> Request {
        self.http_1_0 = http_1_0;
        self
    }

    /// Where it came to, and from.
    pub(crate) fn arrived(mut self, listener: usize, client: Option<IpAddr>) -> Request {
        (self.listener, self.client) = (listener as u16, client);
        self
    }

    /// Whether only the head of the answer is wanted.
    pub(crate) fn is_head(&self) -> bool {
        self.method() == "HEAD"
    }

    /// Whether it only reads, so that it has no body, and any page may make a browser send it.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self.method(), "GET" | "HEAD")
    }

    pub(crate) fn is_http_1_0(&self) -> bool {
        self.http_1_0
    }

    /// All values of one header.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.headers()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The value of a header that may stand once only.
    pub(crate) fn single(&self, name: &'static str) -> Result<Option<&str>, Response> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Response::text(400, format!("more than one {name} header")));
        }
        Ok(first)
    }

    /// The elements of a list, which may stand on several lines.
    pub(crate) fn elements(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let elements = self.all(name).flat_map(|value| value.split(','));
        elements.map(|element| element.trim_matches([' ', '\t']))
    }

    fn has_token(&self, name: &'static str, token: &str) -> bool {
        self.elements(name).any(|t| t.eq_ignore_ascii_case(token))
    }
}

/// The target, for logs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", Escaped(self.target()))
    }
}

/// A head is 16 KiB at most, and lossy text at most three times that: it fits 16 bits.
fn offset(text: &str) -> u16 {
    u16::try_from(text.len()).unwrap_or(u16::MAX)
}
