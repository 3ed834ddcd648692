//! `Client` and `ClientBuilder`: the description of a connection, which may be used again and again.
//!
//! Nothing is opened here. What cannot be meant is told when it connects.

use std::fmt;

use super::login::Login;
use super::offer::Offer;
use super::proxies::Proxies;
use crate::config::{Config, DEFAULT_CLIENT_MAX_SIZE, connection_options};
#[cfg(feature = "tls")]
use crate::tls::Identity;
use crate::tls::Trust;

const MAX_REDIRECTS: usize = 10;

/// The client end: [`Client::builder`] describes connections before they are made.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Starts the description of a connection.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .max_size(16 * 1024 * 1024)
    ///     .ping_interval(None)
    ///     .connect("ws://localhost:8765/echo")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn builder() -> ClientBuilder {
        let config = Config {
            max_size: DEFAULT_CLIENT_MAX_SIZE,
            ..Config::default()
        };
        ClientBuilder {
            config,
            offer: Offer::default(),
            login: None,
            proxies: Proxies::default(),
            max_redirects: MAX_REDIRECTS,
            trust: Trust::default(),
        }
    }
}

/// Describes a client's connection before it is made; it may be used again, and from several
/// threads. Neither its `Debug` nor an error or a log line of it shows a password.
#[derive(Clone)]
#[must_use = "a description does nothing until it connects"]
pub struct ClientBuilder {
    pub(super) config: Config,
    pub(super) offer: Offer,
    pub(super) login: Option<Login>,
    pub(super) proxies: Proxies,
    pub(super) max_redirects: usize,
    pub(super) trust: Trust,
}

impl ClientBuilder {
    /// Adds a header to the request. Those of the handshake itself cannot be replaced, which
    /// [`connect`](ClientBuilder::connect) tells.
    ///
    /// `Authorization`, `Cookie` and `Proxy-Authorization` are for the server that the URL names: a
    /// redirect to another scheme, host or port is followed without them.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .header("Authorization", "Bearer e4d909c2")
    ///     .connect("ws://localhost:8765")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.offer.headers.push((name.into(), value.into()));
        self
    }

    /// The web page's origin that the request shall come from, `https://app.example`: servers that
    /// serve browsers look at it. Defaults to none, as for a program.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .origin("https://app.example")
    ///     .connect("ws://localhost:8765")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.offer.origin = Some(origin.into());
        self
    }

    /// The subprotocols offered to the server, the best first; it chooses one of them, which is
    /// [`Connection::subprotocol`](crate::Connection::subprotocol), or none. A server that chooses another one is an error.
    /// Defaults to none.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .subprotocols(["chat.v2", "chat.v1"])
    ///     .connect("ws://localhost:8765")?;
    /// assert!(ws.subprotocol().is_some(), "this server does not chat");
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.offer.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Who we are, by HTTP's Basic authentication (RFC 7617), instead of the name and the password
    /// that the URL has: `ws://NAME:PASSWORD@HOST/`, percent-encoded. A header `Authorization` given
    /// by [`header`](ClientBuilder::header) counts before both. Over `ws://` everybody on the way
    /// can read it.
    ///
    /// A redirect to another scheme, host or port is followed without it. Defaults to none.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .basic_auth("ada", "open sesame")
    ///     .connect("ws://localhost:8765")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn basic_auth(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some(Login::new(name, password));
        self
    }

    /// The URL of a proxy that all servers are reached through, `None` for the direct way: an HTTP
    /// proxy that knows CONNECT, `http://HOST:PORT` or over TLS `https://HOST:PORT`; or a SOCKS 5
    /// proxy, `socks5h://HOST:PORT`, which resolves the server's name itself, or
    /// `socks5://HOST:PORT`, for which it is resolved here. With a login as
    /// `http://NAME:PASSWORD@HOST:PORT`, percent-encoded. Ports default to 80, 443 and 1080.
    ///
    /// Defaults to none.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .proxy("socks5h://localhost:9050")
    ///     .connect("ws://server.example")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn proxy<'a>(mut self, url: impl Into<Option<&'a str>>) -> Self {
        self.proxies = url.into().map(Proxies::one).unwrap_or_default();
        self
    }

    /// Reads the proxies from the environment, now; of itself the library reads none.
    ///
    /// For `wss://` it is the first of `wss_proxy`, `https_proxy` and `all_proxy`, for `ws://` of
    /// `ws_proxy`, `http_proxy`, `https_proxy` and `all_proxy`, each in lower case or else in upper
    /// case; an empty one in lower case switches both off. `HTTP_PROXY` in upper case does not count
    /// in a CGI program (where `REQUEST_METHOD` is set), as it may come from a request. The values
    /// are URLs as for [`proxy`](ClientBuilder::proxy); without a scheme, `http://` is meant.
    ///
    /// `no_proxy` lists what is reached directly, separated by commas: hosts, each with what is
    /// below it (`example.com` or `.example.com`), addresses, nets (`10.0.0.0/8`), each of which may
    /// have a `:PORT`, or `*` for all. A redirect is looked up again.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .proxy_from_env()
    ///     .connect("ws://server.example")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn proxy_from_env(mut self) -> Self {
        self.proxies = Proxies::of_environment(|name| std::env::var(name).ok());
        self
    }

    /// How many redirects are followed, one after the other; with 0 a redirect is
    /// [`Error::Refused`](crate::Error::Refused), as any other answer. Never from `wss://` to `ws://`. Defaults to 10.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .max_redirects(0)
    ///     .connect("ws://localhost:8765")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn max_redirects(mut self, redirects: usize) -> Self {
        self.max_redirects = redirects;
        self
    }

    /// The certificates to trust, in PEM, instead of the system's: those of issuers, or the
    /// server's own if it is self-signed. Concerns `wss://` and a proxy at `https://`. Defaults to
    /// the system's.
    ///
    /// ```no_run
    /// let ws = plainws::Client::builder()
    ///     .ca(std::fs::read("localhost.pem")?)
    ///     .connect("wss://localhost:8443")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust.set_ca(pem.into());
        self
    }

    /// The certificate to show to servers that ask for one. Defaults to none.
    ///
    /// ```no_run
    /// let me = plainws::Identity::from_pem_file("me.pem")?;
    /// let ws = plainws::Client::builder()
    ///     .identity(&me)
    ///     .connect("wss://server.example")?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.trust.set_identity(identity.clone());
        self
    }

    /// Accepts any certificate of a server, of another host and expired ones, too: whoever
    /// stands in between can read and change everything. Never do it but to look at a server of
    /// your own.
    #[cfg(feature = "tls")]
    pub fn insecure(mut self) -> Self {
        self.trust.set_insecure();
        self
    }

    connection_options!("1 MiB");
}

/// Without passwords: of headers, whose values may be any secret, only the names.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.offer.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("ClientBuilder")
            .field("config", &self.config)
            .field("headers", &names)
            .field("origin", &self.offer.origin)
            .field("subprotocols", &self.offer.subprotocols)
            .field("basic_auth", &self.login)
            .field("proxies", &self.proxies)
            .field("max_redirects", &self.max_redirects)
            .field("trust", &self.trust)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_shows_no_secret() {
        let builder = Client::builder()
            .header("Authorization", "secret")
            .header("X-Key", "secret")
            .basic_auth("ada", "secret")
            .proxy("http://ada:secret@proxy.example");
        for shown in [
            format!("{builder:?}"),
            format!("{:?}", builder.retry("ws://ada:secret@h")),
        ] {
            assert!(!shown.contains("secret"), "{shown}");
            assert!(shown.contains("http://proxy.example:80"), "{shown}");
        }
    }
}
