//! Sends every message back: what the benchmarks and the compliance suite talk to.
//! With a certificate as the second argument it does so over TLS.
//!
//!     cargo run --release --example echo 127.0.0.1:9001
//!     python3 -m websockets ws://127.0.0.1:9001/

use plainws::{Connection, Identity, Server, Tls};

fn main() -> plainws::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let server = Server::builder(echo)
        .max_size(16 * 1024 * 1024)
        .max_connections(20_000)
        .ping_interval(None);
    let (scheme, server) = match args.next() {
        Some(pem) => {
            let tls = Tls::new(&Identity::from_pem_file(pem)?)?;
            ("wss", server.listen_tls(address, &tls))
        }
        None => ("ws", server.listen(address)),
    };
    let server = server.start()?;
    eprintln!("echo at {scheme}://{}/", server.local_addr());
    server.wait()
}

fn echo(ws: &Connection) -> plainws::Result<()> {
    for message in ws {
        // Queued: all answers to what arrived together leave together.
        ws.write(message?)?;
    }
    Ok(())
}
