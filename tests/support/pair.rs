//! Two connected ends, made by a server and a client of ours.

use std::sync::mpsc;
use std::time::Duration;

use plainws::{Client, ClientBuilder, Connection, Server, ServerBuilder};

use super::tools::PATIENCE;

/// Which end a test looks at, and what is between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
    TlsServer,
    TlsClient,
}

impl Role {
    fn is_server(self) -> bool {
        matches!(self, Role::Server | Role::TlsServer)
    }

    fn has_tls(self) -> bool {
        matches!(self, Role::TlsServer | Role::TlsClient)
    }
}

/// The options of one end; what is not set is as by default, but pings are off.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub max_size: Option<usize>,
    pub backlog: Option<usize>,
    pub ping: Option<(Duration, Duration)>,
    pub write_timeout: Option<Duration>,
    pub close_timeout: Option<Duration>,
}

/// Sets the options of a builder of either kind.
macro_rules! apply {
    ($builder:expr, $options:expr) => {{
        let options = $options;
        let mut builder = $builder.ping_interval(options.ping.map(|(interval, _)| interval));
        if let Some((_, timeout)) = options.ping {
            builder = builder.ping_timeout(timeout);
        }
        if let Some(bytes) = options.max_size {
            builder = builder.max_size(bytes);
        }
        if let Some(bytes) = options.backlog {
            builder = builder.backlog(bytes);
        }
        if let Some(timeout) = options.write_timeout {
            builder = builder.write_timeout(timeout);
        }
        if let Some(timeout) = options.close_timeout {
            builder = builder.close_timeout(timeout);
        }
        builder
    }};
}

/// Puts TLS between the two, with a certificate that was made once for all tests.
#[cfg(feature = "tls")]
fn secure(server: ServerBuilder, client: ClientBuilder) -> (ServerBuilder, ClientBuilder) {
    use super::certificates::Certificate;
    static CERTIFICATE: std::sync::LazyLock<Certificate> =
        std::sync::LazyLock::new(Certificate::localhost);
    let server = server.listen_tls("127.0.0.1:0", &CERTIFICATE.tls());
    (server, client.ca(CERTIFICATE.pem()))
}

#[cfg(not(feature = "tls"))]
fn secure(_: ServerBuilder, _: ClientBuilder) -> (ServerBuilder, ClientBuilder) {
    panic!("this build has no TLS");
}

/// `ours` is the end under test, `theirs` the other one.
pub struct Pair {
    /// Dropped first: lets the handler return, so that the server's end answers a close.
    pub handler: mpsc::Sender<()>,
    pub ours: Connection,
    pub theirs: Connection,
    pub server: Server,
}

impl Pair {
    pub fn new(role: Role) -> Pair {
        Pair::with(role, Options::default(), Options::default())
    }

    /// With options for our end and for theirs.
    pub fn with(role: Role, ours: Options, theirs: Options) -> Pair {
        let (server_options, client_options) = match role.is_server() {
            true => (ours, theirs),
            false => (theirs, ours),
        };
        let (opened, connections) = mpsc::channel();
        let (release, hold) = mpsc::channel::<()>();
        let hold = std::sync::Mutex::new(hold);
        let handler = move |ws: &Connection| {
            opened.send(ws.clone()).map_err(plainws::Error::other)?;
            // Until the pair is dropped.
            let _ = hold.lock().unwrap().recv();
            Ok(())
        };
        let mut server = apply!(Server::builder(handler), server_options);
        let mut client = apply!(Client::builder(), client_options);
        let mut scheme = "ws";
        if role.has_tls() {
            (server, client) = secure(server, client);
            scheme = "wss";
        } else {
            server = server.listen("127.0.0.1:0");
        }
        let server = server.start().expect("a server");
        let url = format!("{scheme}://{}/path?query", server.local_addr());
        let client = client
            .header("X-Test", "yes")
            .connect(&url)
            .expect("a client");
        let at_server = connections
            .recv_timeout(PATIENCE)
            .expect("the handler runs");
        let (ours, theirs) = match role.is_server() {
            true => (at_server, client),
            false => (client, at_server),
        };
        Pair {
            handler: release,
            ours,
            theirs,
            server,
        }
    }
}
