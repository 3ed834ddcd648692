//! The body of a refusal: its beginning, as text, if it comes soon.

use std::time::Duration;

use httparse::Status;

use super::transport::Transport;
use crate::deadline::Deadline;

/// What a refusal says is worth waiting for a little, but it is not needed.
const MAX_BODY: usize = 4096;
const TIMEOUT: Duration = Duration::from_secs(1);
/// With the sizes of chunks between its parts.
const MAX_CHUNKED: usize = 16 * 1024;

/// The body as far as it is worth reading: nothing that is not plain text as it stands.
pub(super) fn read(
    headers: &[(String, String)],
    mut bytes: Vec<u8>,
    transport: &Transport<'_>,
) -> String {
    let deadline = transport.attempt.deadline.or(Deadline::after(TIMEOUT));
    let is = |value: &str, other: &str| value.eq_ignore_ascii_case(other);
    let field = |name: &str| {
        let found = headers.iter().find(|(n, _)| is(n, name));
        found.map(|(_, value)| value.as_str())
    };
    let (coding, transfer) = (field("Content-Encoding"), field("Transfer-Encoding"));
    if coding.is_some_and(|coding| !is(coding, "identity"))
        || transfer.is_some_and(|transfer| !is(transfer, "chunked"))
    {
        return String::new();
    }
    let length = field("Content-Length").and_then(|length| length.parse().ok());
    let length = length.unwrap_or(MAX_BODY).min(MAX_BODY);
    loop {
        let (mut text, complete) = match transfer {
            Some(_) => unchunk(&bytes),
            None => (bytes.clone(), bytes.len() >= length),
        };
        let mut buffer = [0; 1024];
        let more = match complete {
            true => 0,
            // What came before the end of time or of the stream counts.
            false => transport.receive_until(&mut buffer, deadline).unwrap_or(0),
        };
        if more == 0 {
            text.truncate(if transfer.is_some() { MAX_BODY } else { length });
            return readable(text);
        }
        bytes.extend_from_slice(&buffer[..more]);
    }
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
}
