//! `ResponseHead`: what a server says to the opening handshake, or a proxy to CONNECT.
//!
//! Reads a head within the attempt's deadline, skips interim ones, and checks an upgrade (RFC 6455,
//! section 4.1). Whatever comes, the memory it costs and the time it takes have bounds.

use std::fmt::Display;

use httparse::Status;
use tungstenite::handshake::derive_accept_key;

use super::body;
use super::transport::Transport;
use crate::error::{Error, Refused, Result};
use crate::escaped::Escaped;
use crate::http::head::head_end;

const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;
/// A server has no reason to say `100 Continue` or `103 Early Hints` more often.
const MAX_INTERIM: usize = 8;

#[derive(Debug)]
pub(super) struct ResponseHead {
    http_1_0: bool,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// What came behind the head.
    pub(super) rest: Vec<u8>,
}

impl ResponseHead {
    /// Waits for the answer of whoever is at the other end.
    pub(super) fn read(transport: &Transport<'_>) -> Result<ResponseHead> {
        let (from, attempt) = (&transport.name, transport.attempt);
        let mut bytes = Vec::new();
        for _ in 0..=MAX_INTERIM {
            let end = read_head(transport, &mut bytes)?;
            let rest = bytes.split_off(end);
            let head = ResponseHead::parse(&bytes, rest, from)?;
            attempt.log_line('<', first_line(&bytes));
            for (name, value) in &head.headers {
                attempt.log_header('<', name, value);
            }
            if !matches!(head.status, 100 | 102..=199) {
                return Ok(head);
            }
            bytes = head.rest;
        }
        Err(Error::handshake(format!(
            "{from} gave more than {MAX_INTERIM} interim answers and no final one"
        )))
    }

    fn parse(head: &[u8], rest: Vec<u8>, from: impl Display) -> Result<ResponseHead> {
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
        let headers = parsed.headers.iter().map(|header| {
            let value = String::from_utf8_lossy(header.value);
            (header.name.to_owned(), value.trim().to_owned())
        });
        Ok(ResponseHead {
            http_1_0: parsed.version == Some(0),
            status: parsed.code.unwrap_or(0),
            headers: headers.collect(),
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
    pub(super) fn location(&self) -> Option<&str> {
        let redirects = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        self.all("Location").next().filter(|_| redirects)
    }

    /// What a client must check in an answer of 101. The subprotocol agreed on.
    pub(super) fn check(&self, key: &str, offered: &[String]) -> Result<Option<Box<str>>> {
        let accept = derive_accept_key(key.as_bytes());
        let accepts: Vec<&str> = self.all("Sec-WebSocket-Accept").collect();
        let chosen: Vec<&str> = self.all("Sec-WebSocket-Protocol").collect();
        let foreign = |what: &str, name| {
            format!(
                "chooses the {what} '{}', which was not offered",
                Escaped(name)
            )
        };
        let why = if self.http_1_0 {
            // A proxy that does not know what it passes on (RFC 9110, section 7.8).
            "upgrades in HTTP/1.0, which cannot".to_owned()
        } else if !self.has_token("Upgrade", "websocket")
            || !self.has_token("Connection", "upgrade")
        {
            "does not upgrade to a WebSocket".to_owned()
        } else if accepts.first() != Some(&&*accept) {
            "has the wrong Sec-WebSocket-Accept".to_owned()
        } else if accepts.len() > 1 {
            "has more than one Sec-WebSocket-Accept".to_owned()
        } else if let Some(extension) = self.all("Sec-WebSocket-Extensions").next() {
            foreign("extension", extension)
        } else {
            match *chosen {
                [] => return Ok(None),
                [one] if offered.iter().any(|name| name == one) => return Ok(Some(one.into())),
                [one] if !one.contains(',') => foreign("subprotocol", one),
                _ => "chooses more than one subprotocol".to_owned(),
            }
        };
        Err(Error::handshake(format!("the server's answer {why}")))
    }

    /// An answer that is no upgrade, with what it says.
    pub(super) fn refused(self, transport: &Transport<'_>, proxy: Option<String>) -> Error {
        Error::Refused(Box::new(Refused {
            proxy,
            status: self.status,
            body: body::read(&self.headers, self.rest, transport),
            headers: self.headers,
        }))
    }
}

/// Reads until a whole head is there; where it ends.
fn read_head(transport: &Transport<'_>, bytes: &mut Vec<u8>) -> Result<usize> {
    const BEGINNING: &[u8] = b"HTTP/";
    let from = &transport.name;
    let mut buffer = [0; 4096];
    loop {
        // Who speaks something else may never send an empty line.
        let beginning = BEGINNING.len().min(bytes.len());
        if bytes[..beginning] != BEGINNING[..beginning] {
            return Err(no_http(from, what_else(bytes)));
        }
        if let Some(end) = head_end(bytes).filter(|end| *end <= MAX_HEAD) {
            return Ok(end);
        }
        if bytes.len() > MAX_HEAD {
            return Err(Error::handshake(format!(
                "the head of the answer of {from} is longer than the limit of {MAX_HEAD} bytes"
            )));
        }
        let read = transport.receive(&mut buffer)?;
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
    format!("it begins with '{}'", Escaped(&first_line(bytes)))
}

fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| b"\r\n".contains(byte)).next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn parse(head: &str) -> Result<ResponseHead> {
        ResponseHead::parse(head.as_bytes(), Vec::new(), "h:80")
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
    fn what_is_not_http_is_named() {
        assert_eq!(what_else(b"SSH-2.0-x\r\nabc"), "it begins with 'SSH-2.0-x'");
        assert!(what_else(&[0x15, 3, 1, 0, 2]).contains("wss://"));
    }
}
