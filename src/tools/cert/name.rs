//! `Name`: what a certificate is for. Text in, a DNS name or an address out; whether a client would
//! take such a name is for OpenSSL and the client.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A DNS name in lower case, with `*.` in front where it stands for all of a zone, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Dns(String),
    Ip(IpAddr),
}

impl Name {
    pub(super) fn parse(text: &str) -> Result<Name, String> {
        let in_brackets = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Some(address) = in_brackets {
            let address: Result<Ipv6Addr, _> = address.parse();
            return address
                .map(|ip| Name::Ip(ip.into()))
                .map_err(|_| "between brackets stands an IPv6 address".to_owned());
        }
        if let Ok(ip) = text.parse() {
            return Ok(Name::Ip(ip));
        }
        if text.contains(['/', ':']) {
            return Err("write the host alone, without scheme, port and path".to_owned());
        }
        if !text.is_ascii() {
            return Err("write it as DNS does, in ASCII: xn--...".to_owned());
        }
        // Underscores are no host name, but people's containers have them and clients take them.
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let mut labels = text.strip_prefix("*.").unwrap_or(text).split('.');
        match labels.all(|label| !label.is_empty() && label.chars().all(fine)) {
            true => Ok(Name::Dns(text.to_ascii_lowercase())),
            false => Err("a NAME is like localhost, app.example, *.app.example or ::1".to_owned()),
        }
    }

    /// What a client on the same machine may call it.
    pub(super) fn localhost() -> Vec<Name> {
        vec![
            Name::Dns("localhost".to_owned()),
            Name::Ip(Ipv4Addr::LOCALHOST.into()),
            Name::Ip(Ipv6Addr::LOCALHOST.into()),
        ]
    }

    /// What stands behind `*.`, if it is a wildcard.
    pub(super) fn zone(&self) -> Option<&str> {
        match self {
            Name::Dns(name) => name.strip_prefix("*."),
            Name::Ip(_) => None,
        }
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
            ("192.168.0.7", "192.168.0.7"),
            ("::1", "::1"),
            ("[2001:DB8:0::1]", "2001:db8::1"),
        ] {
            assert_eq!(
                Name::parse(text).map(|n| n.to_string()),
                Ok(name.to_owned())
            );
        }
        assert!(matches!(Name::parse("127.0.0.1"), Ok(Name::Ip(_))));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in [
            "",
            ".",
            "*",
            "*.",
            "**.example",
            "a.*.example",
            "w*.example",
            ".example",
            "example.",
            "a..b",
            "a b",
            "a,b",
            "DNS:localhost",
            "https://localhost/",
            "localhost:8443",
            "localhost/",
            "user@host",
            "bücher.example",
            "127.0.0.1:80",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "[::1]:80",
            "fe80::1%eth0",
            "a\0b",
            "a\nb",
        ] {
            assert!(Name::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
