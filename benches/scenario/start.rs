//! How soon a server answers, and how small it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::PATIENCE;
use crate::latencies::Latencies;
use crate::process::PLAINWS;
use crate::table::{Column, Row};

const STARTS: usize = 20;
/// After this time the memory is read.
const IDLE: Duration = Duration::from_millis(500);

/// Starts the daemon again and again.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let mut row = Row::new("start", 0);
    let mut latencies = Latencies::default();
    for round in 1..=STARTS {
        let spawned = Instant::now();
        let mut server = super::plainws("counter", &[])?;
        check_health(server.address()).map_err(|error| server.explain(error))?;
        latencies.record(spawned.elapsed());
        if round == STARTS {
            thread::sleep(IDLE.saturating_sub(spawned.elapsed()));
            row.set(Column::Rss, server.usage()?.rss_kib as f64);
        }
    }
    row.latencies(latencies);
    let (size, stripped) = binary_size()?;
    row.other(
        if stripped {
            "KiB of the stripped binary"
        } else {
            "KiB of the binary as built (there is no strip here)"
        },
        size as f64 / 1024.0,
    );
    row.remark(format!(
        "p50 to max: until /healthz has answered, of {STARTS} starts"
    ));
    Ok(vec![row])
}

/// Asks for `/healthz`, which must answer 200.
fn check_health(address: SocketAddr) -> Result<()> {
    match ask_health(address) {
        Ok(start) if start == *b"HTTP/1.1 200 " => Ok(()),
        Ok(start) => Err(format!(
            "/healthz was answered with {:?}",
            String::from_utf8_lossy(&start)
        )),
        Err(error) => Err(format!("/healthz was not answered: {error}")),
    }
}

fn ask_health(address: SocketAddr) -> std::io::Result<[u8; 13]> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 13];
    stream.read_exact(&mut start)?;
    Ok(start)
}

/// The size in bytes, and whether it is without symbols.
fn binary_size() -> Result<(u64, bool)> {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plainws-stripped");
    let stripped = Command::new("strip")
        .arg("-o")
        .args([&copy, Path::new(PLAINWS)])
        .status()
        .is_ok_and(|status| status.success());
    let measured = if stripped { &copy } else { Path::new(PLAINWS) };
    let size = std::fs::metadata(measured)
        .map_err(|error| format!("{} has no size: {error}", measured.display()))?
        .len();
    if stripped {
        std::fs::remove_file(&copy)
            .map_err(|error| format!("{} stays: {error}", copy.display()))?;
    }
    Ok((size, stripped))
}
