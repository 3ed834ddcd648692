//! A WebSocket server and client (RFC 6455). Each client has an operating-system thread, calls block,
//! and there is no async runtime.
//!
//! This page is a course: each section needs only those before it.
//!
//! # A server
//!
//! A server is a function. It is called once for each connection, in a thread of its own. The
//! connection closes when the function returns.
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
//! A closure works too. What it captures are the handler's extra arguments.
//!
//! # A client
//!
//! A client is the same [`Connection`] at the other end:
//!
//! ```no_run
//! let ws = plainws::connect("ws://localhost:8765")?;
//! ws.send("Rust")?;
//! println!("{}", ws.recv()?);
//! # Ok::<(), plainws::Error>(())
//! ```
//!
//! [`Client::builder`] has everything that a client can set: headers, subprotocols, proxies, timeouts.
//! Its [`retry`](ClientBuilder::retry) connects again and again.
//!
//! # Receiving until the end
//!
//! [`recv`](Connection::recv) waits for a message, [`recv_timeout`](Connection::recv_timeout) for a limited
//! time, and [`try_recv`](Connection::try_recv) not at all. A connection is also an iterator, which ends
//! without an error when the peer closes normally:
//!
//! ```
//! use plainws::{Connection, Server};
//!
//! fn echo(ws: &Connection) -> plainws::Result<()> {
//!     for message in ws {
//!         ws.send(message?)?;
//!     }
//!     Ok(())
//! }
//!
//! let server = Server::builder(echo).listen("localhost:0").start()?; // 0: the system chooses the port
//! let ws = plainws::connect(&format!("ws://{}", server.local_addr()))?;
//! ws.send("Anybody there?")?;
//! assert_eq!(ws.recv()?, "Anybody there?");
//! # Ok::<(), plainws::Error>(())
//! ```
//!
//! A [`Message`] is text or binary. Every end has a reason: [`Connection::closed`] tells it, and so does
//! [`Error::Closed`], which every call returns once the connection is closed.
//!
//! # Several threads
//!
//! All methods of [`Connection`] take `&self`. One thread can receive while others send, ping or close. A
//! clone is a handle to the same connection.
//!
//! ```no_run
//! use std::{thread, time::Duration};
//!
//! fn both(ws: &plainws::Connection) -> plainws::Result<()> {
//!     let sender = ws.clone();
//!     let ticks = thread::spawn(move || {
//!         while sender.send("tick").is_ok() {
//!             thread::sleep(Duration::from_secs(1));
//!         }
//!     });
//!     for message in ws {
//!         println!("{}", message?);
//!     }
//!     ticks.join().map_err(|_| "the sender panicked".into())
//! }
//! ```
//!
//! # Shared state
//!
//! A [`Hub`] owns what connections share, and sends to all of them. Closures change the state, one after
//! the other, on the hub's own thread. So every client sees the changes in the same order, and the state
//! needs no lock. The hub's documentation has an example that runs.
//!
//! # Slow clients
//!
//! A client that does not read cannot hold up others. [`send`](Connection::send) waits for it, within the
//! write timeout; [`try_send`](Connection::try_send) never does. A hub never waits. What a client has not read
//! waits in its backlog, which has a [limit](ServerBuilder::backlog):
//!
//! - Of a state ([`publish`](Clients::publish)) a slow client gets the newest value.
//! - Of a stream of messages ([`broadcast`](Clients::broadcast)) it gets all, or is closed with 1013.
//!
//! A client costs a thread, a read buffer of 4 KiB, at most three times
//! [`max_size`](ServerBuilder::max_size), and its backlog.
//!
//! # Timeouts
//!
//! Nothing waits forever unless you ask for it. Each method of [`ServerBuilder`] and [`ClientBuilder`] tells
//! its default. A deadline is absolute: a peer that sends a byte now and then does not extend it.
//!
//! | option | default | limits |
//! |---|---|---|
//! | [`open_timeout`](ServerBuilder::open_timeout) | 10 s | the opening handshake, with TLS; at a client also name, proxy and redirects |
//! | [`ping_interval`](ServerBuilder::ping_interval), [`ping_timeout`](ServerBuilder::ping_timeout) | 20 s, 20 s | how long a peer can be gone unnoticed |
//! | [`write_timeout`](ServerBuilder::write_timeout) | 30 s | how long a peer can read nothing of what waits for it |
//! | [`close_timeout`](ServerBuilder::close_timeout) | 5 s | the closing handshake |
//!
//! # Starting and stopping
//!
//! [`serve`] runs until the process ends. [`ServerBuilder::start`] returns a [`Server`], which can be stopped:
//!
//! ```
//! # use std::time::Duration;
//! # let handler = |ws: &plainws::Connection| ws.recv().map(drop);
//! let server = plainws::Server::builder(handler).listen("localhost:0").start()?;
//! let in_time = server.shutdown(Duration::from_secs(5)); // closes everyone with 1001
//! assert!(in_time);
//! # Ok::<(), plainws::Error>(())
//! ```
//!
//! # Pages and refusals
//!
//! A server answers plain HTTP requests, too. [`ServerBuilder::route`] gets each [`Request`] and decides: a
//! [`Response`] is a page or a refusal, an [`Answer::upgrade`] is another handler. Whose pages may connect is
//! set with [`origins`](ServerBuilder::origins); the default is the same host.
//!
//! # TLS
//!
//! A server shows a certificate, and a client checks it:
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
//! # Errors
//!
//! Every failure is an [`Error`], whose documentation draws the tree of them. A handler can return any
//! error of its own with [`Error::other`].
//!
//! # Logging
//!
//! Through the `log` crate:
//!
//! | level | what |
//! |---|---|
//! | ERROR | what a handler fails with |
//! | WARN | what the server lacks: threads, descriptors |
//! | INFO | one line when a connection opens, one when it ends, one for each refused handshake |
//! | DEBUG | each frame on one line, its payload escaped and shortened |
//!
//! The INFO lines have their figures as key-value pairs too: `peer`, `path`, `code`, `reason`, `duration_ms`,
//! and others. Nothing that a peer sends is logged raw, or above INFO. Two kinds of DEBUG lines have targets
//! of their own, so that you can have them without the frames: `plainws::client`, the heads that a client
//! sends and gets while it opens a connection, without passwords and cookies; and `plainws::keepalive`, pings
//! and pongs.
//!
//! # Threads
//!
//! | name | how many | ends when |
//! |---|---|---|
//! | `ws-accept-0` | one a listener | the server shuts down |
//! | `ws-open-17` | one a client in its opening handshake | the client is refused, served a page, or connected |
//! | `ws-conn-17` | one a client, named by the connection's id | the handler has returned and the connection is closed |
//! | `ws-hub` | one a [`Hub`] | its last handle is dropped |
//! | `ws-caretaker` | one a process | the last server or connection is dropped |
//!
//! The library has no `unsafe`, never ends the process, prints nothing, and reads no environment unless
//! [`proxy_from_env`](ClientBuilder::proxy_from_env) asks for it. How it works inside is in `ARCHITECTURE.md`.
//!
//! # Features
//!
//! | name | default | |
//! |---|---|---|
//! | `tls` | yes | `wss://` at both ends, with the system's OpenSSL (`libssl-dev`) |
//! | `vendored` | no | builds OpenSSL from source, for hosts without its headers; needs perl and make |
//! | `cli` | yes | the program `plainws` and the crates that only it needs |
//!
//! A program that uses the library alone turns the defaults off:
//!
//! ```toml
//! plainws = { path = "../plainws", default-features = false, features = ["tls"] }
//! ```

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

