//! What one client that does not read costs the others, and what it has in the end.

use std::net::SocketAddr;
use std::time::Duration;

use super::fan::{CLIENTS, Fan};
use super::updates::{Pace, Until, read_up_to};
use crate::Result;
use crate::client::Client;
use crate::process::Server;
use crate::table::Row;

const PACE: Pace = Pace::Every(Duration::from_millis(10));
/// So many updates are sent at once to fill the stopped client's sockets,
const FILLING: usize = 1000;
/// and no more often than this.
const FILLINGS: usize = 100;

/// The same schedule of updates twice: for clients that read, and beside one that has stopped.
pub(crate) fn measure(server: &Server, duration: Duration) -> Result<Vec<Row>> {
    let mut fan = Fan::open(server)?;
    let without = fan.load(Row::new("slow", CLIENTS), PACE, duration)?;

    let (before, sent_before) = (server.usage()?, fan.updates.count());
    let mut stopped = Client::connect_narrow(server.address())
        .map_err(|error| format!("the client that is to stop: {error}"))?;
    let mut with = Row::new("slow+1", CLIENTS + 1);
    if !fill(server, &mut fan, &stopped)? {
        with.remark("the sockets of the client that does not read never got full".into());
    }

    let mut with = fan.load(with, PACE, duration)?;
    let after = server.usage()?;

    let states = read_up_to(&mut stopped, fan.updates.newest())
        .map_err(|error| format!("the client that had stopped: {error}"))?;
    with.other(
        "KiB more of the server's RSS since the client came that does not read",
        after.rss_kib as f64 - before.rss_kib as f64,
    );
    with.other(
        "updates sent while it did not read",
        (fan.updates.count() - sent_before) as f64,
    );
    with.other(
        "states it had when it had read everything, the newest last",
        states as f64,
    );
    Ok(vec![without, with])
}

/// Sends updates until the kernel takes no more of them for a client that does not read, so that
/// the server has to do something about it. False if that does not happen.
fn fill(server: &Server, fan: &mut Fan<'_>, stopped: &Client) -> Result<bool> {
    let (from, to) = (server.address(), stopped.local_address()?);
    let mut queued = None;
    for _ in 0..FILLINGS {
        let until = Until::Sent(FILLING);
        fan.updates
            .drive(&mut fan.crowd, Pace::Window(100), until)?;
        fan.updates.finish(&mut fan.crowd)?;
        fan.updates.take_latencies();
        let earlier = queued.replace(send_queue(from, to)?);
        if earlier == queued {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many bytes the kernel holds that one end has sent and the other has not taken.
fn send_queue(from: SocketAddr, to: SocketAddr) -> Result<u64> {
    const PATH: &str = "/proc/net/tcp";
    let table =
        std::fs::read_to_string(PATH).map_err(|error| format!("cannot read {PATH}: {error}"))?;
    let (from, to) = (
        format!(":{:04X}", from.port()),
        format!(":{:04X}", to.port()),
    );
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.len() > 4 && fields[1].ends_with(&from) && fields[2].ends_with(&to))
        .and_then(|fields| fields[4].split_once(':'))
        .and_then(|(sending, _)| u64::from_str_radix(sending, 16).ok())
        .ok_or_else(|| {
            "the server no longer has the connection of the client that has stopped".into()
        })
}
