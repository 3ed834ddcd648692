//! A request head: bytes come in, a `Request` or the refusal of one goes out.
//!
//! HTTP/1.1 as far as pages and upgrades need it. Strict where laxness would let a proxy and us
//! disagree (RFC 9112): CRLF line ends, one Host, one length of a body. Reads from no socket: that is the
//! business of whoever has one.

use std::borrow::Cow;

use crate::address::HostPort;
use crate::http::request::Request;
use crate::http::response::Response;

/// Limits of a request head, in bytes; browsers' cookies fit.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
const MAX_TARGET: usize = 2048;
const MAX_LINE: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// The longest method that HTTP has is 7 bytes (OPTIONS, CONNECT); more than this is none.
const MAX_METHOD: usize = 32;

/// Reads a whole head, up to and with the empty line.
pub(crate) fn parse(head: &[u8]) -> Result<Request, Response> {
    let mut lines = head.split_inclusive(|&byte| byte == b'\n');
    if lines.any(|line| line.ends_with(b"\n") && !line.ends_with(b"\r\n")) {
        return Err(bad("lines must end with CR LF"));
    }
    check_lengths(head)?;
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("the request is not complete")),
        Err(error) => return Err(refuse_head(error, head)),
    }
    let method = parsed.method.unwrap_or_default();
    let target = parsed.path.unwrap_or_default();
    // Neither a proxy's method nor a question about the whole server names a path.
    if method == "CONNECT" || (method == "OPTIONS" && target == "*") {
        let text = "only paths are answered here";
        return Err(Response::text(405, text).header("Allow", "GET, HEAD"));
    }
    if !target.is_ascii() {
        return Err(bad("the request target is not ASCII"));
    }
    let (authority, path) = split_target(target)?;
    let fields = parsed.headers.iter().map(|header| {
        // Values may be Latin-1; what is not UTF-8 is replaced, and never needed.
        let value = match String::from_utf8_lossy(header.value) {
            Cow::Borrowed(value) => value.trim_matches([' ', '\t']).into(),
            Cow::Owned(value) => value.trim_matches([' ', '\t']).to_owned().into(),
        };
        (header.name, value)
    });
    let request = Request::new(method, &path, fields).with_version(parsed.version == Some(0));
    check_host(&request, authority)?;
    check_body(&request)?;
    Ok(request)
}

/// RFC 9112, section 3.2: exactly one Host in HTTP/1.1, and a valid one.
fn check_host(request: &Request, authority: Option<&str>) -> Result<(), Response> {
    let host = match request.single("Host")? {
        Some(host) if !is_host(host) => return Err(bad("the Host header is not a host")),
        Some(host) => host,
        None if request.is_http_1_0() => return Ok(()),
        None => return Err(bad("no Host header")),
    };
    match authority {
        Some(authority) if !authority.eq_ignore_ascii_case(host) => Err(bad(
            "the request target and the Host header name different hosts",
        )),
        _ => Ok(()),
    }
}

/// RFC 9112, section 6: one length at most, of a kind that proxies understand as we do.
fn check_body(request: &Request) -> Result<(), Response> {
    let length = request.single("Content-Length")?;
    let transfer = request.single("Transfer-Encoding")?;
    if request.only_reads() && (transfer.is_some() || length.is_some_and(|n| n != "0")) {
        return Err(bad("a request with a body is not answered here"));
    }
    if length.is_some() && transfer.is_some() {
        return Err(bad(
            "Content-Length and Transfer-Encoding exclude each other",
        ));
    }
    let is_number =
        |n: &str| !n.is_empty() && n.len() < 20 && n.bytes().all(|b| b.is_ascii_digit());
    if length.is_some_and(|length| !is_number(length)) {
        return Err(bad("the Content-Length is not a number"));
    }
    match transfer {
        Some(_) if request.is_http_1_0() => Err(bad("HTTP/1.0 has no Transfer-Encoding")),
        Some(coding) if !coding.eq_ignore_ascii_case("chunked") => Err(Response::text(
            501,
            "the only Transfer-Encoding known here is chunked",
        )),
        _ => Ok(()),
    }
}

/// The limits of each line, also of one that is still arriving.
fn check_lengths(head: &[u8]) -> Result<(), Response> {
    let mut lines = head.split(|&byte| byte == b'\n').peekable();
    let mut words = lines
        .peek()
        .into_iter()
        .flat_map(|line| line.split(|&byte| byte == b' '));
    let mut next_len = || words.next().map_or(0, <[u8]>::len);
    if next_len() > MAX_METHOD {
        return Err(bad("no method that HTTP knows"));
    }
    if next_len() > MAX_TARGET {
        let text = format!("the request target is longer than the limit of {MAX_TARGET} bytes");
        return Err(Response::text(414, text));
    }
    let too_long = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() > MAX_LINE;
    match lines.any(too_long) {
        true => Err(too_large()),
        false => Ok(()),
    }
}

/// Where the head ends, if it is all there: behind an empty line, also one that ends with a bare
/// line feed, which is to be refused, not to be waited for.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines.find(|line| {
        end += line.len();
        [&b"\n"[..], b"\r\n"].contains(line)
    })?;
    Some(end)
}

/// A head that is this long and not complete cannot become a good one.
pub(crate) fn check_incomplete(head: &[u8]) -> Result<(), Response> {
    check_lengths(head)?;
    match head.len() < MAX_HEAD {
        true => Ok(()),
        false => Err(too_large()),
    }
}

