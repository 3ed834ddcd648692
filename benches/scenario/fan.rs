//! Updates of one client for 500, as fast as a pace allows.

use std::time::Duration;

use super::updates::{Pace, Until, Updates};
use crate::Result;
use crate::crowd::Crowd;
use crate::meter::Meter;
use crate::process::Server;
use crate::table::Row;

/// How many clients get each update.
pub(crate) const CLIENTS: usize = 500;

/// Sends updates for some time; then every client must end with the newest state.
pub(crate) fn measure(
    name: &'static str,
    server: &Server,
    pace: Pace,
    duration: Duration,
) -> Result<Vec<Row>> {
    let row = Row::new(name, CLIENTS);
    Ok(vec![Fan::open(server)?.load(row, pace, duration)?])
}

/// A counter and the clients it tells its state.
pub(crate) struct Fan<'a> {
    server: &'a Server,
    /// Its memory before the first client.
    empty_kib: u64,
    pub(crate) crowd: Crowd,
    pub(crate) updates: Updates,
}

impl Fan<'_> {
    pub(crate) fn open(server: &Server) -> Result<Fan<'_>> {
        let empty_kib = server.usage()?.rss_kib;
        let mut crowd = Crowd::open(server.address(), CLIENTS)?;
        let updates = Updates::join(&mut crowd)?;
        Ok(Fan {
            server,
            empty_kib,
            crowd,
            updates,
        })
    }

    /// Sends updates for some time and fills in the row.
    pub(crate) fn load(&mut self, mut row: Row, pace: Pace, duration: Duration) -> Result<Row> {
        let meter = Meter::start(self.server)?;
        let until = Until::Passed(duration);
        let messages = self.updates.drive(&mut self.crowd, pace, until)?;
        let measured = meter.stop()?;
        self.updates.finish(&mut self.crowd)?;

        row.load(messages, &measured);
        row.latencies(self.updates.take_latencies());
        row.memory(self.empty_kib, measured.rss_kib);
        Ok(row)
    }
}
