//! `Proxy`: a way to servers that leads through somebody else: HTTP's CONNECT (RFC 9110, section
//! 9.3.6), over TLS or not, or SOCKS 5.
//!
//! In the caller's thread, within the attempt's deadline. Shown without name and password.

use std::fmt;

use super::attempt::Attempt;
use super::login::Login;
use super::response::ResponseHead;
use super::socks;
use super::target::Target;
use super::transport::{self, Transport};
use super::url::{self, Authority, Parsed};
use crate::error::{Error, Result};
use crate::escaped::Escaped;
use crate::tls::Trust;

/// The kinds by their schemes, with their ports; 1080 is what IANA has registered for SOCKS. With
/// `socks5` the server's name is resolved here, with `socks5h` by the proxy.
const SCHEMES: [(&str, u16); 4] = [
    ("http", 80),
    ("https", 443),
    ("socks5", 1080),
    ("socks5h", 1080),
];

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    scheme: &'static str,
    host: String,
    port: u16,
    login: Option<Login>,
}

impl Proxy {
    /// Reads its URL; or says that it is none, without showing a password.
    pub(super) fn parse(url: &str) -> std::result::Result<Proxy, String> {
        read(url).map_err(|why| {
            format!(
                "'{}' is no URL of a proxy: {why}; write http://HOST:PORT, https://, socks5:// or \
                 socks5h://",
                Escaped(&url::without_login(url))
            )
        })
    }

    /// Connects to the target through the proxy. TLS with the target, if any, comes on top.
    pub(super) fn reach<'a>(
        &self,
        attempt: &'a Attempt,
        target: &Target,
        trust: &Trust,
    ) -> Result<Transport<'a>> {
        attempt.log(format_args!("through the proxy {self}"));
        let mut transport = match self.scheme {
            "http" | "https" => self.tunnel(attempt, target, trust)?,
            "socks5h" => self.by_socks(attempt, &target.host, target.port)?,
            _ => {
                // The proxy takes one address a connection.
                let mut addresses =
                    transport::resolve(attempt, &target.host, target.port)?.into_iter();
                loop {
                    let address = addresses.next().map(|address| address.ip().to_string());
                    let reached = self.by_socks(attempt, &address.unwrap_or_default(), target.port);
                    // What does not pass is wrong with the proxy, and so with every address.
                    if addresses.len() == 0 || !matches!(&reached, Err(Error::Io { .. })) {
                        break reached?;
                    }
                }
            }
        };
        transport.name = target.place();
        Ok(transport)
    }

    fn dial<'a>(&self, attempt: &'a Attempt) -> Result<Transport<'a>> {
        Transport::dial(attempt, &self.host, self.port, format!("the proxy {self}"))
    }

    fn by_socks<'a>(&self, attempt: &'a Attempt, host: &str, port: u16) -> Result<Transport<'a>> {
        let transport = self.dial(attempt)?;
        socks::connect(&transport, self.login.as_ref(), host, port)?;
        Ok(transport)
    }

    /// Asks an HTTP proxy to connect.
    fn tunnel<'a>(
        &self,
        attempt: &'a Attempt,
        target: &Target,
        trust: &Trust,
    ) -> Result<Transport<'a>> {
        let mut transport = self.dial(attempt)?;
        if self.scheme == "https" {
            transport.secure(trust, &self.host, &self.to_string())?;
        }
        let place = target.place();
        let login = self.login.as_ref().map(|login| {
            login.basic().ok_or_else(|| {
                Error::invalid(format!(
                    "the user name for the proxy {self} has a colon, which cannot be sent by HTTP"
                ))
            })
        });
        let login = login.transpose()?;
        let login = login.iter().map(|basic| ("Proxy-Authorization", &**basic));
        let fields = [("Host", &*place)].into_iter().chain(login);
        transport.send_head(&format!("CONNECT {place} HTTP/1.1"), fields)?;
        let response = ResponseHead::read(&transport)?;
        if !matches!(response.status, 200..=299) {
            return Err(response.refused(&transport, Some(self.to_string())));
        }
        // Neither a TLS nor a WebSocket server speaks first: this is not the server's.
        if !response.rest.is_empty() {
            return Err(Error::handshake(format!(
                "the proxy {self} sent more than an answer before the connection to {place} was used"
            )));
        }
        Ok(transport)
    }
}

/// The URL, without name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, url::place(&self.host, self.port))
    }
}

/// As `Display`.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn read(url: &str) -> Parsed<Proxy> {
    // `http_proxy=proxy:3128` is what many people write.
    let (given, rest) = match url.contains("://") {
        true => url::split_scheme(url).ok_or("it does not begin with a scheme and ://")?,
        false => ("http".to_owned(), url),
    };
    let known = SCHEMES.into_iter().find(|(scheme, _)| *scheme == given);
    let (scheme, default) = known.ok_or("its scheme is none of these")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let behind_login = rest.rsplit_once('@').map_or(rest, |(_, behind)| behind);
    if behind_login.contains(['/', '?', '#']) {
        return Err("it has a path");
    }
    let Authority { login, host, port } = Authority::parse(rest)?;
    let port = port.unwrap_or(default);
    Ok(Proxy {
        scheme,
        host,
        port,
        login,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_shown_as_it_is_used_and_without_its_login() {
        let cases = [
            ("http://p", "http://p:80"),
            ("HTTP://p:3128/", "http://p:3128"),
            ("p:3128", "http://p:3128"),
            ("ada:secret@p:3128", "http://p:3128"),
            ("https://p", "https://p:443"),
            ("socks5://[::1]", "socks5://[::1]:1080"),
            ("socks5h://ada:sec%72et@p:9", "socks5h://p:9"),
        ];
        for (url, shown) in cases {
            let proxy = Proxy::parse(url).expect(url);
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(format!("{proxy:?}"), shown);
            let login = url.contains('@').then(|| Login::new("ada", "secret"));
            assert_eq!(proxy.login, login, "{url}");
        }
    }

    #[test]
    fn what_is_no_proxy_says_what_is_one() {
        for wrong in [
            "",
            "http://",
            "ftp://ada:secret@p",
            "socks4://p",
            "http://ada:secret@p/x",
            "http://ada:secret@p:x",
            "http://zoë",
            "://p",
        ] {
            let error = Proxy::parse(wrong).expect_err(wrong);
            assert!(
                error.contains("socks5h://") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
