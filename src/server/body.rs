//! The body of a request: read from the wire, within a limit and a deadline (RFC 9112, sections 6
//! and 7). In an opener's thread.

use std::io;

use httparse::Status;

use crate::deadline::Deadline;
use crate::http::head::MAX_HEAD;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::server::metrics::Reason;
use crate::server::refusal::Refusal;
use crate::wire::Wire;

/// How much is read at a time.
const PIECE: usize = 16 * 1024;

/// Reads the whole body, of at most `max_size` bytes; `rest` is what came behind the head.
pub(crate) fn read(
    wire: &Wire,
    request: &Request,
    rest: Vec<u8>,
    max_size: usize,
    deadline: Deadline,
) -> Result<Vec<u8>, Refusal> {
    let chunked = request.header("Transfer-Encoding").is_some();
    let length = match request.header("Content-Length") {
        // The head was checked: it is a number.
        Some(length) => Some(length.parse::<u64>().unwrap_or(u64::MAX)),
        None if chunked => None,
        // A method without a body may have one, but need not say that it has none.
        None if !matches!(request.method(), "POST" | "PUT" | "PATCH") => Some(0),
        None => return Err(Response::text(411, "the body needs a Content-Length").into()),
    };
    if length.is_some_and(|length| length > max_size as u64) {
        return Err(too_large(max_size));
    }
    if let Some(expect) = request.header("Expect") {
        if !expect.eq_ignore_ascii_case("100-continue") {
            return Err(Response::text(417, "the only Expect known is 100-continue").into());
        }
        // Who has sent some of the body does not wait (RFC 9110, section 10.1.1).
        if rest.is_empty() && length != Some(0) && !request.is_http_1_0() {
            wire.send_all(b"HTTP/1.1 100 Continue\r\n\r\n", deadline)?;
        }
    }
    let mut source = Source {
        wire,
        bytes: rest,
        at: 0,
        deadline,
    };
    match length {
        Some(length) => {
            // It fits, as it is not above the limit.
            let length = length as usize;
            source.fill(length)?;
            source.bytes.truncate(length);
            Ok(source.bytes)
        }
        None => unchunk(&mut source, max_size),
    }
}

/// The bytes that have come, and more of them.
struct Source<'a> {
    wire: &'a Wire,
    bytes: Vec<u8>,
    /// Up to here they are used.
    at: usize,
    deadline: Deadline,
}

impl Source<'_> {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
        // Now and then, as each time moves what is behind.
        if self.at > PIECE {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
    }

    /// Reads until there are so many.
    fn fill(&mut self, length: usize) -> Result<(), Refusal> {
        while self.rest().len() < length {
            self.more()?;
        }
        Ok(())
    }

    fn more(&mut self) -> Result<(), Refusal> {
        loop {
            if !self.wire.wait_readable(self.deadline).unwrap_or(true) {
                return Err(Response::text(408, "the body took too long").into());
            }
            let start = self.bytes.len();
            self.bytes.resize(start + PIECE, 0);
            let read = self.wire.recv(&mut self.bytes[start..]);
            self.bytes.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => {
                    let response = Response::text(400, "the body is not complete");
                    return Err(Refusal::answered(Reason::Gone, response));
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Chunks, with extensions and trailers, which are skipped.
fn unchunk(source: &mut Source<'_>, max_size: usize) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    // Of what is no body, as much as a head may have.
    let mut spare = MAX_HEAD;
    let mut spend = |bytes: usize| {
        spare = spare
            .checked_sub(bytes)
            .ok_or_else(|| bad("too much beside the chunks"))?;
        Ok::<(), Refusal>(())
    };
    loop {
        let (start, size) = match httparse::parse_chunk_size(source.rest()) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) if source.rest().len() > MAX_HEAD => {
                return Err(bad("the size of a chunk is too long"));
            }
            Ok(Status::Partial) => {
                source.more()?;
                continue;
            }
            Err(_) => return Err(bad("the size of a chunk is not a number in hexadecimal")),
        };
        if size > (max_size - body.len()) as u64 {
            return Err(too_large(max_size));
        }
        let size = size as usize;
        source.skip(start);
        // 16 digits and a line end; more of it is for extensions.
        spend(start.saturating_sub(18))?;
        if size == 0 {
            break;
        }
        source.fill(size.saturating_add(2))?;
        body.extend_from_slice(&source.rest()[..size]);
        if source.rest()[size..size + 2] != *b"\r\n" {
            return Err(bad("a chunk does not end where it should"));
        }
        source.skip(size + 2);
    }
    // Trailers, up to an empty line.
    loop {
        match source.rest().windows(2).position(|two| two == b"\r\n") {
            Some(0) => return Ok(body),
            Some(end) => {
                spend(end)?;
                source.skip(end + 2);
            }
            None if source.rest().len() > MAX_HEAD => return Err(bad("a trailer is too long")),
            None => source.more()?,
        }
    }
}

fn bad(why: &str) -> Refusal {
    Response::text(400, why).into()
}

fn too_large(max_size: usize) -> Refusal {
    let why = format!("the body is larger than the limit of {max_size} bytes");
    Response::text(413, why).into()
}
