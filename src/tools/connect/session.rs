//! `Session`: the connection that the command is about, or one after the other with `--reconnect`.
//! Events come out in the thread `receive`; sending and closing go in from any other.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use plainws::{CloseCode, Closed, Connection, Error, Message, Result, Stopper};

use super::dial::Dial;
use super::event::{Event, close_line};

/// The shortest wait of [`Retry`]: a connection that lived shorter is surely followed by a wait,
/// and what it was lost by is told together with the time of that wait.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// How long `/ping` waits for its answer.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// How a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody could be reached, or not again.
    Failed(Error),
    Closed(Closed),
    /// It was stopped while it had no connection.
    Stopped,
}

/// A clone is a handle to the same session.
#[derive(Clone)]
pub(super) struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Told when a connection has come or gone, and at the end.
    changed: Condvar,
    stopper: Option<Stopper>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Somebody on this side wants it to end.
    asked: bool,
    /// What the last connection was lost by, if that is still to be told.
    lost: Option<String>,
    /// The last connection is closed, and how it ended is about to be told.
    ending: bool,
    end: Option<Arc<End>>,
}

impl Session {
    /// Starts to connect; `show` gets the events. The session goes on until [`end`](Session::end)
    /// says otherwise.
    pub(super) fn start(
        dial: Dial,
        show: impl Fn(&Session, Event) + Clone + Send + 'static,
    ) -> Result<Session> {
        let stopper = match &dial {
            Dial::Again(retry) => Some(retry.stopper()),
            _ => None,
        };
        let session = Session {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                changed: Condvar::new(),
                stopper,
            }),
        };
        let dial = match dial {
            Dial::Again(retry) => {
                let (session, show) = (session.clone(), show.clone());
                let tell = move |error: &Error, delay: Duration| {
                    let lost = session.state().lost.take();
                    let what = lost.unwrap_or_else(|| error.to_string());
                    let delay = delay.as_secs_f64();
                    let note = format!("{what}; trying again in {delay:.1}s");
                    show(&session, Event::Note(note));
                };
                let retry = retry.first_delay(FIRST_DELAY).on_failure(tell);
                Dial::Again(Box::new(retry))
            }
            dial => dial,
        };
        let receiving = session.clone();
        thread::Builder::new()
            .name("receive".to_owned())
            .spawn(move || {
                let end = receiving.receive(dial, show);
                receiving.finish(end);
            })
            .map_err(Error::other)?;
        Ok(session)
    }

    /// The life of the thread `receive`.
    fn receive(&self, mut dial: Dial, show: impl Fn(&Session, Event)) -> End {
        let show = |event| show(self, event);
        loop {
            let connection = match dial.connect() {
                Some(Ok(connection)) => connection,
                Some(Err(error)) => return End::Failed(error),
                None => return End::Stopped,
            };
            let opened = Instant::now();
            let subprotocol = connection.subprotocol().map(str::to_owned);
            if !self.opened(&connection) {
                return End::Stopped;
            }
            show(Event::Open(subprotocol));
            let closed = loop {
                match connection.recv() {
                    Ok(message) => show(Event::Message(message)),
                    Err(Error::Closed(closed)) => break *closed,
                    Err(error) => {
                        break Closed {
                            lost: Some(error.to_string()),
                            ..Closed::default()
                        };
                    }
                }
            };
            // A server that shuts down says 1001: to connect again is what one waits for then.
            let goodbye = closed.is_normal() && closed.code() != CloseCode::GOING_AWAY;
            let ending = {
                let mut state = self.state();
                state.connection = None;
                state.ending = state.asked || goodbye || !matches!(dial, Dial::Again(_));
                state.ending
            };
            show(Event::Closed(closed.clone()));
            if ending {
                return End::Closed(closed);
            }
            let lost = lost_line(&closed);
            if opened.elapsed() < FIRST_DELAY {
                self.state().lost = Some(lost);
            } else {
                show(Event::Note(format!("{lost}; trying again")));
            }
        }
    }

    /// False if nobody wants this connection any more.
    fn opened(&self, connection: &Connection) -> bool {
        let mut state = self.state();
        state.lost = None;
        if !state.asked {
            state.connection = Some(connection.clone());
            self.inner.changed.notify_all();
        }
        !state.asked
    }

    fn finish(&self, end: End) {
        let mut state = self.state();
        state.connection = None;
        state.end.get_or_insert_with(|| Arc::new(end));
        self.inner.changed.notify_all();
    }

    /// Sends on the connection that is open now.
    ///
    /// # Errors
    ///
    /// A sentence, if there is none or it has just ended.
    pub(super) fn send(&self, message: Message) -> std::result::Result<(), String> {
        let connection = self.state().connection.clone();
        match connection {
            Some(connection) => connection
                .send(message)
                .map_err(|error| format!("not sent: {error}")),
            None => Err("not sent: there is no connection".to_owned()),
        }
    }

    /// Waits for a connection, other than number `gone`. `None` when the session is over.
    pub(super) fn connection(&self, gone: Option<u64>) -> Option<Connection> {
        let mut state = self.state();
        loop {
            if state.end.is_some() {
                return None;
            }
            match &state.connection {
                Some(connection) if Some(connection.id()) != gone => {
                    return Some(connection.clone());
                }
                _ => state = self.wait(state),
            }
        }
    }

    /// Sends a ping and waits for its answer: a sentence, whatever comes of it.
    pub(super) fn ping(&self) -> String {
        let Some(connection) = self.state().connection.clone() else {
            return "no ping was sent: there is no connection".to_owned();
        };
        let before = connection.latency();
        if let Err(error) = connection.ping() {
            return format!("no ping was sent: {error}");
        }
        let start = Instant::now();
        // The library tells nobody when a pong comes, and two never take the same nanoseconds.
        while start.elapsed() < PONG_TIMEOUT && !connection.is_closed() {
            if let Some(latency) = connection.latency().filter(|&now| Some(now) != before) {
                return format!("pong after {:.1} ms", latency.as_secs_f64() * 1000.0);
            }
            thread::sleep(Duration::from_millis(2));
        }
        match connection.is_closed() {
            true => "no pong came before the end".to_owned(),
            false => format!("no pong within {PONG_TIMEOUT:?}"),
        }
    }

    /// Closes and waits for the answer, for the close timeout at most. Without a connection the
    /// session is over at once, whatever an attempt to connect is doing.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a code or a reason that cannot be sent; then nothing happens.
    pub(super) fn close(&self, code: CloseCode, reason: &str) -> Result<()> {
        let mut state = self.state();
        // Decided before the frame leaves: the receiving thread asks as soon as the answer comes.
        let before = std::mem::replace(&mut state.asked, true);
        match state.connection.clone() {
            Some(connection) => {
                drop(state);
                let closed = connection.close(code, reason);
                if closed.is_err() {
                    self.state().asked = before;
                }
                closed
            }
            None if state.ending => Ok(()),
            None => {
                state.end.get_or_insert_with(|| Arc::new(End::Stopped));
                self.inner.changed.notify_all();
                if let Some(stopper) = &self.inner.stopper {
                    stopper.stop();
                }
                Ok(())
            }
        }
    }

    /// Says goodbye: 1000, without a reason.
    pub(super) fn leave(&self) {
        // That code may always be sent.
        let _ = self.close(CloseCode::NORMAL, "");
    }

    /// Waits until the session is over.
    pub(super) fn end(&self) -> Arc<End> {
        let mut state = self.state();
        loop {
            match &state.end {
                Some(end) => return Arc::clone(end),
                None => state = self.wait(state),
            }
        }
    }

    /// Waits for the end for this long at most. Whether it has come.
    pub(super) fn ends_within(&self, timeout: Duration) -> bool {
        let (state, _) = self
            .inner
            .changed
            .wait_timeout_while(self.state(), timeout, |state| state.end.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.end.is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().end.is_some()
    }

    /// Whether this end is what was wanted: a goodbye of either side, or one of ours with the
    /// code that `/close` was given.
    pub(super) fn is_fine(&self, closed: &Closed) -> bool {
        let both = closed.sent.is_some() && closed.received.is_some();
        closed.is_normal() || (self.state().asked && both && !closed.received_first)
    }

    /// Whether this side has closed first, as somebody asked for.
    pub(super) fn left_first(&self, closed: &Closed) -> bool {
        self.state().asked && closed.sent.is_some() && !closed.received_first
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let state = self.inner.changed.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// `connection lost: REASON`, or how else it ended, for a sentence that goes on.
fn lost_line(closed: &Closed) -> String {
    let line = close_line(closed);
    let line = line.trim_end_matches('.');
    match line.split_once("1006 (connection lost): ") {
        Some((_, reason)) => format!("connection lost: {reason}"),
        None => line.replacen("Connection", "connection", 1),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Session")
            .field("asked", &state.asked)
            .field("end", &state.end)
            .finish_non_exhaustive()
    }
}
