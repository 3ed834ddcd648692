//! `Answer`: what a server says to the opening handshake, or a proxy to CONNECT.
//!
//! Reads a head within the attempt's deadline, skips interim answers, checks an upgrade (RFC 6455,
//! section 4.1), and takes the beginning of a refusal's body. Whatever comes, the memory it costs
//! and the time it takes have bounds.

use std::fmt::Display;
use std::time::Duration;

use httparse::Status;
use tungstenite::handshake::derive_accept_key;

use super::attempt::{self, Attempt};
use crate::deadline::Deadline;
use crate::error::{Error, Refused, Result};
use crate::escaped::Escaped;
use crate::http::request;
use crate::wire::Wire;

const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;
/// A server has no reason to say `100 Continue` or `103 Early Hints` more often.
const MAX_INTERIM: usize = 8;
/// What a refusal says is worth waiting for a little, but it is not needed.
const MAX_BODY: usize = 4096;
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// With the sizes of chunks between its parts.
const MAX_CHUNKED: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Answer {
    http_1_0: bool,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// What came behind the head.
    pub(crate) rest: Vec<u8>,
}

impl Answer {
    /// Waits for the answer `from` somebody.
    pub(crate) fn read(attempt: &Attempt, wire: &Wire, from: impl Display) -> Result<Answer> {
        let mut bytes = Vec::new();
        for _ in 0..=MAX_INTERIM {
            let end = read_head(attempt, wire, &mut bytes, &from)?;
            let rest = bytes.split_off(end);
            let answer = Answer::parse(&bytes, rest, attempt, &from)?;
            if !matches!(answer.status, 100 | 102..=199) {
                return Ok(answer);
            }
            bytes = answer.rest;
        }
        Err(Error::handshake(format!(
            "{from} gave more than {MAX_INTERIM} interim answers and no final one"
        )))
    }

    fn parse(head: &[u8], rest: Vec<u8>, attempt: &Attempt, from: impl Display) -> Result<Answer> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(head) {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) => return Err(no_http(from, "it is incomplete")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Error::handshake(format!(
                    "the answer of {from} has more headers than the limit of {MAX_HEADERS}"
                )));
            }
            Err(error) => return Err(no_http(from, error)),
        }
        let (status, http_1_0) = (parsed.code.unwrap_or(0), parsed.version == Some(0));
        let reason = parsed.reason.unwrap_or_default();
        let minor = u8::from(!http_1_0);
        let line = format!("HTTP/1.{minor} {status} {reason}");
        attempt.log_line('<', line.trim_end());
        let mut headers = Vec::with_capacity(parsed.headers.len());
        for header in parsed.headers.iter() {
            let value = String::from_utf8_lossy(header.value).trim().to_owned();
            attempt.log_header('<', header.name, &value);
            headers.push((header.name.to_owned(), value));
        }
        Ok(Answer {
            http_1_0,
            status,
            headers,
            rest,
        })
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|t| t.trim().eq_ignore_ascii_case(token))
    }

    /// Where a redirect leads to.
    pub(crate) fn location(&self) -> Option<&str> {
        let redirects = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        self.all("Location").next().filter(|_| redirects)
    }

    /// What a client must check in an answer of 101. The subprotocol agreed on.
    pub(crate) fn check(&self, key: &str, offered: &[String]) -> Result<Option<Box<str>>> {
        let wrong = |why: String| Err(Error::handshake(format!("the server's answer {why}")));
        if self.http_1_0 {
            // A proxy that does not know what it passes on (RFC 9110, section 7.8).
            return wrong("upgrades in HTTP/1.0, which cannot".to_owned());
        }
        if !self.has_token("Upgrade", "websocket") || !self.has_token("Connection", "upgrade") {
            return wrong("does not upgrade to a WebSocket".to_owned());
        }
        let mut accepts = self.all("Sec-WebSocket-Accept");
        if accepts.next() != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return wrong("has the wrong Sec-WebSocket-Accept".to_owned());
        }
        if accepts.next().is_some() {
            return wrong("has more than one Sec-WebSocket-Accept".to_owned());
        }
        if let Some(extension) = self.all("Sec-WebSocket-Extensions").next() {
            let extension = Escaped(extension);
            return wrong(format!(
                "chooses the extension '{extension}', which was not offered"
            ));
        }
        let mut chosen = self.all("Sec-WebSocket-Protocol");
        let Some(first) = chosen.next() else {
            return Ok(None);
        };
        if first.contains(',') || chosen.next().is_some() {
            return wrong("chooses more than one subprotocol".to_owned());
        }
        if !offered.iter().any(|name| name == first) {
            let first = Escaped(first);
            return wrong(format!(
                "chooses the subprotocol '{first}', which was not offered"
            ));
        }
        Ok(Some(first.into()))
    }

    /// An answer that is no upgrade, with what it says.
    pub(crate) fn refused(self, attempt: &Attempt, wire: &Wire, proxy: Option<String>) -> Error {
        let body = self.body(wire, attempt.deadline.or(Deadline::after(BODY_TIMEOUT)));
        Error::Refused(Box::new(Refused {
            proxy,
            status: self.status,
            headers: self.headers,
            body,
        }))
    }

    /// The body as far as it is worth reading: nothing that is not plain text as it stands.
    fn body(&self, wire: &Wire, deadline: Deadline) -> String {
        let coding = self.all("Content-Encoding").next();
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return String::new();
        }
        let chunked = match self.all("Transfer-Encoding").next() {
            None => false,
            Some(coding) if coding.eq_ignore_ascii_case("chunked") => true,
            Some(_) => return String::new(),
        };
        let length = self.all("Content-Length").next();
        let length = length.and_then(|length| length.parse().ok());
        let length = length.unwrap_or(MAX_BODY).min(MAX_BODY);
        let mut bytes = self.rest.clone();
        loop {
            let (mut text, complete) = match chunked {
                true => unchunk(&bytes),
                false => (
                    bytes.get(..length).unwrap_or(&bytes).to_vec(),
                    bytes.len() >= length,
                ),
            };
            let mut buffer = [0; 1024];
            let more = match complete {
                true => 0,
                // What came before the end of time or of the stream counts.
                false => attempt::receive(wire, &mut buffer, deadline).unwrap_or(0),
            };
            if more == 0 {
                text.truncate(MAX_BODY);
                return readable(text);
            }
            bytes.extend_from_slice(&buffer[..more]);
        }
    }
}

