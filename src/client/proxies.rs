//! `Proxies`: through which proxy, if any, each server is reached: as it was given, or as the variables
//! of the environment said when the program asked for them.

use std::net::IpAddr;

use super::proxy::Proxy;
use super::target::Target;
use crate::address::HostPort;
use crate::error::{Error, Result};
use crate::network::Network;

/// A proxy, or why its URL is none: told when it would be used.
type Given = std::result::Result<Proxy, String>;

/// By default no server is reached through a proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    /// For `ws://` and for `wss://`.
    plain: Option<Given>,
    secure: Option<Given>,
    exceptions: Vec<Exception>,
}

/// An entry of `no_proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// A host and what is below it, in lower case.
    Domain(String),
    Net(Network),
}

impl Proxies {
    /// This one for all servers.
    pub(super) fn one(url: &str) -> Proxies {
        let given = Some(Proxy::parse(url));
        Proxies {
            plain: given.clone(),
            secure: given,
            exceptions: Vec::new(),
        }
    }

    /// Those of the environment, whose variables are read by a function.
    pub(super) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let either = |name: &str| {
            // In a CGI program `HTTP_PROXY` is the header `Proxy` of any request (CVE-2016-5385).
            let forged = name == "http_proxy" && variable("REQUEST_METHOD").is_some();
            let upper = || variable(&name.to_ascii_uppercase()).filter(|_| !forged);
            // An empty one switches off what an outer shell has set in upper case.
            let value = variable(name).or_else(upper)?.trim().to_owned();
            Some(value).filter(|value| !value.is_empty())
        };
        let first = |names: &[&str]| {
            let url = names.iter().find_map(|name| either(name));
            url.map(|url| Proxy::parse(&url))
        };
        Proxies {
            plain: first(&["ws_proxy", "http_proxy", "https_proxy", "all_proxy"]),
            secure: first(&["wss_proxy", "https_proxy", "all_proxy"]),
            exceptions: exceptions(&either("no_proxy").unwrap_or_default()),
        }
    }

    /// The proxy for a target; none if it is to be reached directly.
    pub(super) fn choose(&self, target: &Target) -> Result<Option<&Proxy>> {
        let excepted = |exception: &Exception| exception.matches(&target.host, target.port);
        if self.exceptions.iter().any(excepted) {
            return Ok(None);
        }
        let given = if target.secure {
            &self.secure
        } else {
            &self.plain
        };
        let proxy = given.as_ref().map(|given| given.as_ref());
        proxy.transpose().map_err(Error::invalid)
    }
}

/// Entries stand between commas or blanks. One that cannot be read matches nothing.
fn exceptions(text: &str) -> Vec<Exception> {
    let entries = text.split(|c: char| c == ',' || c.is_whitespace());
    entries.filter_map(Exception::parse).collect()
}

