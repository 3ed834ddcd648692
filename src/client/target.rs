//! `Target`: where a URL leads, `ws://` or `wss://`, and where a redirect leads from there.
//!
//! Text comes in, a host, a port and a path come out, with the login that the URL had; nothing is
//! resolved or connected here. No error shows a password, also not that of a URL it cannot read.

use std::fmt::{self, Write};

use super::login::Login;
use super::url::{self, Authority, Parsed};
use crate::error::{Error, Result};
use crate::escaped::Escaped;

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `wss`.
    pub(super) secure: bool,
    /// An IPv6 address stands without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, in ASCII.
    pub(super) path: String,
    pub(super) login: Option<Login>,
}

impl Target {
    /// Reads a URL that somebody has typed.
    pub(super) fn parse(url: &str) -> Result<Target> {
        let read = match url::split_scheme(url) {
            None => Err("it does not begin with a scheme and ://"),
            Some((scheme, _)) if scheme != "ws" && scheme != "wss" => {
                Err("its scheme is not ws or wss")
            }
            Some((_, rest)) if rest.contains('#') => Err("it has a fragment"),
            Some((scheme, rest)) => Target::read(scheme == "wss", rest),
        };
        read.map_err(|why| {
            Error::invalid(format!(
                "'{}' is no WebSocket URL: {why}; write ws://HOST[:PORT][/PATH], or wss:// for TLS",
                Escaped(&url::without_login(url))
            ))
        })
    }

    /// Where a `Location` leads (RFC 3986, section 5), which may be `http` as well: redirects are
    /// made by web servers. The login stays where it belongs: with scheme, host and port, unless
    /// the location has one of its own.
    pub(super) fn follow(&self, location: &str) -> Result<Target> {
        let reference = location.split('#').next().unwrap_or_default();
        let read = if let Some((scheme, rest)) = url::split_scheme(reference) {
            match &*scheme {
                "ws" | "http" => Target::read(false, rest),
                "wss" | "https" => Target::read(true, rest),
                _ => Err("its scheme is not ws, wss, http or https"),
            }
        } else if let Some(rest) = reference.strip_prefix("//") {
            Target::read(self.secure, rest)
        } else {
            self.join(reference)
        };
        let mut next = read.map_err(|why| {
            Error::handshake(format!(
                "{self} redirects to '{}', which is no URL to follow: {why}",
                Escaped(&url::without_login(location))
            ))
        })?;
        if self.secure && !next.secure {
            return Err(Error::handshake(format!(
                "{self} redirects to {next}, which is not encrypted"
            )));
        }
        if next.login.is_none() && next.is_same_origin(self) {
            next.login.clone_from(&self.login);
        }
        Ok(next)
    }

    /// The same server with another path.
    fn join(&self, reference: &str) -> Parsed<Target> {
        let (old, _) = split_query(&self.path);
        let (path, query) = split_query(reference);
        let path = match path {
            "" if query.is_empty() => self.path.clone(),
            "" => format!("{old}{query}"),
            path if path.starts_with('/') => format!("{}{query}", without_dots(path)),
            path => {
                let folder = &old[..=old.rfind('/').unwrap_or(0)];
                format!("{}{query}", without_dots(&format!("{folder}{path}")))
            }
        };
        Ok(Target {
            path: encode(&path)?,
            ..self.clone()
        })
    }

    /// Reads what stands behind `ws://`.
    fn read(secure: bool, rest: &str) -> Parsed<Target> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let Authority { login, host, port } = Authority::parse(authority)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Target {
            secure,
            host,
            port: port.unwrap_or(default_port(secure)),
            path: format!("{slash}{}", encode(path)?),
            login,
        })
    }

    /// `host:port`, as errors name it.
    pub(super) fn place(&self) -> String {
        url::place(&self.host, self.port)
    }

    /// The value of `Host`: without the default port, which some servers do not know as theirs.
    pub(super) fn authority(&self) -> String {
        match self.port == default_port(self.secure) {
            true => url::bracketed(&self.host),
            false => self.place(),
        }
    }

    /// Whether both have scheme, host and port in common, so that what one may know the other may.
    pub(super) fn is_same_origin(&self, other: &Target) -> bool {
        let host = self.host.eq_ignore_ascii_case(&other.host);
        host && (self.secure, self.port) == (other.secure, other.port)
    }
}

