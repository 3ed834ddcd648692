//! The opening handshake of a server: TLS, a request head within one deadline, checks, and an answer,
//! which is a page, a refusal or the upgrade (RFC 6455, section 4.2).
//!
//! Runs in the client's own thread. tungstenite's handshake is not used: it answers a request that
//! it refuses with nothing at all, refuses legal ones, and has no deadline.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, HostPort};
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::http::request::{self, MAX_HEAD, Request};
use crate::http::response::Response;
use crate::network::Network;
use crate::server::metrics::Reason;
use crate::server::origin::{is_same_host, is_same_origin};
use crate::server::proxies;
use crate::tls::Tls;
use crate::wire::Wire;

pub(crate) type Handler = Arc<dyn Fn(&Connection) -> crate::Result<()> + Send + Sync>;
pub(crate) type Route = Box<dyn Fn(&Request) -> Option<Answer> + Send + Sync>;

/// After a refusal, what the client still sends is thrown away up to these bounds, so that it
/// can read the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;
/// Page and refusals together; a client that reads more slowly is cut.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The first byte of a TLS connection (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// How a request is answered; made by a [`route`](crate::server::ServerBuilder::route).
#[derive(Clone)]
pub struct Answer(Kind);

#[derive(Clone)]
enum Kind {
    Respond(Response),
    Upgrade(Handler),
}

impl Answer {
    /// A WebSocket, served by this handler. A request that asks for none gets 426.
    pub fn upgrade<F>(handler: F) -> Answer
    where
        F: Fn(&Connection) -> crate::Result<()> + Send + Sync + 'static,
    {
        Answer(Kind::Upgrade(Arc::new(handler)))
    }

    pub(crate) fn handler(handler: Handler) -> Answer {
        Answer(Kind::Upgrade(handler))
    }
}

/// A page or a refusal.
impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer(Kind::Respond(response))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Respond(response) => write!(f, "Answer({})", response.status()),
            Kind::Upgrade(_) => f.write_str("Answer(upgrade)"),
        }
    }
}

/// Where a client came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The listener's number, in the order given.
    pub(crate) listener: usize,
    pub(crate) peer: &'a Address,
    pub(crate) tls: Option<&'a Tls>,
}

/// Which requests are taken, and by whom.
pub(crate) struct Rules {
    pub(crate) handler: Handler,
    pub(crate) route: Option<Route>,
    /// Origins instead of the default: none, the same host, `null`.
    pub(crate) origins: Option<Vec<String>>,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) subprotocols: Vec<String>,
    /// Peers whose word about a client's address is taken.
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) open_timeout: Duration,
}

/// What came out of a handshake.
pub(crate) enum Outcome {
    /// The client is connected: run the handler.
    Upgraded {
        request: Request,
        rest: Vec<u8>,
        subprotocol: Option<Box<str>>,
        handler: Handler,
    },
    /// A page was sent.
    Page { request: Request },
    /// Nothing came of it; the client has got this status, if it could be told.
    Refused {
        /// Where it comes from, as far as its request could be read.
        client: Option<IpAddr>,
        /// What was asked for, as far.
        path: Option<String>,
        reason: Reason,
        status: Option<u16>,
        why: String,
    },
}

/// Why nothing came of it, before anything was sent.
enum Failure {
    Answer(Reason, Response),
    Silent(Reason, String),
}

/// What is wrong with a request is in its answer.
impl From<Response> for Failure {
    fn from(response: Response) -> Failure {
        Failure::Answer(Reason::of_status(response.status()), response)
    }
}

/// The connection broke, or does not answer.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let reason = match error.kind() {
            io::ErrorKind::TimedOut => Reason::Timeout,
            _ => Reason::Gone,
        };
        Failure::Silent(reason, error.to_string())
    }
}

