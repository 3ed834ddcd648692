//! `Address`: where one end of a connection is. And `HostPort`: how people write where it shall be.
//!
//! Nothing is resolved or connected here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// The address of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IP address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; none for a client's end, which has no name.
    Unix(Option<Arc<Path>>),
}

impl Address {
    /// The port of a TCP address.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    /// The IP address of a TCP address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Tcp(address) => Some(address.ip()),
            Address::Unix(_) => None,
        }
    }

    /// An IPv4 client of a socket for both families shows as `::ffff:127.0.0.1`; say it plainly.
    pub(crate) fn plain(address: SocketAddr) -> Address {
        Address::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

/// `127.0.0.1:8765`, `[::1]:8765` or `unix:/path`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Address::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// Who is connected, for log lines: `203.0.113.9 via 127.0.0.1:4711`, or the peer alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Via<'a> {
    pub(crate) client: Option<IpAddr>,
    pub(crate) peer: &'a Address,
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.peer.ip().map(|ip| ip.to_canonical());
        match self.client.filter(|&ip| Some(ip) != own) {
            Some(ip) => write!(f, "{ip} via {}", self.peer),
            None => self.peer.fmt(f),
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or `:port` in its two parts. Whether they are a host and
/// a port is for the caller to say, as a URL, a `Host` header and a listener take different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostPort<'a> {
    /// As it is written: an IPv6 address in brackets.
    pub(crate) name: &'a str,
    /// What stands behind the colon, if there is one.
    pub(crate) port: Option<&'a str>,
}

impl<'a> HostPort<'a> {
    /// Without brackets the first colon ends the host: an IPv6 address needs them.
    ///
    /// # Errors
    ///
    /// Why it cannot be split, as a half sentence.
    pub(crate) fn parse(text: &'a str) -> Result<HostPort<'a>, &'static str> {
        let end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']').ok_or("its [ has no ]")? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, rest) = text.split_at(end);
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':').ok_or("its port is not a number")?),
        };
        Ok(HostPort { name, port })
    }

    /// As resolvers and certificates want it: an IPv6 address without its brackets.
    pub(crate) fn host(self) -> &'a str {
        self.in_brackets().unwrap_or(self.name)
    }

    /// What stands in brackets, which should be an IPv6 address.
    pub(crate) fn in_brackets(self) -> Option<&'a str> {
        self.name.strip_prefix('[')?.strip_suffix(']')
    }

    /// The port as a number, in digits alone.
    pub(crate) fn number(self) -> Option<u16> {
        let digits = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
        self.port.filter(digits)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_shown_with_its_proxy() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let via = |client: Option<&str>, peer: &str| {
            let peer = match peer {
                "unix:" => Address::Unix(None),
                peer => Address::Tcp((ip(peer), 4711).into()),
            };
            let client = client.map(ip);
            Via {
                client,
                peer: &peer,
            }
            .to_string()
        };
        for (client, peer, shown) in [
            (
                Some("203.0.113.9"),
                "127.0.0.1",
                "203.0.113.9 via 127.0.0.1:4711",
            ),
            (Some("127.0.0.1"), "127.0.0.1", "127.0.0.1:4711"),
            (
                Some("127.0.0.1"),
                "::ffff:127.0.0.1",
                "[::ffff:127.0.0.1]:4711",
            ),
            (Some("203.0.113.9"), "unix:", "203.0.113.9 via unix:"),
            (None, "unix:", "unix:"),
        ] {
            assert_eq!(via(client, peer), shown);
        }
    }

    #[test]
    fn a_host_and_a_port_are_told_apart() {
        for (text, name, host, port, number) in [
            ("", "", "", None, None),
            ("h", "h", "h", None, None),
            ("h:", "h", "h", Some(""), None),
            ("h:80", "h", "h", Some("80"), Some(80)),
            (":80", "", "", Some("80"), Some(80)),
            ("h:+80", "h", "h", Some("+80"), None),
            ("h:65536", "h", "h", Some("65536"), None),
            ("a:b:80", "a", "a", Some("b:80"), None),
            ("[::1]", "[::1]", "::1", None, None),
            ("[::1]:80", "[::1]", "::1", Some("80"), Some(80)),
            ("[]:80", "[]", "", Some("80"), Some(80)),
        ] {
            let parsed = HostPort::parse(text).expect(text);
            assert_eq!((parsed.name, parsed.host()), (name, host), "{text}");
            assert_eq!((parsed.port, parsed.number()), (port, number), "{text}");
        }
        for wrong in ["[::1", "[::1]80", "[::1]]:80", "["] {
            assert!(HostPort::parse(wrong).is_err(), "{wrong}");
        }
    }
}
