//! `Retry`: an endless iterator of connections, which waits longer and longer between attempts
//! that fail, and `Stopper`, which ends it.
//!
//! All in the thread that asks for the next connection; another thread may stop it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::builder::ClientBuilder;
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::lock::{Lock, Signal};

const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(60);
/// Each delay is this many times the one before it.
const GROWTH: f64 = 1.6;
/// From nothing no delay grows, and an attempt without a pause is a hot loop.
const MIN_DELAY: Duration = Duration::from_millis(10);

/// Connections to one URL, one after the other, made by [`retry`](ClientBuilder::retry).
///
/// [`next`](Iterator::next) connects at once, and blocks until a connection is open. After a
/// failure that may pass it waits, for a time that grows from the first delay to the longest one,
/// and tries again. The same holds when it is called for the next connection sooner than that time
/// after it has given one: a server that accepts and closes is not asked in a hot loop. Each wait is
/// shortened by chance, down to half, so that clients which a restart has cut off together do not
/// come back together.
///
/// Failures that may pass are [`Error::Io`], [`Error::TimedOut`], and refusals with HTTP 429, 500,
/// 502, 503 or 504, also of a proxy. Any other is the iterator's last item.
///
/// It may be sent to another thread, and is used by one at a time; its [`Stopper`] by any.
///
/// ```no_run
/// let retry = plainws::Client::builder()
///     .retry("ws://localhost:8765/counter")
///     .on_failure(|error, delay| eprintln!("{error}; again in {delay:.1?}"));
/// for ws in retry {
///     let ws = ws?; // what will not pass: no such page, a wrong password
///     while let Ok(message) = ws.recv() {
///         println!("{message}");
///     }
/// }
/// # Ok::<(), plainws::Error>(())
/// ```
#[must_use = "it connects when it is asked for the next connection"]
pub struct Retry {
    client: ClientBuilder,
    url: String,
    first_delay: Duration,
    max_delay: Duration,
    attempts: Option<usize>,
    on_failure: Option<OnFailure>,
    stopper: Stopper,
    /// Before chance shortens it; `None` is the first one.
    delay: Option<Duration>,
    /// In a row.
    failures: usize,
    /// When the last connection was given.
    given: Option<Instant>,
    over: bool,
}

impl ClientBuilder {
    /// Connects again and again: an endless iterator of connections, which waits between attempts
    /// that fail. Does nothing until it is asked for the first one.
    ///
    /// ```no_run
    /// for ws in plainws::Client::builder().retry("ws://localhost:8765/counter") {
    ///     let ws = ws?; // what will not pass by trying again
    ///     while let Ok(message) = ws.recv() {
    ///         println!("{message}");
    ///     }
    /// }
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn retry(&self, url: &str) -> Retry {
        Retry {
            client: self.clone(),
            url: url.to_owned(),
            first_delay: FIRST_DELAY,
            max_delay: MAX_DELAY,
            attempts: None,
            on_failure: None,
            stopper: Stopper {
                stop: Arc::default(),
            },
            delay: None,
            failures: 0,
            given: None,
            over: false,
        }
    }
}

type OnFailure = Box<dyn FnMut(&Error, Duration) + Send>;

impl Retry {
    /// The delay after the first failure; each one after that is 1.6 times as long. At least
    /// 10 ms. Defaults to 1 s.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay.max(MIN_DELAY);
        self
    }

    /// The longest delay. Defaults to 60 s.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay.max(MIN_DELAY);
        self
    }

    /// Gives up after this many failures in a row: the last one's error is the iterator's last
    /// item. Defaults to never.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Calls `tell` before each wait, with what has failed and how long the wait will be.
    pub fn on_failure(mut self, tell: impl FnMut(&Error, Duration) + Send + 'static) -> Self {
        self.on_failure = Some(Box::new(tell));
        self
    }

    /// What ends this iterator from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    fn delay(&self) -> Duration {
        self.delay.unwrap_or(self.first_delay).min(self.max_delay)
    }

    /// Waits for a delay, or until it is stopped, and makes the next one longer.
    fn wait(&mut self, error: &Error) {
        let delay = self.delay();
        let times = |factor: f64| Duration::try_from_secs_f64(delay.as_secs_f64() * factor);
        self.delay = Some(times(GROWTH).unwrap_or(self.max_delay));
        // The longest one of all does not stand a rounding upwards.
        let shortened = times(rand::random::<f64>() / 2.0 + 0.5).unwrap_or(delay);
        if let Some(tell) = &mut self.on_failure {
            tell(error, shortened);
        }
        self.stopper.wait(shortened);
    }

    /// After a connection: waits if it was a short one, else the delays start afresh.
    fn follow(&mut self) {
        let Some(lived) = self.given.take().map(|given| given.elapsed()) else {
            return;
        };
        if lived < self.delay() {
            let ended = format!("the connection ended after {lived:.1?}");
            self.wait(&Error::other(ended));
        } else {
            self.delay = None;
        }
    }

    /// The next connection, or what will not pass; `None` when it was stopped.
    fn connect(&mut self) -> Option<Result<Connection>> {
        self.follow();
        while !self.stopper.is_stopped() {
            let connected = self.client.connect(&self.url);
            // A connection that nobody wants any more is closed as it is dropped.
            if self.stopper.is_stopped() {
                break;
            }
            let Err(error) = connected else {
                self.failures = 0;
                self.given = Some(Instant::now());
                return Some(connected);
            };
            self.failures += 1;
            let enough = self.attempts.is_some_and(|most| self.failures >= most);
            if enough || !may_pass(&error) {
                return Some(Err(error));
            }
            self.wait(&error);
        }
        None
    }
}

impl Iterator for Retry {
    type Item = Result<Connection>;

    fn next(&mut self) -> Option<Result<Connection>> {
        if self.over {
            return None;
        }
        let next = self.connect();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl std::iter::FusedIterator for Retry {}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("client", &self.client)
            .field("delay", &self.delay())
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

/// Whether trying again later makes sense.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Io { .. } | Error::TimedOut { .. } => true,
        Error::Refused(refused) => matches!(refused.status, 429 | 500 | 502 | 503 | 504),
        _ => false,
    }
}

/// Ends a [`Retry`], from any thread. A clone stops the same one.
#[derive(Clone, Debug)]
pub struct Stopper {
    stop: Arc<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: Lock<bool>,
    told: Signal,
}

impl Stopper {
    /// Ends the iteration: a call of `next` that waits for the next attempt returns `None` at once,
    /// one that connects when the attempt is done, after the opening timeout at the latest, and the
    /// closing timeout if it has succeeded. A connection that was given before stays open. Never
    /// blocks.
    pub fn stop(&self) {
        *self.stop.stopped.lock() = true;
        self.stop.told.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *self.stop.stopped.lock()
    }

    /// Waits, unless it is stopped.
    fn wait(&self, delay: Duration) {
        let deadline = Deadline::after(delay);
        let mut stopped = self.stop.stopped.lock();
        while !*stopped && !deadline.has_passed() {
            stopped = self.stop.told.wait(stopped, deadline);
        }
    }
}