/// Makes the handshake. `seat` takes one of the places for connections, or says with a 503 why
/// there is none.
pub(crate) fn open(
    wire: &Wire,
    rules: &Rules,
    place: Place<'_>,
    seat: impl FnOnce(&Request) -> Result<(), (Reason, Response)>,
) -> Outcome {
    let deadline = Deadline::after(rules.open_timeout);
    let secured = place.tls.map_or(Ok(()), |tls| secure(wire, tls, deadline));
    let (request, rest) = match secured.and_then(|()| read_request(wire, deadline)) {
        Ok((request, rest)) => {
            let client = proxies::client_ip(&rules.trusted_proxies, place.peer, &request);
            let request = request.at_listener(place.listener).of_client_ip(client);
            (request, rest)
        }
        Err(failure) => return refuse(wire, failure, None),
    };
    let answer = match rules.answer(&request) {
        Ok(answer) => answer,
        Err(failure) => return refuse(wire, failure, Some(&request)),
    };
    let handler = match answer.0 {
        // A page would tell whoever waits for a socket nothing.
        Kind::Respond(response) if response.status() < 400 && request.lost_its_upgrade() => {
            return refuse(wire, upgrade_lost().into(), Some(&request));
        }
        Kind::Respond(response) if response.status() < 400 => {
            respond(wire, &response, request.is_head());
            return Outcome::Page { request };
        }
        Kind::Respond(response) => {
            let reason = Reason::of_application(response.status());
            return refuse(wire, Failure::Answer(reason, response), Some(&request));
        }
        Kind::Upgrade(handler) => handler,
    };
    let upgrade = rules.check_upgrade(&request).and_then(|accept| {
        seat(&request).map_err(|(reason, response)| Failure::Answer(reason, response))?;
        Ok(accept)
    });
    let accept = match upgrade {
        Ok(accept) => accept,
        Err(failure) => return refuse(wire, failure, Some(&request)),
    };
    let mut switching = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    let subprotocol = rules.subprotocol(&request);
    if let Some(name) = &subprotocol {
        switching.push_str(&format!("Sec-WebSocket-Protocol: {name}\r\n"));
    }
    switching.push_str("\r\n");
    match wire.send_all(switching.as_bytes(), deadline) {
        Ok(()) => Outcome::Upgraded {
            request,
            rest,
            subprotocol,
            handler,
        },
        Err(error) => refuse(wire, error.into(), Some(&request)),
    }
}