fn refuse_head(error: httparse::Error, head: &[u8]) -> Response {
    match error {
        httparse::Error::TooManyHeaders => too_large(),
        httparse::Error::Version => {
            let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
            match line.rsplit(|&byte| byte == b' ').next().unwrap_or_default() {
                [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                    if major.is_ascii_digit() && minor.is_ascii_digit() =>
                {
                    Response::text(505, "HTTP/1.1 is spoken here")
                }
                _ => bad("the request line has no valid HTTP version"),
            }
        }
        error => bad(&format!("the request head is not valid: {error}")),
    }
}

/// Origin form (`/path`), or absolute form (`http://host/path`), which a server must take
/// (RFC 9112, section 3.2.2).
fn split_target(target: &str) -> Result<(Option<&str>, Cow<'_, str>), Response> {
    if target.contains('#') {
        return Err(bad("the request target has a fragment"));
    }
    if target.starts_with('/') {
        return Ok((None, target.into()));
    }
    for scheme in ["http://", "https://"] {
        let is_scheme = |s: &str| s.eq_ignore_ascii_case(scheme);
        if target.get(..scheme.len()).is_some_and(is_scheme) {
            let rest = &target[scheme.len()..];
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let path = match &rest[end..] {
                path if path.starts_with('/') => path.into(),
                query => format!("/{query}").into(),
            };
            return Ok((Some(&rest[..end]), path));
        }
    }
    Err(bad("the request target is not a path"))
}

fn is_host(host: &str) -> bool {
    let Ok(host) = HostPort::parse(host) else {
        return false;
    };
    let port_fine = host
        .port
        .is_none_or(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()));
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte);
    port_fine
        && match host.in_brackets() {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.name.is_empty() && host.name.bytes().all(fine),
        }
}

fn bad(why: &str) -> Response {
    Response::text(400, why)
}

fn too_large() -> Response {
    let text = format!(
        "the request head is larger than the limits: {MAX_HEAD} bytes, {MAX_HEADERS} headers of {MAX_LINE} bytes"
    );
    Response::text(431, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Request, u16> {
        super::parse(head.as_bytes()).map_err(|response| response.status())
    }

    fn get(lines: &str) -> Result<Request, u16> {
        parse(&format!(
            "GET /a?x=1 HTTP/1.1\r\nHost: localhost:8765\r\n{lines}\r\n"
        ))
    }

    #[test]
    fn a_request_keeps_what_was_sent() {
        let request = get("X-One:  1 \r\nx-two: zwei\r\n").expect("a good request");
        assert_eq!(request.target(), "/a?x=1");
        assert_eq!((request.path(), request.query()), ("/a", Some("x=1")));
        assert_eq!(request.header("X-TWO"), Some("zwei"));
        let names: Vec<&str> = request.headers().map(|(name, _)| name).collect();
        assert_eq!(names, ["Host", "X-One", "x-two"]);
        assert_eq!(request.header("x-one"), Some("1"));
    }

    #[test]
    fn legal_ways_to_ask_for_an_upgrade() {
        for lines in [
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            "Connection: keep-alive,\tUpgrade\r\nUPGRADE: WebSocket\r\n",
            "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n",
        ] {
            assert!(get(lines).expect("a good request").is_upgrade(), "{lines}");
        }
        for lines in ["Connection: upgrade\r\n", "Upgrade: websocket\r\n", ""] {
            assert!(!get(lines).expect("a good request").is_upgrade(), "{lines}");
        }
    }

    #[test]
    fn bad_heads_get_their_status() {
        let long = |n: usize| "x".repeat(n);
        let lines = |line: &str, n: usize| line.repeat(n);
        let post = |lines: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let cases: &[(String, u16)] = &[
            (
                format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long(2048)),
                414,
            ),
            (
                format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", long(10_000)),
                400,
            ),
            (
                format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", long(8192)),
                431,
            ),
            (
                format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", lines("X: 1\r\n", 64)),
                431,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n".into(),
                400,
            ),
            ("GET / HTTP/1.1\r\nHost : h\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\nHost: h\n\n".into(), 400),
            ("GET /\r\n\r\n".into(), 400),
            ("GET / HTTP/1.2\r\nHost: h\r\n\r\n".into(), 505),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n".into(), 505),
            ("PRI * HTTP/2.0\r\n\r\n".into(), 505),
            ("GET / HTTP/1.1x\r\nHost: h\r\n\r\n".into(), 400),
            ("GET / http/1.1\r\nHost: h\r\n\r\n".into(), 400),
            ("GET foo HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
            ("GET * HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
            ("GET /#x HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
            ("GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\nHost: \r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".into(), 400),
            (
                post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
                400,
            ),
            (post("Content-Length: 1\r\nContent-Length: 1\r\n"), 400),
            (post("Content-Length: 1, 1\r\n"), 400),
            (post("Content-Length: +1\r\n"), 400),
            (post("Content-Length: 99999999999999999999\r\n"), 400),
            (post("Transfer-Encoding: gzip, chunked\r\n"), 501),
            (
                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
                400,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n".into(),
                400,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n".into(),
                400,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
                400,
            ),
            ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
        ];
        for (head, status) in cases {
            assert_eq!(
                parse(head).map(|r| r.path().to_owned()),
                Err(*status),
                "{head:.120}"
            );
        }
    }

    #[test]
    fn limits_are_inclusive() {
        let target = format!("/{}", "x".repeat(2047));
        let headers = "X: 1\r\n".repeat(63);
        let head = format!("GET {target} HTTP/1.1\r\nHost: [::1]:80\r\n{headers}\r\n");
        assert_eq!(parse(&head).expect("within the limits").path(), target);
        assert!(parse("GET http://h/p HTTP/1.1\r\nHost: h\r\n\r\n").is_ok());
        assert!(parse("GET / HTTP/1.0\r\n\r\n").is_ok());
    }
}
