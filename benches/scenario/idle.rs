//! What clients cost that do nothing.

use std::time::{Duration, Instant};

use crate::Result;
use crate::crowd::Crowd;
use crate::meter::Meter;
use crate::process::Server;
use crate::table::Row;
use crate::usage::{open_files, open_files_limit};

const CROWDS: [usize; 2] = [2_000, 10_000];
/// Open files that are no clients' sockets.
const RESERVE: u64 = 64;

/// Opens a crowd and looks at the server, then a greater one.
pub(crate) fn measure(server: &Server, duration: Duration) -> Result<Vec<Row>> {
    let empty_kib = server.usage()?.rss_kib;
    let files_without = open_files(server.pid())?;
    let mut crowd = Crowd::open(server.address(), 0)?;
    let mut rows = Vec::new();
    for clients in CROWDS {
        // How many files a client costs the server is known once there are some.
        let files = open_files(server.pid())? - files_without;
        let files_each = files.div_ceil(crowd.len().max(1) as u64).max(1);
        let mut row = Row::new("idle", clients);
        match shortage(server, clients as u64, files_each)? {
            Some(sentence) => row.remark(sentence),
            None => {
                let opening = Instant::now();
                let new = clients - crowd.len();
                crowd.grow_to(clients)?;
                let opened = new as f64 / opening.elapsed().as_secs_f64();
                hold(&mut row, server, empty_kib, &mut crowd, duration)?;
                row.other(
                    "connections a second while opening one after the other",
                    opened,
                );
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

fn hold(
    row: &mut Row,
    server: &Server,
    empty_kib: u64,
    crowd: &mut Crowd,
    duration: Duration,
) -> Result<()> {
    let mut messages: u64 = 0;
    crowd.settle(Duration::from_millis(300), |_, client| {
        while client.next_message()?.is_some() {}
        Ok(())
    })?;
    let meter = Meter::start(server)?;
    while meter.elapsed() < duration {
        crowd.turn(Duration::from_millis(100), |_, client| {
            while client.next_message()?.is_some() {
                messages += 1;
            }
            Ok(())
        })?;
    }
    let measured = meter.stop()?;
    row.load(messages, &measured);
    row.memory(empty_kib, measured.rss_kib);
    let spent = measured.server;
    row.other(
        "us of the server's CPU a second, with nothing to do",
        spent.cpu.as_secs_f64() * 1e6 / spent.elapsed.as_secs_f64(),
    );
    Ok(())
}

/// Why so many clients are not possible, if they are not.
fn shortage(server: &Server, clients: u64, files_each: u64) -> Result<Option<String>> {
    let ends = [
        ("the load generator", std::process::id(), 1),
        ("the server", server.pid(), files_each),
    ];
    for (who, pid, each) in ends {
        let (needed, limit) = (clients * each + RESERVE, open_files_limit(pid)?);
        if limit < needed {
            return Ok(Some(format!(
                "left out: {who} may open {limit} files and needs {needed} (ulimit -n)"
            )));
        }
    }
    Ok(None)
}
