//! What clients cost over TLS that do nothing.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use plainws::{Client, Connection};
use tempfile::TempDir;

use crate::Result;
use crate::meter::Meter;
use crate::process::{PLAINWS, Server};
use crate::table::Row;

const CLIENTS: usize = 300;

/// Opens them one after the other, by our own client: a handshake counts for both ends.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = TempDir::new().map_err(|error| format!("no temporary folder: {error}"))?;
    let pem = folder.path().join("localhost.pem");
    make_certificate(&pem)?;
    let arguments = ["--tls-cert", &pem.display().to_string()];
    super::at(super::plainws("hello", &arguments)?, |server| {
        open(server, &pem)
    })
}

fn make_certificate(pem: &Path) -> Result<()> {
    let made = Command::new(PLAINWS)
        .args(["cert", "--out"])
        .arg(pem)
        .output();
    match made {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("plainws cert does not run: {error}")),
    }
}

fn open(server: &Server, pem: &Path) -> Result<Vec<Row>> {
    let pem = std::fs::read(pem).map_err(|error| format!("no certificate: {error}"))?;
    let client = Client::builder().ca(pem).ping_interval(None);
    let url = format!("wss://{}/", server.address());
    let connect = || client.connect(&url).map_err(|error| error.to_string());
    // What OpenSSL makes once, at its first handshake, is no client's cost.
    drop(connect()?);
    let empty_kib = server.usage()?.rss_kib;
    let meter = Meter::start(server)?;
    let opening = Instant::now();
    let crowd: Result<Vec<Connection>> = (0..CLIENTS).map(|_| connect()).collect();
    let crowd = crowd?;
    let opened = CLIENTS as f64 / opening.elapsed().as_secs_f64();
    let measured = meter.stop()?;
    let mut row = Row::new("tls", CLIENTS);
    row.memory(empty_kib, measured.rss_kib);
    row.other(
        "connections a second while opening one after the other",
        opened,
    );
    row.other(
        "us of the server's CPU for opening one",
        measured.server.cpu.as_secs_f64() * 1e6 / CLIENTS as f64,
    );
    drop(crowd);
    Ok(vec![row])
}
