//! Reads a request from a wire within a deadline, and makes the TLS handshake before it where one is
//! due. In an opener's thread.

use std::io;

use crate::deadline::Deadline;
use crate::http::head::{self, MAX_HEAD};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::server::metrics::Reason;
use crate::server::refusal::Refusal;
use crate::server::respond;
use crate::tls::Tls;
use crate::wire::Wire;

/// The first byte of a TLS connection (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Reads until the head is complete; gives what came behind it, too.
pub(crate) fn request(wire: &Wire, deadline: Deadline) -> Result<(Request, Vec<u8>), Refusal> {
    let mut bytes = Vec::with_capacity(1024);
    let mut begun = false;
    loop {
        if let Some(end) = head::head_end(&bytes) {
            let rest = bytes.split_off(end);
            return Ok((head::parse(&bytes)?, rest));
        }
        head::check_incomplete(&bytes)?;
        if !wire.wait_readable(deadline).unwrap_or(true) {
            return Err(match bytes.len() {
                0 => Refusal::silent(Reason::Timeout, "no request in time"),
                _ => Response::text(408, "the request took too long").into(),
            });
        }
        let start = bytes.len();
        bytes.resize((start + 1024).min(MAX_HEAD), 0);
        let read = wire.recv(&mut bytes[start..]);
        bytes.truncate(start + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) if bytes.is_empty() => return Err(Refusal::silent(Reason::Gone, "no request")),
            Ok(0) => {
                let response = Response::text(400, "the request is not complete");
                return Err(Refusal::answered(Reason::Gone, response));
            }
            // An answer in plain text would help nobody.
            Ok(_) if bytes[0] == TLS_HANDSHAKE => {
                return Err(Refusal::silent(Reason::Tls, "TLS came to a plain port"));
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

/// Makes the TLS handshake. Who speaks plain HTTP is told so, in plain HTTP.
pub(crate) fn secure(wire: &Wire, tls: &Tls, deadline: Deadline) -> Result<(), Refusal> {
    match first_byte(wire, deadline)? {
        TLS_HANDSHAKE => match tls.accept(wire.socket(), deadline) {
            Ok(session) => {
                wire.secure(session);
                Ok(())
            }
            Err(why) => {
                // The alert that tells the client why must not be lost to a reset.
                respond::linger(wire, deadline);
                Err(Refusal::silent(Reason::Tls, format!("TLS: {why}")))
            }
        },
        b'A'..=b'Z' | b'\r' => {
            match request(wire, deadline) {
                // It cannot be answered, or only with that it took too long.
                Err(refusal) if refusal.response.is_none() => return Err(refusal),
                Err(refusal) if refusal.reason == Reason::Timeout => return Err(refusal),
                // Whatever was asked for, however: that it should be TLS comes first.
                _ => {}
            }
            let sentence = "this port speaks TLS: write https:// instead of http://, and wss:// \
                            instead of ws://";
            let response = Response::text(400, sentence);
            Err(Refusal::answered(Reason::Tls, response))
        }
        _ => Err(Refusal::silent(Reason::Tls, "neither TLS nor HTTP")),
    }
}

/// What the client's first byte is; it stays where it is.
fn first_byte(wire: &Wire, deadline: Deadline) -> Result<u8, Refusal> {
    let mut first = [0];
    loop {
        if !wire.wait_readable(deadline)? {
            let why = "no TLS handshake in time";
            return Err(Refusal::silent(Reason::Timeout, why));
        }
        match wire.socket().peek(&mut first) {
            Ok(0) => return Err(Refusal::silent(Reason::Gone, "no TLS handshake")),
            Ok(_) => return Ok(first[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
