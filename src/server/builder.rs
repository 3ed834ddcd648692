//! `ServerBuilder`: describes a server, binds its listeners and starts its accept loops.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::caretaker::Caretaker;
use crate::config::{Config, connection_options};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::http::request::Request;
use crate::http::subprotocols;
use crate::lock::Lock;
use crate::network::Network;
use crate::server::accept::Acceptor;
use crate::server::answer::Answer;
use crate::server::endpoint::Endpoint;
use crate::server::metrics::Counters;
use crate::server::pulse::Pulse;
use crate::server::roster::Roster;
use crate::server::rules::Rules;
use crate::server::server::Server;
use crate::server::shared::Shared;
use crate::server::threads::Threads;
use crate::tls::Tls;

/// A thousand live pages on a small host.
const DEFAULT_MAX_CONNECTIONS: usize = 1000;
/// Threads reserve their stack as address space, of which 32-bit hosts have little; a handler
/// that recurses deeply can ask for more.
const DEFAULT_STACK_SIZE: usize = 256 * 1024;

/// Describes a server before it starts.
#[must_use = "a description does nothing until it is started"]
pub struct ServerBuilder {
    config: Config,
    rules: Rules,
    endpoints: Vec<(Endpoint, Option<Tls>)>,
    max_connections: usize,
    max_per_address: Option<usize>,
    stack_size: usize,
}

impl Server {
    /// Starts the description of a server whose connections are served by `handler`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let server = plainws::Server::builder(|ws| ws.send("hi"))
    ///     .listen("localhost:0")
    ///     .max_connections(10)
    ///     .start()?;
    /// let ws = plainws::connect(&format!("ws://{}", server.local_addr()))?;
    /// assert_eq!(ws.recv()?.to_string(), "hi");
    /// assert!(server.shutdown(Duration::from_secs(5)));
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn builder<F>(handler: F) -> ServerBuilder
    where
        F: Fn(&Connection) -> Result<()> + Send + Sync + 'static,
    {
        ServerBuilder {
            config: Config::default(),
            rules: Rules {
                handler: Arc::new(handler),
                route: None,
                origins: None,
                hosts: None,
                subprotocols: Vec::new(),
                trusted_proxies: Vec::new(),
            },
            endpoints: Vec::new(),
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_per_address: None,
            stack_size: DEFAULT_STACK_SIZE,
        }
    }
}

impl ServerBuilder {
    /// Adds an address to listen on, or a bound socket to take over; may be repeated. An address
    /// is written as for [`Listener::bind`](crate::Listener::bind).
    pub fn listen(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoints.push((endpoint.into(), None));
        self
    }

    /// Adds an address to listen on with TLS: for `wss://` and `https://`. Plain ones may stand
    /// beside it; plain HTTP that comes here gets a 400 that says so.
    #[cfg(feature = "tls")]
    pub fn listen_tls(mut self, endpoint: impl Into<Endpoint>, tls: &Tls) -> Self {
        self.endpoints.push((endpoint.into(), Some(tls.clone())));
        self
    }

    /// Asks `route` first, for every request: it answers with a page or a refusal, or chooses a
    /// handler. `None` leaves the request to the server's handler. It runs in the client's
    /// thread and must not block.
    ///
    /// ```
    /// use plainws::{Answer, Response, Server};
    ///
    /// let server = Server::builder(|ws| ws.send("hi"))
    ///     .route(|request| match request.path() {
    ///         "/healthz" => Some(Answer::from(Response::text(200, "ok"))),
    ///         "/echo" => Some(Answer::upgrade(|ws| ws.send(ws.recv()?))),
    ///         _ => None,
    ///     })
    ///     .listen("localhost:0")
    ///     .start()?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn route<F>(mut self, route: F) -> Self
    where
        F: Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    {
        self.rules.route = Some(Box::new(route));
        self
    }

