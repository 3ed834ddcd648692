//! `Network`: whose word about a client's address is taken, and that address.
//!
//! Behind a proxy every connection comes from the proxy; it says in `X-Forwarded-For`, or in
//! `X-Real-IP`, from whom. Anybody can send these headers, so that only those of a trusted peer
//! count, and of them only what a trusted proxy has written itself. Comes in: the peer's address and
//! a request; goes out: an IP address, for logs and limits, never for a decision of who may do what.
//! Runs in the client's own thread. `Forwarded` (RFC 7239) is not read, `X-Forwarded-Proto` and
//! `-Host` are not needed.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::address::Address;
use crate::error::Error;
use crate::http::request::Request;

/// A block of IP addresses, or all peers of Unix sockets: who is trusted by
/// [`Builder::trusted_proxies`](crate::Builder::trusted_proxies).
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
    fn holds(self, ip: IpAddr) -> bool {
        match self.0 {
            Kind::Ip(base, len) => base.is_ipv4() == ip.is_ipv4() && masked(ip, len) == base,
            Kind::Unix => false,
        }
    }

    fn has(self, peer: &Address) -> bool {
        match peer {
            Address::Tcp(address) => self.holds(address.ip().to_canonical()),
            Address::Unix(_) => self.0 == Kind::Unix,
        }
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
        let invalid = |why: String| Error::Invalid(why);
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| {
            invalid(format!(
                "{text} is no network: write an IP address such as 127.0.0.1, a network such as \
                 10.0.0.0/8, or unix:"
            ))
        })?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let is_plain = |len: &str| !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit());
        let len = match len {
            None => bits,
            Some(len) => len
                .parse::<u8>()
                .ok()
                .filter(|&n| n <= bits && is_plain(len))
                .ok_or_else(|| {
                    invalid(format!(
                        "{text} is no network: behind the / stands a number of bits, {bits} at most"
                    ))
                })?,
        };
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`, as peers are compared in that form.
        let (ip, len) = match ip.to_canonical() {
            v4 @ IpAddr::V4(_) if ip.is_ipv6() && len >= 96 => (v4, len - 96),
            _ => (ip, len),
        };
        let base = masked(ip, len);
        if base != ip {
            return Err(invalid(format!(
                "{text} is an address within a network: write {base}/{len} for all of it, or {ip}"
            )));
        }
        Ok(Network(Kind::Ip(base, len)))
    }
}

/// As it is written.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Ip(ip, len) if len == if ip.is_ipv4() { 32 } else { 128 } => ip.fmt(f),
            Kind::Ip(ip, len) => write!(f, "{ip}/{len}"),
            Kind::Unix => f.write_str("unix:"),
        }
    }
}

/// The first bits of an address, the others 0.
fn masked(ip: IpAddr, len: u8) -> IpAddr {
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

/// What counts as one address in limits: of IPv6 the first 64 bits, as each customer of a provider
/// has at least that many addresses at will.
pub(crate) fn household(ip: IpAddr) -> IpAddr {
    masked(ip, if ip.is_ipv4() { 32 } else { 64 })
}

/// The address that a request comes from: the peer's, or what a trusted peer says of it. `None` is a
/// peer of a Unix socket of which nothing is known.
pub(crate) fn client_ip(trusted: &[Network], peer: &Address, request: &Request) -> Option<IpAddr> {
    let own = peer.ip().map(|ip| ip.to_canonical());
    if !trusted.iter().any(|network| network.has(peer)) {
        return own;
    }
    told(trusted, request).or(own)
}

/// What the headers of a trusted peer say. Each proxy appends whom it has the request from, so that
/// the list is as true from the right as proxies are trusted: left of the first one that is not
/// stands what that one claims, and it may claim anything.
fn told(trusted: &[Network], request: &Request) -> Option<IpAddr> {
    // Several lines are one list (RFC 9110, section 5.3), whose empty elements do not count
    // (section 5.6.1). A head is bounded, so this is, too.
    let lines: Vec<&str> = request.all("X-Forwarded-For").collect();
    let entries = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let entries = entries.map(|entry| entry.trim_matches([' ', '\t']));
    for entry in entries.filter(|entry| !entry.is_empty()) {
        // With a port, in brackets, `unknown`, a name: nobody knows what stands left of it.
        let ip = parse(entry)?;
        if !trusted.iter().any(|network| network.holds(ip)) {
            return Some(ip);
        }
    }
    // A proxy that says it in this way replaces what was sent, so that there is one.
    request.single("X-Real-IP").ok().flatten().and_then(parse)
}

fn parse(text: &str) -> Option<IpAddr> {
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

/// Who is connected, for log lines: `203.0.113.9 via 127.0.0.1:4711`, or the peer alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) peer: &'a Address,
    pub(crate) client: Option<IpAddr>,
}

impl fmt::Display for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.peer.ip().map(|ip| ip.to_canonical());
        match self.client.filter(|&ip| Some(ip) != own) {
            Some(ip) => write!(f, "{ip} via {}", self.peer),
            None => self.peer.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
