//! Two directions at once: one thread receives while another sends on the same connection.
//!
//!     cargo run --example both
//!     python3 -m websockets ws://localhost:8765/

use std::thread;
use std::time::Duration;

use plainws::{CloseCode, Connection, Result};

fn consume(ws: &Connection) -> Result<()> {
    for message in ws {
        println!("{}", message?);
    }
    Ok(())
}

fn produce(ws: &Connection) -> Result<()> {
    for number in 1..=600 {
        ws.send(format!("message {number}"))?;
        thread::sleep(Duration::from_millis(100));
    }
    // Wakes the consumer.
    ws.close(CloseCode::NORMAL, "that was all")
}

fn both(ws: &Connection) -> Result<()> {
    thread::scope(|scope| {
        // Ends with an error as soon as the client has left.
        scope.spawn(|| produce(ws));
        consume(ws)
    })
}

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "localhost:8765".to_owned());
    plainws::serve(&address, both)
}