    /// The origins whose pages may connect, exact in scheme, host and port, such as
    /// `https://app.example`; `null` is a page from disk, `none` a client that is no browser.
    /// Others get 403. Defaults to none, `null`, and the host that the request is addressed to;
    /// note that any site can make a browser say `null`, from within a sandboxed frame.
    pub fn origins<S: Into<String>>(mut self, origins: impl IntoIterator<Item = S>) -> Self {
        self.rules.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// The names, with or without a port, that requests may be addressed to in their `Host`;
    /// others get 403. Protects a server in a private network from pages of the Internet whose
    /// name is made to resolve to it. Defaults to any.
    pub fn hosts<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.rules.hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// The subprotocols that the server speaks, the best first (RFC 6455, section 1.9): the first
    /// one that a client offers is chosen, and told by
    /// [`Connection::subprotocol`](Connection::subprotocol). A client that offers none of them is
    /// connected all the same. Defaults to none.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.rules.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// The proxies in front whose word about a client's address is taken, for logs and for
    /// [`max_per_address`](ServerBuilder::max_per_address): single addresses, networks, and `unix:` for
    /// whoever connects to a Unix socket. The client is then the right-most address of
    /// `X-Forwarded-For` that is not trusted itself; where there is none, that of `X-Real-IP`; else,
    /// also if an entry in between is no plain IP address, the proxy. Other peers' headers do not
    /// count. See [`Connection::client_ip`]. Defaults to none.
    pub fn trusted_proxies(mut self, proxies: impl IntoIterator<Item = Network>) -> Self {
        self.rules.trusted_proxies = proxies.into_iter().collect();
        self
    }

    /// How many connections may be open at once; more get 503. Defaults to 1000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How many connections one address may have open at once; more get 503. Clients that are not
    /// connected, as they still open or only get a page, do not count, but there may be 16 of them
    /// besides: sockets that say nothing are turned away, too. Behind a proxy it is the client's
    /// address that counts, from its request on, if the proxy is one of the
    /// [`trusted_proxies`](ServerBuilder::trusted_proxies); if not, all clients share the proxy's. Of
    /// IPv6 the first 64 bits count. A peer of a Unix socket of which no address is known has no
    /// limit. Defaults to `None`, no limit: a school behind one router is one address.
    pub fn max_per_address(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.max_per_address = connections.into();
        self
    }

    /// The stack of each client's thread, in bytes of address space. Defaults to 256 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    connection_options!("64 KiB");

    /// Binds all listeners and starts to serve, in threads of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] without an address or with a subprotocol that is no name, [`Error::Io`] if
    /// one cannot be listened on or a thread cannot be started; nothing is left running then.
    pub fn start(self) -> Result<Server> {
        subprotocols::check(&self.rules.subprotocols)?;
        let mut listeners = Vec::new();
        for (number, (endpoint, tls)) in self.endpoints.into_iter().enumerate() {
            let bound = endpoint.bind()?.into_iter();
            listeners.extend(bound.map(|listener| (number, listener, tls.clone())));
        }
        if listeners.is_empty() {
            return Err(Error::invalid(
                "a server needs an address to listen on".to_owned(),
            ));
        }
        let addresses = listeners.iter().map(|(_, l, _)| l.local_addr().clone());
        let pulses = listeners.iter().map(|_| Ok(Arc::new(Pulse::new()?)));
        let pulses: io::Result<Vec<_>> = pulses.collect();
        let server = Server {
            shared: Arc::new(Shared {
                config: self.config,
                rules: self.rules,
                addresses: addresses.collect(),
                pulses: pulses.map_err(|error| Error::io("cannot start the server", error))?,
                threads: Threads::new(self.stack_size),
                roster: Roster::new(self.max_connections, self.max_per_address),
                caretaker: Caretaker::shared()?,
                counters: Counters::default(),
                failed: Lock::default(),
            }),
        };
        for (index, (number, listener, tls)) in listeners.into_iter().enumerate() {
            let acceptor = Acceptor {
                shared: Arc::clone(&server.shared),
                listener,
                tls,
                number,
                pulse: Arc::clone(&server.shared.pulses[index]),
            };
            // A failure drops the server, which ends the threads that run already.
            acceptor.start(format!("ws-accept-{index}"))?;
        }
        Ok(server)
    }

    /// Starts the server and waits until it is shut down, which for a program without a
    /// [`Handle`](crate::Handle) means for ever.
    ///
    /// # Errors
    ///
    /// As [`start`](ServerBuilder::start), and when a listener breaks.
    pub fn run(self) -> Result<()> {
        self.start()?.wait()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.config)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
