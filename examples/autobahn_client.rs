//! The echo example as a client: takes the cases of Autobahn's fuzzing server, one connection each.
//! The second command starts both; its report judges, not this program. A second argument is the
//! certificate to trust.
//!
//!     cargo run --release --example autobahn_client ws://127.0.0.1:9001
//!     tests/autobahn/run.sh client

use plainws::{Client, Connection, Error};

fn main() -> plainws::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next();
    let url = url.unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    let mut client = Client::builder()
        .max_size(16 * 1024 * 1024)
        .ping_interval(None);
    if let Some(pem) = args.next() {
        client = client.ca(std::fs::read(pem).map_err(Error::other)?);
    }

    let count = client.connect(&format!("{url}/getCaseCount"))?.recv()?;
    let count: u32 = count.to_string().parse().map_err(Error::other)?;
    for case in 1..=count {
        let ws = client.connect(&format!("{url}/runCase?case={case}&agent=plainws"))?;
        // Half of the cases break the protocol on purpose, and must end so.
        if let Err(error) = echo(&ws) {
            eprintln!("case {case} of {count}: {error}");
        }
    }
    let ws = client.connect(&format!("{url}/updateReports?agent=plainws"))?;
    ws.into_iter().try_for_each(|message| message.map(drop))
}

fn echo(ws: &Connection) -> plainws::Result<()> {
    for message in ws {
        ws.write(message?)?;
    }
    Ok(())
}
