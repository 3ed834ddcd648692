//! `serve`, and `Server` with its builder: binds, starts an accept thread a listener, and at the
//! end closes every connection and joins every thread.

mod accept;
pub(crate) mod endpoint;
pub(crate) mod handshake;
pub(crate) mod listener;
pub(crate) mod metrics;
mod origin;
pub(crate) mod proxies;
mod pulse;
mod roster;

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::error;

use crate::address::Address;
use crate::caretaker::Caretaker;
use crate::config::{Config, connection_options};
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::error::{Error, Result, panic_text};
use crate::http::request::Request;
use crate::http::subprotocols;
use crate::network::Network;
use crate::server::endpoint::Endpoint;
use crate::server::handshake::{Answer, Handler, Route, Rules};
use crate::server::listener::Listener;
use crate::server::metrics::{Counters, Metrics};
use crate::server::roster::Roster;
use crate::tls::Tls;
use accept::{Door, Reception};

/// A thousand live pages on a small host.
const DEFAULT_MAX_CONNECTIONS: usize = 1000;
/// Threads reserve their stack as address space, of which 32-bit hosts have little; a handler
/// that recurses deeply can ask for more.
const DEFAULT_STACK_SIZE: usize = 256 * 1024;

/// Serves WebSockets at `address` with `handler`, in one thread a client, until the process ends.
///
/// `address` is `localhost:8765`, `[::1]:8765`, `:8765` for all addresses of the host, or
/// `unix:/path`. The handler is called once for each connection, in that connection's thread;
/// when it returns, the connection is closed with 1000, and when it returns an error that is not
/// the closing of the connection, or panics, with 1011. More options: [`Server::builder`].
///
/// # Errors
///
/// When the address cannot be listened on.
///
/// ```no_run
/// fn hello(ws: &plainws::Connection) -> plainws::Result<()> {
///     let name = ws.recv()?;
///     ws.send(format!("Hello {name}!"))
/// }
///
/// fn main() -> plainws::Result<()> {
///     plainws::serve("localhost:8765", hello)
/// }
/// ```
pub fn serve<F>(address: &str, handler: F) -> Result<()>
where
    F: Fn(&Connection) -> Result<()> + Send + Sync + 'static,
{
    Server::builder(handler).listen(address).run()
}

/// A running server. Dropping it shuts it down, with the close timeout as deadline.
///
/// # Threads
///
/// Any thread may use it. The server itself has one thread a listener (`ws-accept-0`), one a
/// client (`ws-conn-17`), and shares one caretaker (`ws-caretaker`) with all connections of the
/// process.
#[must_use = "dropping a server shuts it down"]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    addresses: Vec<Address>,
    reception: Arc<Reception>,
    doors: Vec<Door>,
    acceptors: Mutex<Vec<JoinHandle<()>>>,
    failed: Mutex<Option<Error>>,
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
            endpoints: Vec::new(),
            handler: Arc::new(handler),
            route: None,
            origins: None,
            hosts: None,
            subprotocols: Vec::new(),
            trusted_proxies: Vec::new(),
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_per_address: None,
            stack_size: DEFAULT_STACK_SIZE,
        }
    }

    /// The address of the first listener, with the port that the system chose.
    pub fn local_addr(&self) -> &Address {
        &self.inner.addresses[0]
    }

    /// The addresses of all listeners. A name with several addresses has several.
    pub fn local_addrs(&self) -> &[Address] {
        &self.inner.addresses
    }

    /// Takes no more clients, closes all connections with 1001, and waits until every thread of
    /// the server has ended, for `limit` at most; then peers that have not answered are cut. In a
    /// handler it waits for all threads but the handler's own.
    ///
    /// Returns whether all threads had ended by then. A handler that does not return cannot be
    /// made to; its connection is closed all the same.
    pub fn shutdown(&self, limit: Duration) -> bool {
        self.inner.shutdown(limit)
    }

    /// A handle for code that cannot hold the server itself, such as its own handlers.
    pub fn handle(&self) -> Handle {
        Handle {
            inner: Arc::clone(&self.inner),
        }
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.inner.reception.roster.seated()
    }

    /// The server's figures of this moment. Asks each connection for its own, so it is meant for
    /// every few seconds, not for every message; nothing is held up by it.
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics()
    }

    /// Waits until another number of connections is open than `known`, for `limit` at most: the
    /// number, which is `known` again when the time is over. `None` once the server shuts down.
    ///
    /// For who shows the number without looking at it again and again.
    pub fn wait_connections(&self, known: usize, limit: Option<Duration>) -> Option<usize> {
        let deadline = Deadline::after(limit);
        self.inner.reception.roster.wait_seated(known, deadline)
    }

    /// Whether every accept loop answers within `limit`: each is woken, and has to come round once.
    /// False also once the server shuts down.
    ///
    /// For a watchdog: a loop that hangs takes no clients while the process looks alive. One that
    /// the system refuses clients, because it has run out of file descriptors for example, answers.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = plainws::Server::builder(|ws| ws.send("hi")).listen("localhost:0").start()?;
    /// assert!(server.is_accepting(Duration::from_secs(5)));
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn is_accepting(&self, limit: Duration) -> bool {
        let deadline = Deadline::after(limit);
        let mut doors = self.inner.doors.iter();
        // A loop that has ended would be waited for in vain; one that ends meanwhile has beaten.
        doors.all(|door| {
            let runs = || !door.bell.is_stopped();
            runs() && door.pulse.is_felt(&door.bell, deadline) && runs()
        })
    }

    /// Waits until the server has been shut down and all its threads have ended.
    ///
    /// # Errors
    ///
    /// When a listener broke, which ends the server.
    pub fn wait(&self) -> Result<()> {
        self.inner.reception.roster.wait_stopped();
        self.inner.join_acceptors();
        let failed = self
            .inner
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inner
            .shutdown(self.inner.reception.config.close_timeout);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.inner.addresses)
            .finish_non_exhaustive()
    }
}

