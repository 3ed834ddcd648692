//! WebSocket server and client (RFC 6455): one operating-system thread per client, blocking calls,
//! no async runtime.
//!
//! A server is a function that is called once for each connection, in that connection's thread:
//!
//! ```no_run
//! fn hello(ws: &plainws::Connection) -> plainws::Result<()> {
//!     let name = ws.recv()?;
//!     ws.send(format!("Hello {name}!"))
//! }
//!
//! fn main() -> plainws::Result<()> {
//!     plainws::serve("localhost:8765", hello)
//! }
//! ```
//!
//! and a client is the same [`Connection`] at the other end:
//!
//! ```no_run
//! let ws = plainws::connect("ws://localhost:8765")?;
//! ws.send("Rust")?;
//! println!("{}", ws.recv()?);
//! # Ok::<(), plainws::Error>(())
//! ```
//!
//! With TLS, a server shows a certificate and a client checks it; each a line more:
//!
//! ```no_run
//! # #[cfg(feature = "tls")] {
//! use plainws::{Client, Identity, Server, Tls};
//!
//! let tls = Tls::new(&Identity::from_pem_file("localhost.pem")?)?;
//! let server = Server::builder(|ws| ws.send("hi")).listen_tls("localhost:8443", &tls).start()?;
//!
//! let trusted = std::fs::read("localhost.pem")?;
//! let ws = Client::builder().ca(trusted).connect("wss://localhost:8443")?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Extra arguments of a handler are what its closure captures. What several connections share is
//! owned by a [`Hub`], which broadcasts to them.
//!
//! # The way of a message
//!
//! ```text
//!  accept thread        thread of one client                            your code
//!  (one a listener)     ------------------------------------------      ---------------------------
//!  listener ─► accept   handshake: TLS, request head, checks       ┌──► handler(&Connection)
//!               │         │ page, refusal, or upgrade              │      │ ws.recv()  ws.send()
//!               ▼         ▼                                        │      │ hub.register(), update()
//!             roster    connection: wait (no lock), then           │      ▼
//!             (places,  inbox: read, tungstenite makes messages ───┘    hub: the broadcast thread owns
//!              joining)   │ pongs, the answer to a close                the state, encodes once, gives
//!                         ▼                                             each client the whole batch
//!                       outbox: the one door out ◄──────────────────────┘
//!                         │ at once, never waiting; the rest into a bounded backlog
//!                         ▼
//!                       wire: a socket, with TLS or without ◄──── caretaker thread: drains
//!                                                                 backlogs, pings, deadlines
//! ```
//!
//! Each file of the source is one noun of this picture; `lib.rs` lists them in this order.
//!
//! # Threads
//!
//! | name | how many | ends when |
//! |---|---|---|
//! | `ws-accept-0` | one a listener | the server shuts down |
//! | `ws-conn-17` | one a client, named by the connection's id | the handler has returned and the connection is closed |
//! | `ws-hub` | one a [`Hub`] | its last handle is dropped |
//! | `ws-caretaker` | one a process | the last server or connection is dropped |
//!
//! # What holds
//!
//! - Every byte to a peer goes through its outbox, under one short lock. No lock is held while
//!   waiting, which is `poll`, or `recv` of the one thread whose turn it is to receive.
//! - The broadcast thread waits for nobody. A slow client gets the newest value of a state; of a
//!   stream of messages it gets all, or is closed with 1013.
//! - A TLS session may be used by one thread at a time: it has a lock of its own, held for the moment
//!   of one read or write, neither of which waits.
//! - A client costs a thread, a read buffer of 4 KiB, at most three times
//!   [`max_size`](ServerBuilder::max_size) and its [`backlog`](ServerBuilder::backlog). An idle one causes no
//!   wake-up but its ping.
//! - Deadlines are absolute: a peer that sends a byte now and then does not move them.
//! - The library has no `unsafe`, never ends the process, prints nothing, reads no environment
//!   unless [`proxy_from_env`](ClientBuilder::proxy_from_env) asks for it.
//!
//! # Features
//!
//! | name | default | |
//! |---|---|---|
//! | `tls` | yes | `wss://` at both ends, with the system's OpenSSL (`libssl-dev`) |
//! | `vendored` | no | builds OpenSSL from source, for hosts without its headers; needs perl and make |
//! | `cli` | yes | the binary `plainws`, and what only it needs; a program that uses the crate leaves it out |
//!
//! # Log levels
//!
//! Through the `log` crate: ERROR what handlers fail with, WARN what the
//! server lacks, INFO one line when a connection opens, one when it ends,
//! and one for a handshake that comes to nothing (each with its figures as key-value pairs, too:
//! `peer`, `path`, `code`, `reason`, `duration_ms`, ...),
//! DEBUG each frame on one line, its payload escaped and cut. Nothing that a peer sends is logged
//! raw, or above INFO. Two kinds of DEBUG lines have targets of their own, so that they can be had
//! without the frames: `plainws::client`, the heads that a client sends and gets while it opens a
//! connection, without passwords and cookies, and `plainws::keepalive`, pings and pongs.

// The reading order. A `use` points down this list, never up: tests/architecture.rs holds that.
// (rustfmt sorts modules that have no blank line between them.)

// The two ends.
mod server;

mod client;

// What both ends share.
mod hub;

mod connection;

mod caretaker;

mod tls;

mod wire;

mod http;

// What all of them stand on.
mod config;

mod message;
mod network;

mod error;

mod close;

mod address;

mod escaped;

mod lock;

mod deadline;

pub use address::Address;
pub use client::{Client, ClientBuilder, Retry, Stopper, connect};
pub use close::{CloseCode, CloseFrame, Closed};
pub use connection::{Connection, Messages};
pub use error::{Error, Refused, Result};
pub use http::request::Request;
pub use http::response::Response;
pub use hub::{Clients, Hub, HubBuilder, Registration};
pub use message::Message;
pub use network::Network;
pub use server::endpoint::Endpoint;
pub use server::handshake::Answer;
pub use server::listener::Listener;
pub use server::metrics::Metrics;
pub use server::{Handle, Server, ServerBuilder, serve};
#[cfg(feature = "tls")]
pub use tls::{Identity, Tls};
pub use wire::socket::Socket;

/// The code in the README and in docs/ compiles with the tests.
#[cfg(all(doctest, feature = "tls"))]
mod papers {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/connect.md")]
    struct Connect;
    #[doc = include_str!("../docs/django.md")]
    struct Django;
    #[doc = include_str!("../docs/library.md")]
    struct Library;
    #[doc = include_str!("../docs/metrics.md")]
    struct Metrics;
    #[doc = include_str!("../docs/nginx.md")]
    struct Nginx;
    #[doc = include_str!("../docs/performance.md")]
    struct Performance;
    #[doc = include_str!("../docs/serve.md")]
    struct Serve;
    #[doc = include_str!("../docs/systemd.md")]
    struct Systemd;
    #[doc = include_str!("../docs/tls.md")]
    struct Tls;
}
