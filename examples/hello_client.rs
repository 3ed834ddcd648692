//! Asks for a name, sends it, and prints the greeting.
//!
//!     cargo run --example hello_server
//!     cargo run --example hello_client

use std::io::{self, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "ws://localhost:8765".to_owned());
    let ws = plainws::connect(&url)?;

    print!("What's your name? ");
    io::stdout().flush()?;
    let mut name = String::new();
    io::stdin().read_line(&mut name)?;
    let name = name.trim_end();

    ws.send(name)?;
    println!("> {name}");

    let greeting = ws.recv()?;
    println!("< {greeting}");
    Ok(())
}