/// Shuts a server down, and tells its figures. Any thread may use it, a handler too.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

impl Handle {
    /// As [`Server::shutdown`].
    pub fn shutdown(&self, limit: Duration) -> bool {
        self.inner.shutdown(limit)
    }

    /// The server's figures of this moment; see [`Server::metrics`].
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Inner {
    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        self.reception.counters.fill(&mut metrics);
        self.reception.roster.fill(&mut metrics);
        metrics
    }

    fn shutdown(&self, limit: Duration) -> bool {
        let start = Instant::now();
        self.reception.roster.stop();
        for door in &self.doors {
            door.bell.stop();
        }
        self.join_acceptors();
        let left = limit.saturating_sub(start.elapsed());
        self.reception.roster.close_all(&accept::goodbye(), left)
    }

    fn join_acceptors(&self) {
        let mut acceptors = self
            .acceptors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for acceptor in acceptors.drain(..) {
            let _ = acceptor.join();
        }
    }

    /// A listener broke: ends the server, so that nobody believes it serves.
    fn fail(&self, why: Error) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.reception.roster.stop();
        for door in &self.doors {
            door.bell.stop();
        }
        self.reception
            .roster
            .close_all(&accept::goodbye(), self.reception.config.close_timeout);
    }
}

/// Describes a server before it starts.
#[must_use = "a description does nothing until it is started"]
pub struct ServerBuilder {
    config: Config,
    endpoints: Vec<(Endpoint, Option<Tls>)>,
    handler: Handler,
    route: Option<Route>,
    origins: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    subprotocols: Vec<String>,
    trusted_proxies: Vec<Network>,
    max_connections: usize,
    max_per_address: Option<usize>,
    stack_size: usize,
}

impl ServerBuilder {
    /// Adds an address to listen on, or a bound socket to take over; may be repeated. An address
    /// is written as for [`Listener::bind`].
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
        self.route = Some(Box::new(route));
        self
    }

    /// The origins whose pages may connect, exact in scheme, host and port, such as
    /// `https://app.example`; `null` is a page from disk, `none` a client that is no browser.
    /// Others get 403. Defaults to none, `null`, and the host that the request is addressed to;
    /// note that any site can make a browser say `null`, from within a sandboxed frame.
    pub fn origins<S: Into<String>>(mut self, origins: impl IntoIterator<Item = S>) -> Self {
        self.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// The names, with or without a port, that requests may be addressed to in their `Host`;
    /// others get 403. Protects a server in a private network from pages of the Internet whose
    /// name is made to resolve to it. Defaults to any.
    pub fn hosts<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// The subprotocols that the server speaks, the best first (RFC 6455, section 1.9): the first
    /// one that a client offers is chosen, and told by
    /// [`Connection::subprotocol`](Connection::subprotocol). A client that offers none of them is
    /// connected all the same. Defaults to none.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// The proxies in front whose word about a client's address is taken, for logs and for
    /// [`max_per_address`](ServerBuilder::max_per_address): single addresses, networks, and `unix:` for
    /// whoever connects to a Unix socket. The client is then the right-most address of
    /// `X-Forwarded-For` that is not trusted itself; where there is none, that of `X-Real-IP`; else,
    /// also if an entry in between is no plain IP address, the proxy. Other peers' headers do not
    /// count. See [`Connection::client_ip`]. Defaults to none.
    pub fn trusted_proxies(mut self, proxies: impl IntoIterator<Item = Network>) -> Self {
        self.trusted_proxies = proxies.into_iter().collect();
        self
    }

    /// How many connections may be open at once; more get 503. Defaults to 1000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How many connections one address may have open at once; more get 503. Behind a proxy it is
    /// the client's address that counts, if the proxy is one of the
    /// [`trusted_proxies`](ServerBuilder::trusted_proxies); if not, all clients share the proxy's. Of IPv6
    /// the first 64 bits count. A peer of a Unix socket of which no address is known has no limit.
    /// Defaults to `None`, no limit: a school behind one router is one address.
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
    /// [`Error::Invalid`] without an address or with a subprotocol that is no name, [`Error::Io`] if one cannot be listened on or a
    /// thread cannot be started; nothing is left running then.
    pub fn start(self) -> Result<Server> {
        subprotocols::check(&self.subprotocols)?;
        let mut listeners = Vec::new();
        for (number, (endpoint, tls)) in self.endpoints.into_iter().enumerate() {
            let bound = endpoint.bind()?;
            listeners.extend(
                bound
                    .into_iter()
                    .map(|l| (number, l.with_tls(tls.as_ref()))),
            );
        }
        if listeners.is_empty() {
            return Err(Error::invalid(
                "a server needs an address to listen on".to_owned(),
            ));
        }
        let open_timeout = self.config.open_timeout;
        let (handler, route) = (self.handler, self.route);
        let reception = Arc::new(Reception {
            config: self.config,
            rules: Rules {
                handler,
                route,
                origins: self.origins,
                hosts: self.hosts,
                subprotocols: self.subprotocols,
                trusted_proxies: self.trusted_proxies,
                open_timeout,
            },
            roster: Arc::new(Roster::new(
                self.max_connections,
                self.max_per_address,
                self.stack_size,
            )),
            caretaker: Caretaker::shared()?,
            counters: Counters::default(),
        });
        let doors: std::io::Result<Vec<_>> = listeners.iter().map(|_| Door::new()).collect();
        let doors = doors.map_err(|error| Error::io("cannot start the server", error))?;
        let addresses = listeners
            .iter()
            .map(|(_, l)| l.local_addr().clone())
            .collect();
        let server = Server {
            inner: Arc::new(Inner {
                addresses,
                reception,
                doors,
                acceptors: Mutex::default(),
                failed: Mutex::default(),
            }),
        };
        for (index, (number, listener)) in listeners.into_iter().enumerate() {
            // A failure drops the server, which ends the threads that run already.
            server.spawn_acceptor(index, number, listener)?;
        }
        Ok(server)
    }

    /// Starts the server and waits until it is shut down, which for a program without a
    /// [`Handle`] means for ever.
    ///
    /// # Errors
    ///
    /// As [`start`](ServerBuilder::start), and when a listener breaks.
    pub fn run(self) -> Result<()> {
        self.start()?.wait()
    }
}

