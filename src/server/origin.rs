//! Origins and hosts, as browsers write them in `Origin` and `Host`, compared exactly: scheme, host
//! and port (RFC 6454, section 5). Text only, nothing is resolved.

use crate::address::HostPort;

/// As browsers write it: digits, the first of them no zero.
fn parse_port(digits: &str) -> Option<u16> {
    let port = digits.parse().ok()?;
    (digits == u16::to_string(&port)).then_some(port)
}

/// Scheme, host and port of an origin, the port made explicit. Nothing else may stand in it.
fn split_origin(origin: &str) -> Option<(String, String, u16)> {
    let (scheme, authority) = origin.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => 0,
    };
    if authority.is_empty() || authority.contains(['/', '?', '#', '@', '\\', ' ']) {
        return None;
    }
    let HostPort { name, port } = HostPort::parse(authority).ok()?;
    let port = port.map_or(Some(default), parse_port)?;
    Some((scheme, name.to_ascii_lowercase(), port))
}

pub(crate) fn is_same_origin(a: &str, b: &str) -> bool {
    match (split_origin(a), split_origin(b)) {
        (Some(a), Some(b)) => a == b,
        // `null`, or an origin of a scheme without hosts.
        _ => a == b,
    }
}

/// Whether a page comes from the host and port that it now connects to. The scheme is not known
/// here: a proxy may have taken TLS off.
pub(crate) fn is_same_host(origin: &str, host: Option<&str>) -> bool {
    let Some((_, name, port)) = split_origin(origin) else {
        return false;
    };
    let Ok(host) = HostPort::parse(host.unwrap_or_default()) else {
        return false;
    };
    let same_port = match host.port {
        Some(digits) => parse_port(digits) == Some(port),
        None => port == 80 || port == 443,
    };
    same_port && name.eq_ignore_ascii_case(host.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_host_is_host_and_port() {
        let same = is_same_host;
        assert!(same("http://localhost:8765", Some("localhost:8765")));
        assert!(same("https://APP.example", Some("app.example")));
        assert!(same("https://app.example", Some("app.example:443")));
        assert!(same("http://[::1]:8765", Some("[::1]:8765")));
        for origin in [
            "",
            "https://app.example.evil",
            "https://app.exampl",
            "https://app.example:444",
            "https://app.example@evil",
            "https://evil@app.example",
            "https://app.example/",
            "https://",
            "app.example",
        ] {
            assert!(!same(origin, Some("app.example")), "{origin}");
        }
        assert!(!same("http://localhost", None));
        assert!(!same("http://", None) && !same("http://", Some("")));
    }

    #[test]
    fn a_listed_origin_is_scheme_host_and_port() {
        assert!(is_same_origin("https://app.example", "HTTPS://APP.EXAMPLE"));
        assert!(is_same_origin(
            "https://app.example",
            "https://app.example:443"
        ));
        assert!(is_same_origin("null", "null"));
        for origin in [
            "http://app.example",
            "https://app.example:444",
            "https://app.example.evil",
            "null",
            "",
        ] {
            assert!(!is_same_origin("https://app.example", origin), "{origin}");
        }
    }
}
