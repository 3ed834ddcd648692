//! `Shared`: what a server's threads and its handles have in common, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::caretaker::Caretaker;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::lock::Lock;
use crate::server::metrics::{Counters, Metrics};
use crate::server::pulse::Pulse;
use crate::server::roster::Roster;
use crate::server::rules::Rules;
use crate::server::threads::Threads;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    /// Of the listeners.
    pub(crate) addresses: Vec<Address>,
    /// Of their accept loops.
    pub(crate) pulses: Vec<Arc<Pulse>>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) caretaker: Arc<Caretaker>,
    pub(crate) counters: Counters,
    /// What has ended the server, if it ended by itself.
    pub(crate) failed: Lock<Option<Error>>,
}

impl Shared {
    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        self.counters.fill(&mut metrics);
        self.roster.fill(&mut metrics);
        metrics
    }

    /// Closes all connections, cuts those that do not answer in time, and waits until all threads
    /// have ended but the caller's own. Whether they have.
    pub(crate) fn shutdown(&self, limit: Duration) -> bool {
        let end = Deadline::after(limit);
        // Who does not answer is cut early enough that its thread ends before the deadline.
        let grace = (limit / 5).min(Duration::from_millis(500));
        let cut = Deadline::after(limit - grace);
        self.roster.close();
        self.pulses.iter().for_each(|pulse| pulse.stop());
        self.threads.wait(cut) || {
            self.roster.cut();
            self.threads.wait(end)
        }
    }

    /// A listener broke: ends the server, so that nobody believes it serves.
    pub(crate) fn fail(&self, why: Error) {
        *self.failed.lock() = Some(why);
        self.shutdown(self.config.close_timeout);
    }
}
