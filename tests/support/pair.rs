//! Two connected ends, made by a server and a client of ours.

use std::sync::mpsc;
use std::time::Duration;

use plainws::{Client, Connection, Server};

use super::tools::PATIENCE;

/// Which end a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
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
        let (server_options, client_options) = match role {
            Role::Server => (ours, theirs),
            Role::Client => (theirs, ours),
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
        let server = apply!(Server::builder(handler), server_options)
            .listen("127.0.0.1:0")
            .start()
            .expect("a server");
        let url = format!("ws://{}/path?query", server.local_addr());
        let client = apply!(Client::builder(), client_options)
            .header("X-Test", "yes")
            .connect(&url)
            .expect("a client");
        let at_server = connections
            .recv_timeout(PATIENCE)
            .expect("the handler runs");
        let (ours, theirs) = match role {
            Role::Server => (at_server, client),
            Role::Client => (client, at_server),
        };
        Pair {
            handler: release,
            ours,
            theirs,
            server,
        }
    }
}
