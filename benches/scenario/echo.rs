//! Clients that send a message again as soon as its echo is there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Result;
use crate::crowd::Crowd;
use crate::frame::{self, masked};
use crate::latencies::Latencies;
use crate::meter::Meter;
use crate::process::Server;
use crate::table::Row;

const CLIENTS: usize = 100;
const MESSAGE: [u8; 64] = [b'x'; 64];

/// Keeps so many messages of each client in flight.
pub(crate) fn measure(
    name: &'static str,
    server: &Server,
    in_flight: usize,
    duration: Duration,
) -> Result<Vec<Row>> {
    let empty_kib = server.usage()?.rss_kib;
    let mut crowd = Crowd::open(server.address(), CLIENTS)?;
    crowd.settle(Duration::from_millis(100), |_, client| {
        while client.next_message()?.is_some() {}
        Ok(())
    })?;

    let burst = masked(frame::TEXT, &MESSAGE).repeat(in_flight);
    let length = burst.len() / in_flight;
    let mut latencies = Latencies::default();
    // For each client when the messages were sent whose echoes are to come.
    let mut sent = vec![VecDeque::with_capacity(in_flight); CLIENTS];
    let mut messages = 0;

    let meter = Meter::start(server)?;
    for (index, sent) in sent.iter_mut().enumerate() {
        sent.resize(in_flight, Instant::now());
        crowd.send(index, &burst)?;
    }
    let mut heard = Instant::now();
    while meter.elapsed() < duration {
        let any = crowd.turn(Duration::from_secs(1), |index, client| {
            let now = Instant::now();
            let mut echoes = 0;
            while let Some(message) = client.next_message()? {
                if client.payload(&message) != MESSAGE {
                    return Err("the echo is not what was sent".into());
                }
                let sent = sent[index].pop_front();
                latencies.record(now - sent.ok_or("an echo of nothing that was sent")?);
                echoes += 1;
            }
            messages += echoes as u64;
            let now = Instant::now();
            sent[index].extend((0..echoes).map(|_| now));
            client.send(&burst[..echoes * length])
        })?;
        if any {
            heard = Instant::now();
        }
        Crowd::check_stall(heard, || "echoes are missing".into())?;
    }
    let measured = meter.stop()?;

    let mut row = Row::new(name, CLIENTS);
    row.load(messages, &measured);
    row.latencies(latencies);
    row.memory(empty_kib, measured.rss_kib);
    Ok(vec![row])
}
