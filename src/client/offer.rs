//! `Offer`: what a client asks a server for, and the headers that say it.
//!
//! Everything is checked before anything is connected: a mistake in a header is told at once, and
//! none can add a line of its own.

use tungstenite::handshake::client::generate_key;

use super::target::Target;
use crate::error::{Error, Result};
use crate::escaped::Escaped;
use crate::http::request::Request;
use crate::http::subprotocols;

/// No server takes a request as large as this.
const MAX_REQUEST: usize = 32 * 1024;
/// What answers have to have been computed from (RFC 6455, section 4.1).
pub(super) const KEY: &str = "Sec-WebSocket-Key";
/// What the handshake sets itself.
const OWN: [&str; 5] = [
    "Host",
    "Upgrade",
    "Connection",
    KEY,
    "Sec-WebSocket-Version",
];
/// Told to the server that was named, and to nobody that it leads to.
const CREDENTIALS: [&str; 3] = ["Authorization", "Cookie", "Proxy-Authorization"];

#[derive(Clone, Default)]
pub(super) struct Offer {
    pub(super) headers: Vec<(String, String)>,
    pub(super) origin: Option<String>,
    /// The best first.
    pub(super) subprotocols: Vec<String>,
}

impl Offer {
    /// The request to `target`, with its login; without credentials among the headers if it is not
    /// `trusted` with them.
    pub(super) fn request(&self, target: &Target, trusted: bool) -> Result<Request> {
        subprotocols::check(&self.subprotocols)?;
        let mut fields: Vec<(&str, String)> = vec![
            ("Host", target.authority()),
            ("Upgrade", "websocket".to_owned()),
            ("Connection", "Upgrade".to_owned()),
            (KEY, generate_key()),
            ("Sec-WebSocket-Version", "13".to_owned()),
        ];
        if !self.subprotocols.is_empty() {
            fields.push(("Sec-WebSocket-Protocol", self.subprotocols.join(", ")));
        }
        if let Some(origin) = &self.origin {
            check_value("Origin", origin)?;
            fields.push(("Origin", origin.clone()));
        }
        for (name, value) in &self.headers {
            self.check_name(name)?;
            check_value(name, value)?;
            if trusted || !is_one_of(&CREDENTIALS, name) {
                fields.push((name, value.clone()));
            }
        }
        if let Some(login) = &target.login
            && !fields
                .iter()
                .any(|(name, _)| is_one_of(&CREDENTIALS[..1], name))
        {
            let basic = login.basic();
            let colon = || Error::invalid("a user name with a colon cannot be sent by HTTP");
            fields.push((CREDENTIALS[0], basic.ok_or_else(colon)?));
        }
        let sizes = fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4);
        let size = sizes.sum::<usize>() + target.path.len();
        if size > MAX_REQUEST {
            return Err(Error::invalid(format!(
                "a request of {size} bytes is larger than the limit of {MAX_REQUEST} bytes"
            )));
        }
        let fields = fields.iter().map(|(n, v)| (*n, (&**v).into()));
        Ok(Request::new("GET", &target.path, fields))
    }

    fn check_name(&self, name: &str) -> Result<()> {
        if !subprotocols::is_token(name) {
            // Not what stands behind a colon: it may be a value, and a secret.
            let shown = Escaped(name.split([':', ' ']).next().unwrap_or_default());
            return Err(Error::invalid(format!("'{shown}' is no name of a header")));
        }
        let is = |other: &str| other.eq_ignore_ascii_case(name);
        let why = if is("Sec-WebSocket-Protocol") {
            "the header Sec-WebSocket-Protocol is set by offering subprotocols"
        } else if is("Sec-WebSocket-Extensions") {
            "extensions cannot be offered, as none is spoken here"
        } else if is("Origin") && self.origin.is_some() {
            "the origin is given twice"
        } else if is_one_of(&OWN, name) {
            return Err(Error::invalid(format!(
                "the header {name} is set by the handshake itself"
            )));
        } else {
            return Ok(());
        };
        Err(Error::invalid(why))
    }
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn check_value(name: &str, value: &str) -> Result<()> {
    if value.chars().any(|c| c.is_ascii_control() && c != '\t') {
        // The value is not shown: it may be a secret.
        return Err(Error::invalid(format!(
            "the value of the header {name} has a line end or another control character"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::login::Login;

    fn request(offer: &Offer, url: &str, trusted: bool) -> Result<Request> {
        offer.request(&Target::parse(url).expect(url), trusted)
    }

    /// The value of one header, which must not stand twice.
    fn value(offer: &Offer, url: &str, trusted: bool, name: &str) -> Option<String> {
        let request = request(offer, url, trusted).expect(url);
        let values = request
            .headers()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        assert!(values.count() <= 1, "{name} stands twice");
        request.header(name).map(str::to_owned)
    }

    fn header(name: &str, value: &str) -> Offer {
        Offer {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..Offer::default()
        }
    }

    #[test]
    fn a_login_becomes_a_header_unless_one_is_given_by_hand() {
        let login = Login::new("ada", "1").basic();
        let offer = Offer::default();
        assert_eq!(value(&offer, "ws://h/", true, "Authorization"), None);
        assert_eq!(value(&offer, "ws://ada:1@h", true, "Authorization"), login);
        let by_hand = header("authorization", "Bearer x");
        let bearer = Some("Bearer x".to_owned());
        assert_eq!(
            value(&by_hand, "ws://ada:1@h", true, "Authorization"),
            bearer
        );
        // Where that one may not be sent, the login of the target's own URL still is.
        assert_eq!(
            value(&by_hand, "ws://ada:1@h", false, "Authorization"),
            login
        );
    }

    #[test]
    fn credentials_stay_with_the_server_that_was_named() {
        for name in ["Cookie", "proxy-authorization", "AUTHORIZATION"] {
            let offer = header(name, "secret");
            assert!(value(&offer, "ws://h", true, name).is_some(), "{name}");
            assert_eq!(value(&offer, "ws://h", false, name), None, "{name}");
        }
        assert!(value(&header("X-Other", "1"), "ws://h", false, "X-Other").is_some());
    }

    #[test]
    fn what_cannot_be_sent_is_told_without_its_value() {
        let protocols = |names: &[&str]| Offer {
            subprotocols: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Offer::default()
        };
        let mut twice = header("Origin", "http://a");
        twice.origin = Some("http://b".to_owned());
        let origin = Offer {
            origin: Some("a\r\nsecret: b".to_owned()),
            ..Offer::default()
        };
        let cases = [
            (header("", "secret"), "no name"),
            (
                header("Authorization: Basic secret", ""),
                "'Authorization' is no name",
            ),
            (header("X\r\nY", "secret"), "no name"),
            (header("X", "secret\r\nY: z"), "header X has a line end"),
            (header("X", "secret\0"), "control character"),
            (header("Host", "secret"), "handshake itself"),
            (header("sec-websocket-key", "secret"), "handshake itself"),
            (
                header("Sec-WebSocket-Protocol", "secret"),
                "offering subprotocols",
            ),
            (header("Sec-WebSocket-Extensions", "secret"), "extensions"),
            (
                header("X", &"secret".repeat(10_000)),
                "larger than the limit of 32768",
            ),
            (twice, "origin is given twice"),
            (origin, "Origin has a line end"),
            (protocols(&["a b"]), "'a b' is no subprotocol"),
            (protocols(&["a", ""]), "'' is no subprotocol"),
            (protocols(&["a", "b", "a"]), "a is given twice"),
        ];
        for (offer, why) in cases {
            let error = request(&offer, "ws://h/", true).expect_err(why);
            assert!(matches!(error, Error::Invalid { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(why) && !text.contains("secret"), "{text}");
        }
        let error = request(&Offer::default(), "ws://a%3Ab:secret@h/", true).expect_err("a colon");
        let text = error.to_string();
        assert!(text.contains("colon") && !text.contains("secret"), "{text}");
        let offered = value(
            &protocols(&["b", "a"]),
            "ws://h",
            true,
            "Sec-WebSocket-Protocol",
        );
        assert_eq!(offered.as_deref(), Some("b, a"));
    }
}
