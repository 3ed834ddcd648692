//! Reads a name, sends a greeting, and closes the connection.
//!
//!     cargo run --example hello_server
//!     cargo run --example hello_client

use plainws::{Connection, Result};

fn hello(ws: &Connection) -> Result<()> {
    let name = ws.recv()?;
    println!("< {name}");

    let greeting = format!("Hello {name}!");
    ws.send(greeting.as_str())?;
    println!("> {greeting}");
    Ok(())
}

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "localhost:8765".to_owned());
    plainws::serve(&address, hello)
}
