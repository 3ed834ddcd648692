//! `client_ip`: the address that a client has, as far as those say whose word is taken.
//!
//! Behind a proxy every connection comes from the proxy; it says in `X-Forwarded-For`, or in
//! `X-Real-IP`, from whom. Anybody can send these headers, so that only those of a trusted peer
//! count, and of them only what a trusted proxy has written itself. Comes in: the peer's address and
//! a request; goes out: an IP address, for logs and limits, never for a decision of who may do what.
//! Runs in the client's own thread. `Forwarded` (RFC 7239) is not read, `X-Forwarded-Proto` and
//! `-Host` are not needed.

use std::net::IpAddr;

use crate::address::Address;
use crate::http::request::Request;
use crate::network::{Network, masked};

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

#[cfg(test)]
mod tests;
