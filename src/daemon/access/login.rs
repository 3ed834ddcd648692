//! The login of a browser: what its form posts, where it goes then, and the cookie that it gets.

use plainws::{Request, Response};

use crate::percent;

/// The name of the cookie.
const COOKIE: &str = "plainws";
/// A form has four short fields.
pub(super) const MAX_FORM: usize = 8 * 1024;

/// The fields of the form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) token: String,
    pub(super) next: String,
}

impl Form {
    /// `application/x-www-form-urlencoded`; what is not known is left out.
    pub(super) fn parse(body: &[u8]) -> Form {
        let mut form = Form::default();
        for field in body.split(|&byte| byte == b'&') {
            let mut parts = field.splitn(2, |&byte| byte == b'=');
            let (name, value) = (parts.next(), decoded(parts.next().unwrap_or_default()));
            match name {
                Some(b"user") => form.user = value,
                Some(b"password") => form.password = value,
                Some(b"token") => form.token = value,
                Some(b"next") => form.next = value,
                _ => {}
            }
        }
        form
    }
}

fn decoded(text: &[u8]) -> String {
    let spaced: Vec<u8> = text
        .iter()
        .map(|&b| if b == b'+' { b' ' } else { b })
        .collect();
    let (bytes, _) = percent::decoded(&spaced);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// To the form, from wherever the request was: relative, as a proxy may put a path in front.
pub(super) fn to_form(request: &Request, why: Option<&str>, next: &str) -> Response {
    let depth = request.path().matches('/').count().saturating_sub(1);
    let mut location = "../".repeat(depth) + "login?next=";
    for byte in next.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                location.push(char::from(byte));
            }
            _ => location.push_str(&format!("%{byte:02X}")),
        }
    }
    if let Some(why) = why {
        location.push_str("&error=");
        location.push_str(why);
    }
    Response::text(303, "log in first").header("Location", location)
}

/// Back to where it was, with the cookie. `next` is a path of this server, or it does not count.
pub(super) fn back(next: &str, secret: &str, is_secure: bool, seconds: u64) -> Response {
    let is_own = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    // Relative to the form, for the same reason.
    let location = match is_own && is_plain {
        true => format!(".{next}"),
        false => "./".to_owned(),
    };
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let response = Response::text(303, "you are logged in").header("Location", location);
    response.header("Set-Cookie", cookie)
}

/// What the cookie of a request has.
pub(super) fn cookie(request: &Request) -> Option<&str> {
    let headers = request
        .headers()
        .filter(|(name, _)| name.eq_ignore_ascii_case("Cookie"));
    let mut cookies = headers.flat_map(|(_, value)| value.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let form = Form::parse(b"user=ann+b&password=%C3%A4%26%3D%&token=&next=%2Ftopic%2Fa&x=y");
        assert_eq!((&*form.user, &*form.password), ("ann b", "ä&=%"));
        assert_eq!((&*form.token, &*form.next), ("", "/topic/a"));
        assert_eq!(Form::parse(b""), Form::default());
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        let rows = [
            ("/topic/a", "Location: ./topic/a\r\n"),
            ("//evil.example", "Location: ./\r\n"),
            ("https://evil.example", "Location: ./\r\n"),
            ("/\\evil.example", "Location: ./\r\n"),
            ("/a\r\nX: y", "Location: ./\r\n"),
            ("", "Location: ./\r\n"),
        ];
        for (next, expected) in rows {
            let shown = format!("{:?}", back(next, "s", false, 1));
            let location = expected.trim_start_matches("Location: ").trim_end();
            assert!(
                shown.contains(&format!("\"{location}\"")),
                "{next}: {shown}"
            );
        }
    }
}
