//! Servers in this process.

use plainws::{Connection, Result, Server, ServerBuilder};

/// Sends every message back.
pub fn echo(ws: &Connection) -> Result<()> {
    for message in ws {
        ws.write(message?)?;
    }
    Ok(())
}

/// A server with all defaults at a port of its own.
#[track_caller]
pub fn start(handler: impl Fn(&Connection) -> Result<()> + Send + Sync + 'static) -> Server {
    start_with(Server::builder(handler))
}

/// The same with options.
#[track_caller]
pub fn start_with(builder: ServerBuilder) -> Server {
    let server = builder.listen("127.0.0.1:0").start();
    server.expect("the server starts")
}

pub fn port(server: &Server) -> u16 {
    server.local_addr().port().expect("a TCP address")
}

pub fn url(server: &Server) -> String {
    format!("ws://{}", server.local_addr())
}
