//! Says Hello! to everyone who is connected whenever somebody joins.
//!
//!     cargo run --example registration
//!     python3 -m websockets ws://localhost:8765/      in several terminals

use std::time::Duration;

use plainws::{Connection, Hub, Result};

fn handler(ws: &Connection, connected: &Hub) -> Result<()> {
    // Until the guard is dropped, at the end of this function.
    let _registration = connected.register(ws);
    connected.broadcast("Hello!");
    ws.recv_timeout(Duration::from_secs(10))?;
    Ok(())
}

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "localhost:8765".to_owned());
    let connected = Hub::builder(()).start()?;
    plainws::serve(&address, move |ws| handler(ws, &connected))
}
