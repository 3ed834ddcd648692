//! What the server and the load generator use while something is measured.

use std::time::{Duration, Instant};

use crate::Result;
use crate::process::Server;
use crate::usage::{Spent, Usage};

/// A measurement that runs.
pub(crate) struct Meter<'a> {
    server: &'a Server,
    server_before: Usage,
    generator_before: Usage,
    start: Instant,
}

/// What was measured.
pub(crate) struct Measured {
    /// Without the time that reading `/proc` took, which is in the others.
    pub(crate) elapsed: Duration,
    pub(crate) server: Spent,
    pub(crate) generator: Spent,
    /// Of the server at the end.
    pub(crate) rss_kib: u64,
}

impl Meter<'_> {
    pub(crate) fn start(server: &Server) -> Result<Meter<'_>> {
        // The server comes first: reading of its thousands of threads is no work of the
        // generator's.
        Ok(Meter {
            server,
            server_before: server.usage()?,
            generator_before: Usage::of(std::process::id())?,
            start: Instant::now(),
        })
    }

    /// How long it runs.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn stop(self) -> Result<Measured> {
        let elapsed = self.elapsed();
        let generator = Usage::of(std::process::id())?;
        let server = self.server.usage()?;
        Ok(Measured {
            elapsed,
            server: server.since(&self.server_before),
            generator: generator.since(&self.generator_before),
            rss_kib: server.rss_kib,
        })
    }
}
