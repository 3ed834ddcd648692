//! The names that a certificate is for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A DNS name in lower case, with `*.` in front where it stands for all of a zone, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Dns(String),
    Ip(IpAddr),
}

pub(crate) fn parse(text: &str) -> Result<Name, String> {
    let address = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Some(address) = address {
        let address: Result<Ipv6Addr, _> = address.parse();
        return address
            .map(|ip| Name::Ip(ip.into()))
            .map_err(|_| "between brackets stands an IPv6 address".to_owned());
    }
    if let Ok(ip) = text.parse() {
        return Ok(Name::Ip(ip));
    }
    if text.contains("://") || text.contains(['/', ':']) {
        return Err("write the host alone, without scheme, port and path".to_owned());
    }
    if !text.is_ascii() {
        return Err("write it as DNS does, in ASCII: xn--...".to_owned());
    }
    dns(text.strip_prefix("*.").unwrap_or(text))?;
    Ok(Name::Dns(text.to_ascii_lowercase()))
}

/// Checks what stands behind `*.`, where there is one. Underscores are no host name, but people's
/// containers have them and clients take them.
fn dns(name: &str) -> Result<(), String> {
    let labels: Vec<&str> = name.split('.').collect();
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for label in &labels {
        if label.is_empty() || !label.chars().all(letter) {
            return Err("a NAME is like localhost, app.example, *.app.example or ::1".to_owned());
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a label of a DNS name begins and ends with no hyphen".to_owned());
        }
        if label.len() > 63 {
            return Err("a label of a DNS name has at most 63 characters".to_owned());
        }
    }
    if name.len() > 251 {
        return Err("a DNS name has at most 253 characters, and *. takes two".to_owned());
    }
    // Browsers read such a host as an IPv4 address, and find none.
    if labels
        .last()
        .is_some_and(|l| l.chars().all(|c| c.is_ascii_digit()))
    {
        return Err("an IPv4 address has four numbers from 0 to 255".to_owned());
    }
    Ok(())
}

/// What a client on the same machine may call it.
pub(crate) fn localhost() -> Vec<Name> {
    vec![
        Name::Dns("localhost".to_owned()),
        Name::Ip(Ipv4Addr::LOCALHOST.into()),
        Name::Ip(Ipv6Addr::LOCALHOST.into()),
    ]
}

/// Each of them once, in their order.
pub(crate) fn distinct(names: &[Name]) -> Vec<Name> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(name) {
            distinct.push(name.clone());
        }
    }
    distinct
}

impl Name {
    pub(crate) fn is_wildcard(&self) -> bool {
        matches!(self, Name::Dns(name) if name.starts_with("*."))
    }

    /// OpenSSL and the browsers let `*.example` stand for nothing, as it could be a whole country.
    pub(crate) fn matches_nothing(&self) -> bool {
        matches!(self, Name::Dns(name) if name.starts_with("*.") && !name[2..].contains('.'))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(name) => f.write_str(name),
            Name::Ip(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names_wildcards_and_addresses() {
        for (text, name) in [
            ("localhost", "localhost"),
            ("App.Example", "app.example"),
            ("*.app.example", "*.app.example"),
            ("*.example", "*.example"),
            ("my_container", "my_container"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1password.example", "1password.example"),
            ("192.168.0.7", "192.168.0.7"),
            ("::1", "::1"),
            ("[2001:DB8:0::1]", "2001:db8::1"),
        ] {
            assert_eq!(parse(text).map(|n| n.to_string()), Ok(name.to_owned()));
        }
        assert!(matches!(parse("127.0.0.1"), Ok(Name::Ip(_))));
    }

    #[test]
    fn what_no_client_could_connect_to_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = format!("{}example", "abcdefgh.".repeat(28));
        for wrong in [
            "",
            ".",
            "*",
            "*.",
            "**.example",
            "a.*.example",
            "w*.example",
            "*.127.0.0.1",
            ".example",
            "example.",
            "a..b",
            "-a.example",
            "a-.example",
            "a b",
            "a,b",
            "DNS:localhost",
            "https://localhost/",
            "localhost:8443",
            "localhost/",
            "user@host",
            "bücher.example",
            "256.1.1.1",
            "1.2.3",
            "127.0.0.1:80",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "[::1]:80",
            "fe80::1%eth0",
            "a\0b",
            "a\nb",
            &long,
            &longer,
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_given_twice_is_there_once() {
        let names = ["::1", "Pi", "pi", "[::1]"].map(|n| parse(n).expect("a name"));
        assert_eq!(distinct(&names), [names[0].clone(), names[1].clone()]);
    }
}
