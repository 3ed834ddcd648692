//! `Network`: a block of IP addresses, or all Unix sockets, as text and as a rule.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::address::Address;
use crate::error::Error;

/// A block of IP addresses, or all peers of Unix sockets: who is trusted by
/// [`ServerBuilder::trusted_proxies`](crate::ServerBuilder::trusted_proxies).
///
/// Written as `127.0.0.1`, `10.0.0.0/8`, `2001:db8::/32` or `unix:`. Any thread may use it.
///
/// ```
/// let proxies: plainws::Network = "10.0.0.0/8".parse()?;
/// assert_eq!(proxies.to_string(), "10.0.0.0/8");
/// let mistaken = "10.0.0.1/8".parse::<plainws::Network>();
/// assert_eq!(
///     mistaken.unwrap_err().to_string(),
///     "10.0.0.1/8 is an address within a network: write 10.0.0.0/8 for all of it, or 10.0.0.1",
/// );
/// # Ok::<(), plainws::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The address has no bit set beyond the length.
    Ip(IpAddr, u8),
    Unix,
}

impl Network {
    /// The block of addresses that have so many first bits in common with this one; none if it has
    /// not so many.
    pub(crate) fn around(ip: IpAddr, len: u8) -> Option<Network> {
        if len > width(ip) {
            return None;
        }
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`, as peers are compared in that form.
        let (ip, len) = match ip.to_canonical() {
            v4 @ IpAddr::V4(_) if ip.is_ipv6() && len >= 96 => (v4, len - 96),
            _ => (ip, len),
        };
        Some(Network(Kind::Ip(masked(ip, len), len)))
    }

    pub(crate) fn holds(self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        match self.0 {
            Kind::Ip(base, len) => base.is_ipv4() == ip.is_ipv4() && masked(ip, len) == base,
            Kind::Unix => false,
        }
    }

    pub(crate) fn has(self, peer: &Address) -> bool {
        match peer {
            Address::Tcp(address) => self.holds(address.ip()),
            Address::Unix(_) => self.0 == Kind::Unix,
        }
    }
}

/// This address alone.
impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Network {
        let ip = ip.to_canonical();
        Network(Kind::Ip(ip, width(ip)))
    }
}

impl FromStr for Network {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Invalid`] if the text is neither an address nor a network, says which is meant.
    fn from_str(text: &str) -> Result<Network, Error> {
        if text == "unix:" {
            return Ok(Network(Kind::Unix));
        }
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| {
            Error::invalid(format!(
                "{text} is no network: write an IP address such as 127.0.0.1, a network such as \
                 10.0.0.0/8, or unix:"
            ))
        })?;
        let digits = |len: &str| len.bytes().all(|byte| byte.is_ascii_digit());
        let network = match len {
            None => Some(Network::from(ip)),
            Some(len) if digits(len) => len.parse().ok().and_then(|len| Network::around(ip, len)),
            Some(_) => None,
        };
        let network = network.ok_or_else(|| {
            let bits = width(ip);
            Error::invalid(format!(
                "{text} is no network: behind the / stands a number of bits, {bits} at most"
            ))
        })?;
        let ip = ip.to_canonical();
        match network.0 {
            Kind::Ip(base, _) if base != ip => Err(Error::invalid(format!(
                "{text} is an address within a network: write {network} for all of it, or {ip}"
            ))),
            _ => Ok(network),
        }
    }
}

/// As it is written.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Ip(ip, len) if len == width(ip) => ip.fmt(f),
            Kind::Ip(ip, len) => write!(f, "{ip}/{len}"),
            Kind::Unix => f.write_str("unix:"),
        }
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The first bits of an address, the others 0.
pub(crate) fn masked(ip: IpAddr, len: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks_are_read_and_written() {
        for text in [
            "127.0.0.1",
            "10.0.0.0/8",
            "10.1.2.3",
            "0.0.0.0/0",
            "::/0",
            "::1",
            "2001:db8::/32",
            "192.168.1.128/25",
            "unix:",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("10.1.2.3/32"), network("10.1.2.3"));
        assert_eq!(network("::1/128"), network("::1"));
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:127.0.0.1"), network("127.0.0.1"));
        for wrong in [
            "",
            "localhost",
            "127.0.0.1:80",
            "[::1]",
            "127.0.0.1/",
            "127.0.0.1/33",
            "127.0.0.1/+8",
            "127.0.0.1/256",
            "::1/129",
            "::1/-1",
            "10.0.0.1/8",
            "2001:db8::1/32",
            "127.1",
            "010.0.0.1",
            " 127.0.0.1",
            "10.0.0.0/8/8",
            "fe80::1%eth0",
            "unix",
            "unix:/run/nginx.sock",
        ] {
            let error = wrong.parse::<Network>().expect_err(wrong).to_string();
            assert!(error.contains("write") || error.contains("bits"), "{error}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let rows = [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "9.255.255.255", false),
            ("192.168.1.128/25", "192.168.1.127", false),
            ("192.168.1.128/25", "192.168.1.128", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::9", false),
            ("::/0", "2001:db8::9", true),
            ("::/0", "203.0.113.9", false),
            ("2001:db8::/33", "2001:db8:7fff::", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("127.0.0.1", "127.0.0.2", false),
            ("unix:", "127.0.0.1", false),
        ];
        for (text, address, held) in rows {
            assert_eq!(network(text).holds(ip(address)), held, "{text} {address}");
        }
        // As a listener of both families shows an IPv4 peer.
        assert!(network("10.0.0.0/8").has(&Address::Tcp((ip("::ffff:10.0.0.1"), 1).into())));
        assert!(network("unix:").has(&Address::Unix(None)));
        assert!(!network("0.0.0.0/0").has(&Address::Unix(None)));
    }
}
