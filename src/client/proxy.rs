//! `Proxy`: a way to servers that leads through somebody else: HTTP's CONNECT (RFC 9110, section
//! 9.3.6), over TLS or not, or SOCKS 5. And `Choice`: which one, if any, for which server.
//!
//! In the caller's thread, within the attempt's deadline. Shown without name and password.

use std::fmt;

use super::answer::Answer;
use super::attempt::Attempt;
use super::dial::{self, Line};
use super::environment::Environment;
use super::login::Login;
use super::socks;
use super::target::{self, Target};
use crate::error::{Error, Result};
use crate::escaped::Escaped;
use crate::tls::Trust;

/// Which proxy to use.
#[derive(Clone, Debug, Default)]
pub(crate) enum Choice {
    /// None: straight to the server.
    #[default]
    Direct,
    /// This one.
    Given(Url),
    /// As the environment said, for each target.
    Environment(Box<Environment>),
}

impl Choice {
    pub(crate) fn of(&self, target: &Target) -> Result<Option<Proxy>> {
        match self {
            Choice::Direct => Ok(None),
            Choice::Given(url) => Proxy::parse(url).map(Some),
            Choice::Environment(environment) => {
                environment.choose(target).map(Proxy::parse).transpose()
            }
        }
    }
}

/// A proxy's URL as it was given; its `Debug` has no password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url(pub(crate) String);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&target::without_login(&self.0)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    /// The name is resolved here.
    Socks5,
    /// The name is resolved by the proxy.
    Socks5h,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    login: Option<Login>,
}

impl Proxy {
    pub(crate) fn parse(url: &Url) -> Result<Proxy> {
        read(&url.0).map_err(|why| {
            Error::invalid(format!(
                "'{url:?}' is no URL of a proxy: {why}; write http://HOST:PORT, https://, socks5:// \
                 or socks5h://"
            ))
        })
    }

    /// Connects to the target through the proxy. TLS with the target, if any, comes on top.
    pub(crate) fn reach(&self, attempt: &Attempt, target: &Target, trust: &Trust) -> Result<Line> {
        attempt.log(format_args!("through the proxy {self}"));
        match self.kind {
            Kind::Http | Kind::Https => {
                let mut line = self.dial(attempt)?;
                if self.kind == Kind::Https {
                    attempt.secure(&mut line.wire, trust, &self.host, &self.to_string())?;
                }
                self.tunnel(attempt, &line, target)?;
                Ok(line)
            }
            Kind::Socks5h => self.reach_by_socks(attempt, &target.host, target),
            Kind::Socks5 => {
                // The proxy takes one address a connection.
                let addresses = dial::resolve(attempt, &target.host, target.port)?;
                let mut addresses = addresses.iter().map(|address| address.ip().to_string());
                loop {
                    let address = addresses.next().unwrap_or_default();
                    let reached = self.reach_by_socks(attempt, &address, target);
                    // What does not pass is wrong with the proxy, and so with every address.
                    if addresses.len() == 0 || !matches!(&reached, Err(Error::Io { .. })) {
                        return reached;
                    }
                }
            }
        }
    }

    fn dial(&self, attempt: &Attempt) -> Result<Line> {
        let name = format_args!("the proxy {self}").to_string();
        dial::dial(attempt, &self.host, self.port, name)
    }

    fn reach_by_socks(&self, attempt: &Attempt, host: &str, target: &Target) -> Result<Line> {
        let line = self.dial(attempt)?;
        let name = format!("the proxy {self}");
        let login = self.login.as_ref();
        socks::connect(attempt, &line.wire, &name, login, host, target.port)?;
        Ok(line)
    }

    /// Asks an HTTP proxy to connect.
    fn tunnel(&self, attempt: &Attempt, line: &Line, target: &Target) -> Result<()> {
        let place = target.place();
        let mut fields = vec![("Host", place.clone())];
        if let Some(login) = &self.login {
            let basic = login.basic().ok_or_else(|| {
                Error::invalid(format!(
                    "the user name for the proxy {self} has a colon, which cannot be sent by HTTP"
                ))
            })?;
            fields.push(("Proxy-Authorization", basic));
        }
        let name = format!("the proxy {self}");
        let first = format!("CONNECT {place} HTTP/1.1");
        attempt.send_head(&line.wire, &first, &fields, &name)?;
        let answer = Answer::read(attempt, &line.wire, &name)?;
        if !matches!(answer.status, 200..=299) {
            return Err(answer.refused(attempt, &line.wire, Some(self.to_string())));
        }
        // Neither a TLS nor a WebSocket server speaks first: this is not the server's.
        if !answer.rest.is_empty() {
            return Err(Error::handshake(format!(
                "{name} sent more than an answer before the connection to {place} was used"
            )));
        }
        Ok(())
    }
}

/// The URL, without name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Http => "http",
            Kind::Https => "https",
            Kind::Socks5 => "socks5",
            Kind::Socks5h => "socks5h",
        };
        write!(f, "{scheme}://{}", target::place(&self.host, self.port))
    }
}

fn read(url: &str) -> std::result::Result<Proxy, &'static str> {
    // `http_proxy=proxy:3128` is what many people write.
    let (scheme, rest) = match url.contains("://") {
        true => target::split_scheme(url)?,
        false => ("http".to_owned(), url),
    };
    // 1080 is what IANA has registered for SOCKS.
    let (kind, port) = match &*scheme {
        "http" => (Kind::Http, 80),
        "https" => (Kind::Https, 443),
        "socks5" => (Kind::Socks5, 1080),
        "socks5h" => (Kind::Socks5h, 1080),
        _ => return Err("its scheme is none of these"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, authority) = match rest.rsplit_once('@') {
        Some((userinfo, authority)) => (Some(Login::of_userinfo(userinfo)), authority),
        None => (None, rest),
    };
    if authority.contains(['/', '?', '#']) {
        return Err("it has a path");
    }
    let (host, given) = target::split_authority(authority)?;
    Ok(Proxy {
        kind,
        host: host.to_owned(),
        port: given.unwrap_or(port),
        login,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Proxy> {
        Proxy::parse(&Url(url.to_owned()))
    }

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
            let proxy = parse(url).expect(url);
            assert_eq!(proxy.to_string(), shown);
            let login = url.contains('@').then(|| Login::new("ada", "secret"));
            assert_eq!(proxy.login, login, "{url}");
            assert!(!format!("{proxy:?}").contains("secret"), "{proxy:?}");
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
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(
                error.contains("socks5h://") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
