//! Sends the time at random intervals, for as long as the client stays.
//!
//!     cargo run --example clock
//!     python3 -m websockets ws://localhost:5678/

use std::time::Duration;

use plainws::{Connection, Result};

fn clock(ws: &Connection) -> Result<()> {
    loop {
        ws.send(
            chrono::Local::now()
                .format("%a %b %e %H:%M:%S %Y")
                .to_string(),
        )?;
        // Receiving is the timer: it ends the handler at once when the client leaves.
        ws.recv_timeout(Duration::from_secs(3).mul_f64(rand::random()))?;
    }
}

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "localhost:5678".to_owned());
    plainws::serve(&address, clock)
}