/// Reads until a whole head is there; where it ends.
fn read_head(
    attempt: &Attempt,
    wire: &Wire,
    bytes: &mut Vec<u8>,
    from: impl Display,
) -> Result<usize> {
    const BEGINNING: &[u8] = b"HTTP/";
    let mut buffer = [0; 4096];
    loop {
        // Who speaks something else may never send an empty line.
        let beginning = BEGINNING.len().min(bytes.len());
        if bytes[..beginning] != BEGINNING[..beginning] {
            return Err(no_http(from, what_else(bytes)));
        }
        if let Some(end) = request::head_end(bytes).filter(|end| *end <= MAX_HEAD) {
            return Ok(end);
        }
        if bytes.len() > MAX_HEAD {
            return Err(Error::handshake(format!(
                "the head of the answer of {from} is longer than the limit of {MAX_HEAD} bytes"
            )));
        }
        let read = attempt.receive(wire, &mut buffer, &from)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn no_http(from: impl Display, why: impl Display) -> Error {
    Error::handshake(format!("the answer of {from} is not HTTP/1.1: {why}"))
}

fn what_else(bytes: &[u8]) -> String {
    // An alert or a handshake record of any version.
    if matches!(bytes, [0x15 | 0x16, 0x03, ..]) {
        return "it is TLS; write wss:// or https://".to_owned();
    }
    let line = bytes.split(|byte| b"\r\n".contains(byte)).next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    format!("it begins with '{}'", Escaped(&line))
}

/// The body in as many chunks as have come (RFC 9112, section 7.1), and whether nothing more is
/// needed: it is complete, long enough, or broken.
fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let full = bytes.len() >= MAX_CHUNKED;
    loop {
        let (start, size) = match httparse::parse_chunk_size(bytes) {
            Ok(Status::Complete((start, size))) => (start, usize::try_from(size)),
            Ok(Status::Partial) => return (body, full),
            Err(_) => return (body, true),
        };
        let Ok(size @ 1..) = size else {
            return (body, true);
        };
        let chunk = &bytes[start..];
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        if body.len() >= MAX_BODY {
            return (body, true);
        }
        match chunk.get(size..) {
            Some([b'\r', b'\n', next @ ..]) => bytes = next,
            Some([] | [b'\r']) | None => return (body, full),
            Some(_) => return (body, true),
        }
    }
}

/// As text, without the half of a character where it was cut.
fn readable(mut bytes: Vec<u8>) -> String {
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn parse(head: &str) -> Result<Answer> {
        let attempt = Attempt::new(Duration::from_secs(1));
        Answer::parse(head.as_bytes(), Vec::new(), &attempt, "h:80")
    }

    fn check(line: &str, more: &str) -> std::result::Result<Option<Box<str>>, String> {
        let answer = parse(&format!(
            "{line}\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n{more}\r\n"
        ));
        let offered = ["chat.v2".to_owned(), "chat".to_owned()];
        let checked = answer.and_then(|answer| answer.check(KEY, &offered));
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn an_upgrade_is_checked_as_the_rfc_says() {
        const OK: &str = "HTTP/1.1 101 Any";
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let with = |more: &str| check(OK, &format!("{accept}{more}"));
        assert_eq!(with(""), Ok(None));
        assert_eq!(
            with("sec-websocket-protocol: chat\r\n"),
            Ok(Some("chat".into()))
        );
        let cases = [
            (check(OK, ""), "wrong Sec-WebSocket-Accept"),
            (check("HTTP/1.0 101 Any", accept), "HTTP/1.0"),
            (
                check(OK, "Sec-WebSocket-Accept: x\r\n"),
                "wrong Sec-WebSocket-Accept",
            ),
            (with(accept), "more than one Sec-WebSocket-Accept"),
            (
                with("Sec-WebSocket-Protocol: Chat\r\n"),
                "'Chat', which was not offered",
            ),
            (
                with("Sec-WebSocket-Protocol: chat, chat.v2\r\n"),
                "more than one subprotocol",
            ),
            (
                with("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n"),
                "more than one subprotocol",
            ),
            (
                with("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
                "'permessage-deflate', which was not offered",
            ),
        ];
        for (checked, why) in cases {
            let error = checked.expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_location_counts_only_with_a_redirect() {
        let location = |status: u16| {
            let head = format!("HTTP/1.1 {status} x\r\nLocation: /x\r\n\r\n");
            let answer = parse(&head).expect("an answer");
            answer.location().is_some()
        };
        let redirects: Vec<u16> = (200..500).filter(|status| location(*status)).collect();
        assert_eq!(redirects, [301, 302, 303, 307, 308]);
        assert!(
            parse("HTTP/1.1 302 x\r\n\r\n")
                .expect("an answer")
                .location()
                .is_none()
        );
    }

    #[test]
    fn chunks_become_a_body() {
        let body = |bytes: &str| {
            let (body, complete) = unchunk(bytes.as_bytes());
            (String::from_utf8(body).expect("text"), complete)
        };
        let text = |text: &str, complete| (text.to_owned(), complete);
        assert_eq!(
            body("5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"),
            text("hello world", true)
        );
        assert_eq!(body("0\r\n"), text("", true));
        assert_eq!(body("ffffffffffffffffff\r\nx"), text("", true));
        assert_eq!(body("5\r\nhelloX"), text("hello", true));
        // What has come so far.
        for part in [
            "5\r\nhello",
            "5\r\nhello\r",
            "5\r\nhello\r\n",
            "5\r\nhello\r\n6",
        ] {
            assert_eq!(body(part), text("hello", false));
        }
        assert_eq!(body("5\r\nhe"), text("he", false));
        assert_eq!(body(""), text("", false));
        // An extension without an end.
        assert!(body(&format!("5;{}", "x".repeat(MAX_CHUNKED))).1);
    }

    #[test]
    fn a_body_is_cut_between_characters() {
        assert_eq!(readable("aé".as_bytes()[..2].to_vec()), "a");
        assert_eq!(readable(b"a\xffb".to_vec()), "a\u{fffd}b");
    }

    #[test]
    fn what_is_not_http_is_named() {
        assert_eq!(what_else(b"SSH-2.0-x\r\nabc"), "it begins with 'SSH-2.0-x'");
        assert!(what_else(&[0x15, 3, 1, 0, 2]).contains("wss://"));
    }
}
