//! hello_client over TLS, which trusts the server's self-signed certificate, and no other.
//! A server on the Internet, with a certificate of a public issuer, needs no more than `connect`.
//! `plainws cert` makes localhost.crt.
//!
//!     cargo run --example secure_server
//!     cargo run --example secure_client

use std::io::{self, Write};

use plainws::Client;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next();
    let url = url.unwrap_or_else(|| "wss://localhost:8765".to_owned());
    let crt = args.next().unwrap_or_else(|| "localhost.crt".to_owned());
    let ws = Client::builder().ca(std::fs::read(crt)?).connect(&url)?;

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