/// Makes the TLS handshake. Who speaks plain HTTP is told so, in plain HTTP.
fn secure(wire: &Wire, tls: &Tls, deadline: Deadline) -> Result<(), Failure> {
    let silent = |reason, why: &str| Failure::Silent(reason, why.to_owned());
    let mut first = [0];
    loop {
        if !wire.wait_readable(deadline)? {
            return Err(silent(Reason::Timeout, "no TLS handshake in time"));
        }
        match wire.socket().peek(&mut first) {
            Ok(0) => return Err(silent(Reason::Gone, "no TLS handshake")),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    match first[0] {
        TLS_HANDSHAKE => match tls.accept(wire.socket(), deadline) {
            Ok(session) => {
                wire.secure(session);
                Ok(())
            }
            Err(why) => {
                // The alert that tells the client why must not be lost to a reset.
                wire.shutdown_write();
                wire.discard(LINGER_BYTES, deadline.or(Deadline::after(LINGER)));
                Err(Failure::Silent(Reason::Tls, format!("TLS: {why}")))
            }
        },
        b'A'..=b'Z' | b'\r' => {
            match read_request(wire, deadline) {
                // Whatever was asked for, however: that it should be TLS comes first.
                Ok(_) => {}
                Err(Failure::Answer(_, response)) if response.status() != 408 => {}
                Err(failure) => return Err(failure),
            }
            let sentence = "this port speaks TLS: write https:// instead of http://, and wss:// \
                            instead of ws://";
            Err(Failure::Answer(Reason::Tls, Response::text(400, sentence)))
        }
        _ => Err(silent(Reason::Tls, "neither TLS nor HTTP")),
    }
}

/// Reads until the head is complete; gives what came behind it, too.
fn read_request(wire: &Wire, deadline: Deadline) -> Result<(Request, Vec<u8>), Failure> {
    // On the heap and given back: the stack of this thread stays as deep as it once was.
    let mut bytes = Vec::with_capacity(1024);
    let mut begun = false;
    loop {
        if let Some(end) = request::head_end(&bytes) {
            let rest = bytes.split_off(end);
            return Ok((Request::parse(&bytes)?, rest));
        }
        request::check_incomplete(&bytes)?;
        if !wire.wait_readable(deadline).unwrap_or(true) {
            return Err(match bytes.len() {
                0 => Failure::Silent(Reason::Timeout, "no request in time".to_owned()),
                _ => Response::text(408, "the request took too long").into(),
            });
        }
        let start = bytes.len();
        bytes.resize((start + 1024).min(MAX_HEAD), 0);
        let read = wire.recv(&mut bytes[start..]);
        bytes.truncate(start + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) if bytes.is_empty() => {
                return Err(Failure::Silent(Reason::Gone, "no request".to_owned()));
            }
            Ok(0) => {
                let response = Response::text(400, "the request is not complete");
                return Err(Failure::Answer(Reason::Gone, response));
            }
            Ok(_) if bytes[0] == TLS_HANDSHAKE => {
                // An answer in plain text would help nobody.
                let why = "TLS came to a plain port".to_owned();
                return Err(Failure::Silent(Reason::Tls, why));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if !begun && bytes.starts_with(b"\r\n") {
            // RFC 9112, section 2.2: an empty line before the request is skipped.
            bytes.drain(..2);
            begun = true;
        }
        begun |= bytes.len() >= 2;
    }
}

impl Rules {
    fn answer(&self, request: &Request) -> Result<Answer, Failure> {
        self.check_host(request)
            .map_err(|response| Failure::Answer(Reason::Host, response))?;
        let answer = self.route.as_ref().and_then(|route| route(request));
        Ok(answer.unwrap_or_else(|| Answer::handler(Arc::clone(&self.handler))))
    }

    /// A page of a foreign name that resolves to us (DNS rebinding) has the right Origin; only
    /// its Host gives it away.
    fn check_host(&self, request: &Request) -> Result<(), Response> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        let host = request.header("Host").unwrap_or_default();
        let name = HostPort::parse(host).map_or(host, |host| host.name);
        match hosts
            .iter()
            .any(|h| h.eq_ignore_ascii_case(name) || h.eq_ignore_ascii_case(host))
        {
            true => Ok(()),
            false => Err(Response::text(
                403,
                "the Host of the request is not served here",
            )),
        }
    }

    /// The checks of RFC 6455, section 4.2.1; gives the accept key.
    fn check_upgrade(&self, request: &Request) -> Result<String, Failure> {
        if request.is_head() || request.is_http_1_0() || !request.is_upgrade() {
            if request.lost_its_upgrade() {
                return Err(upgrade_lost().into());
            }
            let why = if request.is_http_1_0() && request.header("Upgrade").is_some() {
                "a WebSocket needs HTTP/1.1; a proxy in front must be told to speak it"
            } else {
                "this is a WebSocket; open it with a WebSocket client"
            };
            return Err(upgrade_required(why).into());
        }
        match request.single("Sec-WebSocket-Version") {
            Ok(Some("13")) => {}
            _ => return Err(upgrade_required("Sec-WebSocket-Version must be 13").into()),
        }
        let key = request.single("Sec-WebSocket-Key")?.unwrap_or_default();
        if !is_key(key) {
            let text = "Sec-WebSocket-Key is not 16 bytes in base64";
            return Err(Response::text(400, text).into());
        }
        self.check_origin(request)
            .map_err(|response| Failure::Answer(Reason::Origin, response))?;
        Ok(tungstenite::handshake::derive_accept_key(key.as_bytes()))
    }

    /// The first of ours that the client offers, in the order that we prefer. None is no reason to
    /// refuse it: it can close the connection if it cannot do without (RFC 6455, section 4.2.2).
    fn subprotocol(&self, request: &Request) -> Option<Box<str>> {
        let offered = |name: &str| {
            let offers = request.all("Sec-WebSocket-Protocol");
            offers
                .flat_map(|value| value.split(','))
                .any(|offer| offer.trim() == name)
        };
        let name = self.subprotocols.iter().find(|name| offered(name))?;
        Some(name.as_str().into())
    }

    /// A browser says which page opens the socket; another site's page may not.
    fn check_origin(&self, request: &Request) -> Result<(), Response> {
        let mut origins = request.all("Origin");
        let origin = origins.next();
        let fine = match (&self.origins, origin) {
            _ if origins.next().is_some() => false,
            (None, None | Some("null")) => true,
            (None, Some(origin)) => is_same_host(origin, request.header("Host")),
            (Some(allowed), None) => allowed.iter().any(|o| o == "none"),
            (Some(allowed), Some(origin)) => allowed.iter().any(|o| is_same_origin(o, origin)),
        };
        match fine {
            true => Ok(()),
            false => Err(Response::text(
                403,
                "the Origin of the page is not allowed here",
            )),
        }
    }
}

/// What a proxy makes of an upgrade that it does not know: it takes off what is meant for itself,
/// `Connection` and `Upgrade`, and hands on the rest.
fn upgrade_lost() -> Response {
    upgrade_required(
        "a WebSocket was asked for, but a proxy in front took off Upgrade or Connection (nginx: \
         proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \
         \"upgrade\")",
    )
}

fn upgrade_required(why: &str) -> Response {
    Response::text(426, why)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
}

/// 16 bytes in base64: 22 digits, of which the last has four bits to spare, and `==`.
fn is_key(key: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    match key.strip_suffix("==").map(str::as_bytes) {
        Some(digits) => digits.len() == 22 && digits.iter().all(|&byte| digit(byte)),
        None => false,
    }
}

fn refuse(wire: &Wire, failure: Failure, request: Option<&Request>) -> Outcome {
    let client = request.and_then(Request::client_ip);
    let path = request.map(|request| request.path().to_owned());
    let (reason, response) = match failure {
        Failure::Answer(reason, response) => (reason, response),
        Failure::Silent(reason, why) => {
            return Outcome::Refused {
                client,
                path,
                reason,
                status: None,
                why,
            };
        }
    };
    respond(wire, &response, request.is_some_and(Request::is_head));
    let mut why = String::from_utf8_lossy(response.body()).trim().to_owned();
    // The answer repeats nothing that was sent; the log may, escaped and cut.
    let sent = match reason {
        Reason::Origin => request.and_then(|request| request.header("Origin")),
        Reason::Host => request.and_then(|request| request.header("Host")),
        _ => None,
    };
    if let Some(sent) = sent {
        why.push_str(": ");
        why.push_str(sent);
    }
    Outcome::Refused {
        client,
        path,
        reason,
        status: Some(response.status()),
        why,
    }
}

/// Sends the answer and ends the connection so that the client can read it.
fn respond(wire: &Wire, response: &Response, head_only: bool) {
    let deadline = Deadline::after(ANSWER_TIMEOUT);
    if wire.send_all(&response.encode(head_only), deadline).is_ok() {
        wire.shutdown_write();
        wire.discard(LINGER_BYTES, deadline.or(Deadline::after(LINGER)));
    }
}

/// Answers without reading the request, for when not even a thread is to be had: what has come is
/// taken off so that the answer is not lost to a reset. Never waits.
pub(crate) fn turn_away(wire: &Wire, response: &Response) {
    let now = Deadline::after(Duration::ZERO);
    wire.discard(MAX_HEAD, now);
    let _ = wire.send(&response.encode(false));
    wire.shutdown_write();
    wire.discard(MAX_HEAD, now);
}

/// Too many clients, or too few threads.
pub(crate) fn busy(why: &str) -> Response {
    Response::text(503, why).header("Retry-After", "5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_key_passes() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        let wrong = [
            "",
            "abc",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZ====",
        ];
        for key in wrong {
            assert!(!is_key(key), "{key}");
        }
        assert!(!is_key(&"x".repeat(1000)));
    }
}
