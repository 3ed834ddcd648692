//! Sends one message after the other, as fast as the client reads.
//!
//!     cargo run --example producer
//!     python3 -m websockets ws://localhost:8765/

use std::time::Duration;

use plainws::{Connection, Result};

/// Stands for what your program has to tell: it may take its time.
fn produce(number: &mut u64) -> String {
    std::thread::sleep(Duration::from_millis(100));
    *number += 1;
    format!("message {number}")
}

fn producer(ws: &Connection) -> Result<()> {
    let mut number = 0;
    loop {
        // Fails when the client has left, which ends the handler.
        ws.send(produce(&mut number))?;
    }
}

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "localhost:8765".to_owned());
    plainws::serve(&address, producer)
}
