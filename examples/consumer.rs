//! Receives messages and hands each one on, until the client leaves.
//!
//!     cargo run --example consumer
//!     python3 -m websockets ws://localhost:8765/

use plainws::{Connection, Message, Result};

/// Stands for what your program does with a message.
fn consume(message: &Message) {
    println!("{message}");
}

fn consumer(ws: &Connection) -> Result<()> {
    for message in ws {
        consume(&message?);
    }
    Ok(())
}

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "localhost:8765".to_owned());
    plainws::serve(&address, consumer)
}
