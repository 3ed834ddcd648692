//! Sends every message back: what the benchmarks and the compliance suite talk to.
//!
//!     cargo run --release --example echo 127.0.0.1:9001
//!     python3 -m websockets ws://127.0.0.1:9001/

use plainws::{Connection, Server};

fn main() -> plainws::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let server = Server::builder(echo)
        .listen(address)
        .max_size(16 * 1024 * 1024)
        .max_connections(20_000)
        .ping_interval(None)
        .start()?;
    eprintln!("echo at ws://{}/", server.local_addr());
    server.wait()
}

fn echo(ws: &Connection) -> plainws::Result<()> {
    for message in ws {
        // Queued: all answers to what arrived together leave together.
        ws.write(message?)?;
    }
    Ok(())
}