#[cfg(feature = "tls")]
mod file;

mod lock;

mod deadline;

mod complaint;

pub use address::Address;
pub use client::{Client, ClientBuilder, Retry, Stopper, connect};
pub use close::{CloseCode, CloseFrame, Closed};
pub use connection::{Connection, Messages};
pub use error::{Error, Refused, Result};
pub use http::event::Event;
pub use http::request::Request;
pub use http::response::Response;
pub use hub::{Clients, Hub, HubBuilder, Registration, Room};
pub use message::Message;
pub use network::Network;
pub use server::{Answer, Endpoint, Handle, Listener, Metrics, Server, ServerBuilder, serve};
#[cfg(feature = "tls")]
pub use tls::{Identity, Tls};
pub use wire::socket::Socket;

/// The code in the README and in docs/ compiles with the tests.
#[cfg(all(doctest, feature = "tls"))]
mod papers {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/access.md")]
    struct Access;
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
    #[doc = include_str!("../docs/pages.md")]
    struct Pages;
    #[doc = include_str!("../docs/performance.md")]
    struct Performance;
    #[doc = include_str!("../docs/serve.md")]
    struct Serve;
    #[doc = include_str!("../docs/systemd.md")]
    struct Systemd;
    #[doc = include_str!("../docs/tls.md")]
    struct Tls;
    #[doc = include_str!("../docs/topics.md")]
    struct Topics;
}