/// The URL, without login.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), Escaped(&self.path))
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Path and query, the latter with its question mark.
fn split_query(path: &str) -> (&str, &str) {
    path.split_at(path.find('?').unwrap_or(path.len()))
}

/// Percent-encodes what a request line cannot carry; what is encoded already stays.
fn encode(path: &str) -> Parsed<String> {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            0..=0x1f | 0x7f => return Err("it has a control character"),
            b' ' => return Err("it has a space, which is %20 in a URL"),
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                // Writing to a String does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(byte.into()),
        }
    }
    Ok(encoded)
}

/// Resolves `.` and `..` (RFC 3986, section 5.2.4) of a path that begins with a slash.
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    // What ends with one of them is a folder.
    let is_folder = path.ends_with("/.") || path.ends_with("/..");
    let end = if is_folder && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).expect(url)
    }

    #[test]
    fn urls_lead_to_hosts() {
        let cases = [
            (
                "ws://localhost:8765",
                "localhost",
                8765,
                "/",
                "localhost:8765",
            ),
            ("ws://[::1]/a/b?c=d", "::1", 80, "/a/b?c=d", "[::1]"),
            ("ws://[::1]:8443/", "::1", 8443, "/", "[::1]:8443"),
            ("ws://h?x", "h", 80, "/?x", "h"),
            ("WS://h:/", "h", 80, "/", "h"),
            ("wss://h", "h", 443, "/", "h"),
            ("wss://h:443/", "h", 443, "/", "h"),
            ("wss://h:80/", "h", 80, "/", "h:80"),
            ("ws://h:443/", "h", 443, "/", "h:443"),
            (
                "ws://a_b.example./",
                "a_b.example.",
                80,
                "/",
                "a_b.example.",
            ),
            ("ws://h/../x/./y", "h", 80, "/../x/./y", "h"),
            (
                "ws://h/Zoë?ü=%C3%BC&\"<>",
                "h",
                80,
                "/Zo%C3%AB?%C3%BC=%C3%BC&%22%3C%3E",
                "h",
            ),
            ("ws://h/a@b:c", "h", 80, "/a@b:c", "h"),
        ];
        for (url, host, port, path, authority) in cases {
            let read = target(url);
            assert_eq!(
                (&*read.host, read.port, &*read.path),
                (host, port, path),
                "{url}"
            );
            assert_eq!(read.authority(), authority, "{url}");
            assert_eq!(read.secure, url.starts_with("wss"), "{url}");
            assert_eq!(read.login, None, "{url}");
        }
    }

    #[test]
    fn a_login_is_taken_out_of_the_url() {
        let read = target("ws://ada:pass%20w%40rd:x@h:1/p");
        assert_eq!((&*read.host, read.port), ("h", 1));
        assert_eq!(read.login, Some(Login::new("ada", "pass w@rd:x")));
        assert_eq!(read.to_string(), "ws://h:1/p");
        assert_eq!(target("ws://a@b@h/").login, Some(Login::new("a@b", "")));
    }

    #[test]
    fn what_is_no_url_says_what_is_one() {
        let cases = [
            ("", "scheme"),
            ("localhost:8765", "scheme"),
            ("http://h/", "scheme"),
            ("ws:/h/", "scheme"),
            ("ws://", "no host"),
            ("ws:///x", "no host"),
            ("ws://:80/", "no host"),
            ("ws://a:b@/", "no host"),
            ("ws://h:99999/", "65535"),
            ("ws://h:0/", "65535"),
            ("ws://h:+1/", "number"),
            ("ws://h:1:2/", "number"),
            ("ws://[::1/", "no ]"),
            ("ws://[::g]/", "IPv6"),
            ("ws://[::1]8/", "number"),
            ("ws://h/#x", "fragment"),
            ("ws://h#", "fragment"),
            ("ws://zoë.example/", "punycode"),
            ("ws://a b/", "character"),
            ("ws://h\\x/", "character"),
            ("ws://h/a b", "%20"),
            ("ws://h/a\r\nX: y", "control"),
        ];
        for (wrong, why) in cases {
            let error = Target::parse(wrong).expect_err(wrong).to_string();
            assert!(
                error.contains("ws://HOST") && error.contains(why),
                "{error}"
            );
        }
    }

    #[test]
    fn no_error_shows_a_password() {
        for wrong in [
            "ws://ada:secret@h:99999/",
            "http://ada:secret@h/",
            "ada:secret@h",
            "ws://ada:secret/secret@h/",
            "ws://ada:secret#secret@h/",
            "ws://ada:secret@secret@h:x/",
        ] {
            let error = Target::parse(wrong).expect_err(wrong).to_string();
            assert!(
                !error.contains("secret") && error.contains("...@h"),
                "{error}"
            );
        }
        let error = target("ws://h")
            .follow("ftp://ada:secret@h/")
            .expect_err("ftp");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        let base = target("wss://ada:x@a:8443/b/c/d?q");
        let cases = [
            ("wss://h/x", "wss://h/x"),
            ("https://h/x", "wss://h/x"),
            ("HTTPS://h", "wss://h/"),
            ("//h/x", "wss://h/x"),
            ("/x?y#z", "wss://a:8443/x?y"),
            ("/x/../y/./z", "wss://a:8443/y/z"),
            ("g", "wss://a:8443/b/c/g"),
            ("./g/", "wss://a:8443/b/c/g/"),
            ("../g", "wss://a:8443/b/g"),
            ("../../../../g?a/../b", "wss://a:8443/g?a/../b"),
            ("..", "wss://a:8443/b/"),
            (".", "wss://a:8443/b/c/"),
            ("../..", "wss://a:8443/"),
            ("?y", "wss://a:8443/b/c/d?y"),
            ("", "wss://a:8443/b/c/d?q"),
            ("#z", "wss://a:8443/b/c/d?q"),
            ("/ü", "wss://a:8443/%C3%BC"),
            ("https://A:8443/x", "wss://A:8443/x"),
            // No scheme, as `://` stands in the query.
            ("/x?to=http://h/", "wss://a:8443/x?to=http://h/"),
        ];
        for (location, url) in cases {
            let there = base.follow(location).expect(location);
            assert_eq!(there.to_string(), url, "{location}");
            // The login belongs to the server that was named with it.
            let same = there.is_same_origin(&base);
            assert_eq!(there.login.is_some(), same, "{location}");
        }
        let named = base.follow("https://bob:y@a:8443/").expect("a URL");
        assert_eq!(named.login, Some(Login::new("bob", "y")));
        let plain = target("ws://h/x");
        for location in ["http://h:8080", "https://h:8080"] {
            let there = plain.follow(location).expect(location);
            assert_eq!((there.port, there.secure), (8080, location.len() == 14));
        }
        for wrong in [
            "ftp://h/",
            "https:///x",
            "https://zoë/",
            "/a b",
            "//h:x/",
            // From a safe place to one that is not.
            "http://a:8443/",
            "ws://h/",
        ] {
            let error = base.follow(wrong).expect_err(wrong).to_string();
            assert!(
                error.starts_with("wss://a:8443/b/c/d?q redirects to"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let base = target("ws://h/");
        assert!(base.is_same_origin(&target("ws://H:80/x?y")));
        for other in ["wss://h/", "ws://h:81/", "ws://i/", "wss://h:80/"] {
            assert!(!base.is_same_origin(&target(other)), "{other}");
        }
    }
}