impl Server {
    fn spawn_acceptor(&self, index: usize, number: usize, listener: Listener) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        let accept = move || {
            let (reception, door) = (&inner.reception, &inner.doors[index]);
            let run = || accept::run(reception, &listener, number, door);
            let ended = panic::catch_unwind(AssertUnwindSafe(run));
            // Who waits for an answer gets none any more.
            door.pulse.beat();
            let why = match ended {
                Ok(Ok(())) => return,
                Ok(Err(error)) => Error::io(
                    format!("listening on {} failed", listener.local_addr()),
                    error,
                ),
                Err(panic) => Error::other(format!("accepting panicked: {}", panic_text(&*panic))),
            };
            error!("{why}");
            inner.fail(why);
        };
        let thread = thread::Builder::new()
            .name(format!("ws-accept-{index}"))
            .spawn(accept)
            .map_err(|error| Error::io("cannot start the accept thread", error))?;
        let mut acceptors = self
            .inner
            .acceptors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        acceptors.push(thread);
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn server() -> Server {
        let builder = Server::builder(|ws| ws.recv().map(drop));
        let builder = builder.listen("127.0.0.1:0").listen("127.0.0.1:0");
        builder.start().expect("two listeners")
    }

    #[test]
    fn an_accept_loop_that_hangs_is_found_out() {
        let server = server();
        assert!(server.is_accepting(LONG));
        // The second listener's loop comes to hang at what its client needs.
        let hold = server.inner.reception.roster.hold();
        let port = server.local_addrs()[1].port().expect("a port");
        let _client = TcpStream::connect(("127.0.0.1", port)).expect("a client");
        let start = Instant::now();
        while server.is_accepting(Duration::from_millis(50)) {
            assert!(start.elapsed() < LONG, "it still answers");
        }
        drop(hold);
        assert!(server.is_accepting(LONG), "it goes on");
        server.shutdown(LONG);
        let start = Instant::now();
        assert!(!server.is_accepting(LONG));
        assert!(start.elapsed() < LONG / 2, "nobody is waited for");
    }

    #[test]
    fn the_number_of_connections_is_told_when_it_changes() {
        let server = server();
        assert_eq!(server.wait_connections(7, None), Some(0));
        let moment = Duration::from_millis(20);
        assert_eq!(server.wait_connections(0, Some(moment)), Some(0));
        thread::scope(|scope| {
            let told = scope.spawn(|| server.wait_connections(0, Some(LONG)));
            let url = format!("ws://{}", server.local_addr());
            let client = crate::connect(&url).expect("a client");
            assert_eq!(told.join().expect("no panic"), Some(1));
            let told = scope.spawn(|| server.wait_connections(1, Some(LONG)));
            drop(client);
            assert_eq!(told.join().expect("no panic"), Some(0));
            let told = scope.spawn(|| server.wait_connections(0, None));
            server.shutdown(LONG);
            assert_eq!(told.join().expect("no panic"), None);
        });
    }
}
