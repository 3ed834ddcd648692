//! The server: takes clients at its listeners, answers their requests with pages or makes them
//! connections, and serves each connection in a thread of its own.
//!
//! The files are in reading order: from the description of a server to its running threads, the
//! opening and the visit of one client, and then what those stand on.

mod builder;
#[expect(
    clippy::module_inception,
    reason = "it holds what the folder is named for"
)]
mod server;

mod accept;

mod opening;

mod visit;

mod shared;

mod reader;

mod body;

mod respond;

mod rules;

mod upgrade;

mod refusal;

mod roster;

mod threads;

mod pulse;

mod metrics;

mod answer;

mod origin;

mod forwarded;

mod endpoint;

mod listener;

mod tcp;

mod unix;

use crate::connection::Connection;
use crate::error::Result;

pub use answer::Answer;
pub use builder::ServerBuilder;
pub use endpoint::Endpoint;
pub use listener::Listener;
pub use metrics::Metrics;
pub use server::{Handle, Server};

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
