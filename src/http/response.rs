//! `Response`: an HTTP/1.1 answer, a page or the refusal of a request, as bytes.
//!
//! Every answer has its length, forbids what it does not need, and ends the connection. A body may be
//! part of a file; who sends it reads that piece by piece.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use tungstenite::http::StatusCode;

/// An HTTP answer: a page, or the refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Bytes(Cow<'static, [u8]>),
    /// This part of a file.
    File(Arc<File>, Range<u64>),
}

/// The same file is the same open file.
impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        match (self, other) {
            (Body::Bytes(a), Body::Bytes(b)) => a == b,
            (Body::File(a, part), Body::File(b, other)) => Arc::ptr_eq(a, b) && part == other,
            _ => false,
        }
    }
}

impl Eq for Body {}

impl Response {
    /// An answer with a body of this type. Names and values of headers must not contain line
    /// ends; the answer is sent without headers that do. With status 204 or 304 there is no body
    /// (RFC 9110, section 6.4.1).
    pub fn new(
        status: u16,
        content_type: impl Into<Cow<'static, str>>,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Response {
            status,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
        }
        .header("Content-Type", content_type)
    }

    /// Nothing but a status, such as 204.
    pub fn empty(status: u16) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: Body::Bytes(Cow::Borrowed(&[])),
        }
    }

    /// Part of a file, in bytes: status 200. It is read while it is sent, 64 KiB at a time, in the
    /// thread of its client; each piece must be taken within the
    /// [write timeout](crate::ServerBuilder::write_timeout). If the file turns out to be shorter, the
    /// connection is cut, so that the client sees that something is missing, and a WARN says so.
    pub fn file(
        content_type: impl Into<Cow<'static, str>>,
        file: File,
        part: Range<u64>,
    ) -> Response {
        let mut response = Response::new(200, content_type, &[][..]);
        response.body = Body::File(Arc::new(file), part);
        response
    }

    /// The same with another status, such as 206.
    pub fn with_status(mut self, status: u16) -> Response {
        self.status = status;
        self
    }

    /// A page: status 200, `text/html`.
    pub fn html(page: impl Into<Cow<'static, str>>) -> Response {
        let body = match page.into() {
            Cow::Borrowed(page) => Cow::Borrowed(page.as_bytes()),
            Cow::Owned(page) => Cow::Owned(page.into_bytes()),
        };
        Response::new(200, "text/html; charset=utf-8", body)
    }

    /// Plain text: a sentence that says why, ended by a line feed.
    pub fn text(status: u16, sentence: impl Into<String>) -> Response {
        let mut body = sentence.into();
        body.push('\n');
        Response::new(status, "text/plain; charset=utf-8", body.into_bytes())
    }

    /// Adds a header.
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Response {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body; of a file, nothing.
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::Bytes(bytes) => bytes,
            Body::File(..) => &[],
        }
    }

    /// What is to be sent behind the head, if it is part of a file.
    pub(crate) fn part_of_file(&self) -> Option<(&File, Range<u64>)> {
        match &self.body {
            Body::File(file, part) => Some((file, part.clone())),
            Body::Bytes(_) => None,
        }
    }

    /// The head of an answer whose body has no length and is not kept by anybody on the way: a stream
    /// of this type.
    pub(crate) fn stream(self, content_type: &'static str) -> Vec<u8> {
        let response = self.header("Content-Type", content_type);
        // nginx would gather it.
        let response = response.header("X-Accel-Buffering", "no");
        response.header("Cache-Control", "no-store").head(None)
    }

    /// The answer as bytes; without its body for HEAD, and as far as that is no file's. Every answer
    /// forbids what it does not need and ends the connection.
    pub(crate) fn encode(&self, head_only: bool) -> Vec<u8> {
        let has_body = !matches!(self.status, 204 | 304);
        let length = match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File(_, part) => part.end.saturating_sub(part.start),
        };
        let mut out = self.head(has_body.then_some(length));
        if has_body && !head_only {
            out.extend_from_slice(self.body());
        }
        out
    }

    /// With the length, if the answer has a body that has one.
    fn head(&self, length: Option<u64>) -> Vec<u8> {
        let has_body = !matches!(self.status, 204 | 304);
        let mut out = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nConnection: close\r\n",
            self.status,
            reason(self.status),
            httpdate::fmt_http_date(SystemTime::now()),
        )
        .into_bytes();
        if let Some(length) = length {
            out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        let defaults = [
            ("Cache-Control", "no-cache"),
            (
                "Content-Security-Policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        ];
        let given = |name: &str| {
            self.headers
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        let defaults = defaults.into_iter().filter(|(name, _)| !given(name));
        let headers = self.headers.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in defaults.chain(headers) {
            let is_fine = !name.contains(['\r', '\n', ':']) && !value.contains(['\r', '\n']);
            // What has no body has no type.
            if is_fine && (has_body || !name.eq_ignore_ascii_case("Content-Type")) {
                out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn reason(status: u16) -> &'static str {
    let known = StatusCode::from_u16(status).ok();
    known.and_then(|code| code.canonical_reason()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_and_cannot_be_split() {
        let response = Response::text(404, "nothing here").header("X-Evil", "a\r\nSet-Cookie: b");
        let text = String::from_utf8(response.encode(false)).expect("text");
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 13\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nnothing here\n"), "{text}");
        assert!(!text.contains("Set-Cookie"), "{text}");
        let head = String::from_utf8(response.encode(true)).expect("text");
        assert!(
            head.ends_with("\r\n\r\n") && head.contains("Content-Length: 13"),
            "{head}"
        );
    }
}
