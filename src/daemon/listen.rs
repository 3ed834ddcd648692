//! `Listen`: an address to serve at, as `--listen` and the names of sockets write it. Text in, values
//! out; nothing is opened here.

use crate::apps::App;

/// The tutorial's ports.
pub(super) const DEFAULT: &str = "hello=127.0.0.1:8765,clock=127.0.0.1:5678,counter=127.0.0.1:6789";

/// An address, and the application that all of its paths belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(super) security: Security,
    pub(super) app: Option<App>,
    pub(super) address: String,
}

/// Whether a listener speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// If there is a certificate.
    Default,
    Tls,
    Plain,
}

impl Security {
    /// What stands in front of an address or a name, and the rest.
    pub(super) fn parse(text: &str) -> (Security, &str) {
        if let Some(rest) = text.strip_prefix("tls+") {
            (Security::Tls, rest)
        } else if let Some(rest) = text.strip_prefix("plain+") {
            (Security::Plain, rest)
        } else {
            (Security::Default, text)
        }
    }
}

impl Listen {
    pub(super) fn parse(text: &str) -> Result<Listen, String> {
        let (security, text) = Security::parse(text);
        let (app, address) = match text.split_once('=') {
            // A path of a Unix socket may have one, too.
            Some((name, address)) if !name.contains([':', '/']) => {
                let app = App::named(name).ok_or("APP is hello, clock or counter")?;
                (Some(app), address)
            }
            _ => (None, text),
        };
        Ok(Listen {
            security,
            app,
            address: self::address(address)?,
        })
    }
}

/// The address, if it looks like one.
pub(super) fn address(address: &str) -> Result<String, String> {
    if !address.starts_with("unix:/") {
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        let in_brackets = host.starts_with('[') && host.ends_with(']');
        if port.parse::<u16>().is_err() || host.contains(':') && !in_brackets || host.contains('+')
        {
            return Err("ADDR is HOST:PORT, [V6]:PORT, :PORT or unix:/path".to_owned());
        }
    }
    Ok(address.to_owned())
}

/// Whether the system chooses the port.
pub(super) fn is_open(address: &str) -> bool {
    address.ends_with(":0") && !address.starts_with("unix:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_may_belong_to_an_application() {
        let parsed = |text: &str| Listen::parse(text).map(|l| (l.app, l.address));
        assert_eq!(parsed(":80"), Ok((None, ":80".to_owned())));
        assert_eq!(
            parsed("clock=[::1]:0"),
            Ok((Some(App::Clock), "[::1]:0".to_owned()))
        );
        assert_eq!(parsed("unix:/a=b"), Ok((None, "unix:/a=b".to_owned())));
        assert_eq!(
            parsed("hello=unix:/s"),
            Ok((Some(App::Hello), "unix:/s".to_owned()))
        );
        for wrong in [
            "",
            "80",
            "chat=:80",
            "counter=",
            "host:",
            "host:99999",
            "unix:relative",
            "::1",
            "::1:80",
        ] {
            assert!(Listen::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_listener_may_be_plain_beside_others_with_tls() {
        let parsed = |text: &str| Listen::parse(text).map(|l| (l.security, l.app, l.address));
        let counter = |security| Ok((security, Some(App::Counter), ":80".to_owned()));
        assert_eq!(parsed("counter=:80"), counter(Security::Default));
        assert_eq!(parsed("tls+counter=:80"), counter(Security::Tls));
        assert_eq!(parsed("plain+counter=:80"), counter(Security::Plain));
        for wrong in ["tls+", "tls+tls+:80", "plain+counter=", "ssl+:80"] {
            assert!(Listen::parse(wrong).is_err(), "{wrong}");
        }
    }
}
