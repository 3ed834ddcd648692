//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, how many clients
//! there are, and that the accept loops answer.
//!
//! Comes in: what `serve.rs` does, and the server. Goes out: datagrams to `NOTIFY_SOCKET`; without
//! that variable nothing is done, and no thread runs. The thread `notify` sleeps until the number of
//! clients changes, which it tells at most once a second, or the watchdog is to be fed, which is twice
//! in its time; without a watchdog and without changes it is never woken.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{error, warn};
use plainws::{Result, Server};
use sd_notify::NotifyState;

/// A number that changes all the time is told this often.
const PAUSE: Duration = Duration::from_secs(1);

/// How long closing may take beyond the close timeout: saving state, joining threads.
const GRACE: Duration = Duration::from_secs(5);

/// The way to the service manager.
pub(super) struct Notify {
    server: Arc<Server>,
    /// Dropping the sender ends the thread.
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Notify {
    /// Tells that all listeners stand, and starts to tell what follows.
    pub(super) fn ready(server: &Arc<Server>) -> Result<Notify> {
        let server = Arc::clone(server);
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            let thread = None;
            return Ok(Notify { server, thread });
        }
        let told = server.connections();
        tell(&[NotifyState::Ready, NotifyState::Status(&status(told))]);
        let (ended, end) = mpsc::channel();
        let rounds = Rounds {
            server: Arc::clone(&server),
            end,
            told,
            every: sd_notify::watchdog_enabled().map(|bites_after| bites_after / 2),
            due: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("notify".to_owned())
            .spawn(move || rounds.run())
            .map_err(|error| format!("cannot start the thread that notifies systemd: {error}"))?;
        let thread = Some((ended, thread));
        Ok(Notify { server, thread })
    }

    /// Runs `reload`, of which the service manager is told its begin and its end.
    pub(super) fn reloading(&self, reload: impl FnOnce()) {
        // The time is what Type=notify-reload knows this reload by.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
        reload();
        let status = status(self.server.connections());
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// The server closes its connections, which takes `limit` at most.
    pub(super) fn stopping(&self, limit: Duration) {
        let clients = self.server.connections();
        let limit = u32::try_from((limit + GRACE).as_micros()).unwrap_or(u32::MAX);
        tell(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(limit),
            NotifyState::Status(&format!("closing {clients} connections")),
        ]);
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        // The server has been shut down, which ends the thread, too, where it waits for clients.
        if let Some((ended, thread)) = self.thread.take() {
            drop(ended);
            let _ = thread.join();
        }
    }
}

fn status(clients: usize) -> String {
    format!("clients: {clients}")
}

/// A service manager that does not listen is none: the service goes on.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(failed) = sd_notify::notify(states) {
        warn!("cannot notify the service manager: {failed}");
    }
}

/// What the thread remembers.
struct Rounds {
    server: Arc<Server>,
    end: Receiver<()>,
    /// The number of clients that the service manager knows.
    told: usize,
    /// The watchdog, if there is one, is fed in half of the time after which it bites.
    every: Option<Duration>,
    due: Instant,
}

impl Rounds {
    fn run(mut self) {
        loop {
            if let Some(every) = self.every
                && self.due <= Instant::now()
            {
                self.due = Instant::now() + every;
                self.feed(every / 2);
            }
            let Some(clients) = self.server.wait_connections(self.told, self.left()) else {
                return;
            };
            if clients == self.told {
                continue;
            }
            tell(&[NotifyState::Status(&status(clients))]);
            self.told = clients;
            let pause = self.left().map_or(PAUSE, |left| left.min(PAUSE));
            if self.end.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// The time until the watchdog is to be fed.
    fn left(&self) -> Option<Duration> {
        let left = self.due.saturating_duration_since(Instant::now());
        self.every.map(|_| left)
    }

    /// Feeds the watchdog if every accept loop answers. If one does not it bites in the end, and the
    /// service manager starts the service again.
    fn feed(&self, limit: Duration) {
        if self.server.is_accepting(limit) {
            tell(&[NotifyState::Watchdog]);
        } else if self.server.wait_connections(usize::MAX, None).is_some() {
            error!("an accept loop does not answer: the watchdog is not fed");
        }
    }
}
