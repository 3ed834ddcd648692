//! `Response`: an HTTP/1.1 answer, a page or the refusal of a request, as bytes.
//!
//! Every answer is complete, forbids what it does not need, and ends the connection.

use std::borrow::Cow;
use std::time::SystemTime;

use tungstenite::http::StatusCode;

/// An HTTP answer: a page, or the refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// An answer with a body of this type. Names and values of headers must not contain line
    /// ends; the answer is sent without headers that do.
    pub fn new(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Response {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
        .header("Content-Type", content_type)
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

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The answer as bytes; without its body for HEAD. Every answer forbids what it does not need
    /// and ends the connection.
    pub(crate) fn encode(&self, head_only: bool) -> Vec<u8> {
        let mut out = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
            self.status,
            reason(self.status),
            httpdate::fmt_http_date(SystemTime::now()),
            self.body.len(),
        )
        .into_bytes();
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
            if !name.contains(['\r', '\n', ':']) && !value.contains(['\r', '\n']) {
                out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        if !head_only {
            out.extend_from_slice(&self.body);
        }
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
