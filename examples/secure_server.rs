//! hello_server over TLS, with the certificate that `plainws cert` has made: localhost.pem.
//!
//!     cargo run --example secure_server
//!     cargo run --example secure_client

use plainws::{Connection, Identity, Result, Server, Tls};

fn hello(ws: &Connection) -> Result<()> {
    let name = ws.recv()?;
    println!("< {name}");

    let greeting = format!("Hello {name}!");
    ws.send(greeting.as_str())?;
    println!("> {greeting}");
    Ok(())
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "localhost:8765".to_owned());
    let pem = args.next().unwrap_or_else(|| "localhost.pem".to_owned());

    let tls = Tls::new(&Identity::from_pem_file(pem)?)?;
    Server::builder(hello).listen_tls(address, &tls).run()
}