impl Exception {
    fn parse(entry: &str) -> Option<Exception> {
        let all_ports = |hosts| Some(Exception { hosts, port: None });
        if entry == "*" {
            return all_ports(Hosts::All);
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let address = address.trim_matches(['[', ']']).parse().ok()?;
            return all_ports(Hosts::Net(Network::around(address, bits.parse().ok()?)?));
        }
        // Without brackets an IPv6 address has no port.
        let (host, port) = match entry.parse::<IpAddr>() {
            Ok(_) => (entry, None),
            Err(_) => {
                let parsed = HostPort::parse(entry).ok()?;
                let port = parsed.port.map(|_| parsed.number().ok_or(()));
                (parsed.host(), port.transpose().ok()?)
            }
        };
        let hosts = match host.parse::<IpAddr>() {
            Ok(address) => Hosts::Net(address.into()),
            Err(_) => {
                // `example.com`, `.example.com` and `*.example.com` mean the same, as with curl.
                let domain = host.strip_prefix('*').unwrap_or(host);
                let domain = domain.trim_matches('.').to_ascii_lowercase();
                if domain.is_empty() {
                    return None;
                }
                Hosts::Domain(domain)
            }
        };
        Some(Exception { hosts, port })
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        match &self.hosts {
            Hosts::All => true,
            Hosts::Domain(domain) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let above = host.strip_suffix(domain.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            // Names are not resolved for this: the proxy may be the only one who can.
            Hosts::Net(net) => host.parse().is_ok_and(|address| net.holds(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Proxies {
        Proxies::of_environment(|name| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    /// The name of the proxy.
    fn chosen(environment: &Proxies, url: &str) -> Option<String> {
        let target = Target::parse(url).expect(url);
        let proxy = environment.choose(&target).expect("a proxy")?;
        let url = proxy.to_string();
        let name = url.strip_prefix("http://")?.strip_suffix(":80")?;
        Some(name.to_owned())
    }

    #[test]
    fn the_closest_variable_counts() {
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Variables<'_>, Option<&str>, Option<&str>); 13] = [
            (&[], None, None),
            (&[("ws_proxy", "a"), ("http_proxy", "b")], Some("a"), None),
            (
                &[("wss_proxy", "a"), ("https_proxy", "b")],
                Some("b"),
                Some("a"),
            ),
            (
                &[("http_proxy", "a"), ("https_proxy", "b")],
                Some("a"),
                Some("b"),
            ),
            (&[("https_proxy", "b")], Some("b"), Some("b")),
            (&[("http_proxy", "a")], Some("a"), None),
            (&[("all_proxy", "a")], Some("a"), Some("a")),
            (
                &[("https_proxy", "b"), ("all_proxy", "a")],
                Some("b"),
                Some("b"),
            ),
            (
                &[("HTTP_PROXY", "a"), ("HTTPS_PROXY", "b")],
                Some("a"),
                Some("b"),
            ),
            (&[("http_proxy", "a"), ("HTTP_PROXY", "b")], Some("a"), None),
            // Empty switches off.
            (&[("http_proxy", ""), ("HTTP_PROXY", "b")], None, None),
            (
                &[("http_proxy", " "), ("ALL_PROXY", "b")],
                Some("b"),
                Some("b"),
            ),
            (
                &[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")],
                None,
                None,
            ),
        ];
        for (variables, ws, wss) in cases {
            let environment = environment(variables);
            assert_eq!(
                chosen(&environment, "ws://h").as_deref(),
                ws,
                "{variables:?}"
            );
            assert_eq!(
                chosen(&environment, "wss://h").as_deref(),
                wss,
                "{variables:?}"
            );
        }
        // In lower case it cannot come from a request.
        let cgi = [("http_proxy", "a"), ("REQUEST_METHOD", "GET")];
        assert_eq!(chosen(&environment(&cgi), "ws://h").as_deref(), Some("a"));
    }

    #[test]
    fn no_proxy_names_hosts_nets_and_ports() {
        let cases = [
            ("*", "ws://h", true),
            ("h", "ws://h", true),
            ("H", "ws://h.", true),
            ("h.", "ws://H", true),
            ("h", "ws://a.h", true),
            (".h", "ws://a.h", true),
            (".h", "ws://h", true),
            ("*.h", "ws://a.b.h", true),
            ("h", "ws://ah", false),
            (".h", "ws://ah", false),
            ("a.h", "ws://h", false),
            ("x, h ,y", "ws://h", true),
            ("x y\th", "ws://h", true),
            ("h:80", "ws://h", true),
            ("h:443", "wss://h", true),
            ("h:81", "ws://h", false),
            ("h:x", "ws://h", false),
            ("127.0.0.1", "ws://127.0.0.1:8765", true),
            ("127.0.0.1:8765", "ws://127.0.0.1:8765", true),
            ("127.0.0.1:8766", "ws://127.0.0.1:8765", false),
            ("127.0.0.1", "ws://localhost", false),
            ("127.0.0.1", "ws://127.0.0.11", false),
            ("10.0.0.0/8", "ws://10.255.0.1", true),
            ("10.0.0.0/8", "ws://11.0.0.1", false),
            ("10.0.0.0/8", "ws://h10.0.0.1", false),
            ("10.1.2.3/31", "ws://10.1.2.2", true),
            ("10.1.2.3/32", "ws://10.1.2.2", false),
            ("0.0.0.0/0", "ws://9.9.9.9", true),
            ("0.0.0.0/0", "ws://[2001:db8::1]", false),
            ("10.0.0.0/33", "ws://10.0.0.0", false),
            ("::1", "ws://[::1]", true),
            ("[::1]", "ws://[::1]:8765", true),
            ("[::1]:8765", "ws://[::1]:8765", true),
            ("[::1]:8766", "ws://[::1]:8765", false),
            ("::ffff:127.0.0.1", "ws://127.0.0.1", true),
            ("127.0.0.0/8", "ws://[::ffff:127.0.0.1]", true),
            ("2001:db8::/32", "ws://[2001:db8:1::1]", true),
            ("2001:db8::/32", "ws://[2001:db9::1]", false),
            ("::/0", "ws://[::1]", true),
            ("", "ws://h", false),
            (",,", "ws://h", false),
            (".", "ws://h", false),
        ];
        for (no_proxy, url, direct) in cases {
            let environment = environment(&[("all_proxy", "p"), ("no_proxy", no_proxy)]);
            let proxy = chosen(&environment, url);
            assert_eq!(proxy.is_none(), direct, "no_proxy={no_proxy} for {url}");
        }
        let upper = environment(&[("all_proxy", "p"), ("NO_PROXY", "h")]);
        assert_eq!(chosen(&upper, "ws://h"), None);
    }

    #[test]
    fn the_environment_shows_no_password() {
        let environment = environment(&[("all_proxy", "http://ada:secret@p")]);
        let shown = format!("{environment:?}");
        assert!(
            shown.contains("http://p:80") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
