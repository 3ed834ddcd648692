//! The parts that URLs of servers and of proxies have in common: scheme, login, host and port.
//!
//! Text only. What is wrong is told as a half sentence, for the error that shows the whole URL.

use std::net::Ipv6Addr;

use super::login::Login;
use crate::address::HostPort;

/// What a part of a URL means, or why it means nothing.
pub(super) type Parsed<T> = std::result::Result<T, &'static str>;

/// Splits `scheme://rest`; the scheme becomes lower case.
pub(super) fn split_scheme(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let fine = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins && scheme.chars().all(fine)).then(|| (scheme.to_ascii_lowercase(), rest))
}

/// What stands between the scheme and the path: `[NAME:PASSWORD@]HOST[:PORT]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) login: Option<Login>,
    /// An IPv6 address stands without its brackets, as resolvers and certificates want it.
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Authority {
    pub(super) fn parse(text: &str) -> Parsed<Authority> {
        let (login, text) = match text.rsplit_once('@') {
            Some((userinfo, text)) => (Some(Login::of_userinfo(userinfo)), text),
            None => (None, text),
        };
        let parsed = HostPort::parse(text)?;
        let (host, address) = (parsed.host(), parsed.in_brackets());
        if address.is_some_and(|address| address.parse::<Ipv6Addr>().is_err()) {
            return Err("what stands in [] is no IPv6 address");
        }
        if host.is_empty() {
            return Err("it has no host");
        }
        if !host.is_ascii() {
            // Which characters look alike is a field of its own: this is left to who types the name.
            return Err("its host is not ASCII; write it in punycode, as xn--...");
        }
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
        if !host.bytes().all(fine) {
            return Err("its host has a character that host names have not");
        }
        let port = match parsed.port {
            // RFC 3986, section 3.2.3: an empty port is the default one.
            None | Some("") => None,
            Some(port) if port.contains(|c: char| !c.is_ascii_digit()) => {
                return Err("its port is not a number");
            }
            Some(_) => match parsed.number() {
                None | Some(0) => return Err("its port is not one of 1 to 65535"),
                port => port,
            },
        };
        let host = host.to_owned();
        Ok(Authority { login, host, port })
    }
}

/// A host as URLs have it: an IPv6 address in brackets.
pub(super) fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

/// `host:port`, as errors name it.
pub(super) fn place(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

/// A URL that may not be one, as an error may show it: all that could be a password is gone.
pub(super) fn without_login(url: &str) -> String {
    // The last `@`, wherever it stands: a password with a bare slash moves the end of the host.
    let Some((before, rest)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let scheme = before.find("//").map_or("", |at| &before[..at + 2]);
    format!("{scheme}...@{rest}")
}
