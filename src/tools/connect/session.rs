//! `Session`: the connection that the command is about, or one after the other with `--reconnect`.
//! Events come out in the thread `receive`; sending and closing go in from any other.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plainws::{CloseCode, Closed, Connection, Error, Message, Result, Stopper};

use super::dial::Dial;
use super::end::End;
use super::lines::{Event, lost_line};
use super::spawn::spawn;
use crate::deadline::Deadline;
use crate::lock::{Lock, Signal};

/// The shortest wait of [`Retry`]: a connection that lived shorter is surely followed by a wait,
/// and what it was lost by is told together with the time of that wait.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// How long `/ping` waits for its answer.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// A clone is a handle to the same session.
#[derive(Clone)]
pub(super) struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    state: Lock<State>,
    /// Told when a connection has come or gone, and at the end.
    changed: Signal,
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
    ) -> io::Result<Session> {
        let stopper = match &dial {
            Dial::Again(retry) => Some(retry.stopper()),
            _ => None,
        };
        let session = Session {
            inner: Arc::new(Inner {
                state: Lock::default(),
                changed: Signal::new(),
                stopper,
            }),
        };
        let dial = match dial {
            Dial::Again(retry) => {
                let (session, show) = (session.clone(), show.clone());
                let tell = move |error: &Error, delay: Duration| {
                    let lost = session.inner.state.lock().lost.take();
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
        spawn("receive", move || {
            let end = receiving.receive(dial, show);
            receiving.finish(end);
        })?;
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
                let mut state = self.inner.state.lock();
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
                self.inner.state.lock().lost = Some(lost);
            } else {
                show(Event::Note(format!("{lost}; trying again")));
            }
        }
    }

    /// False if nobody wants this connection any more.
    fn opened(&self, connection: &Connection) -> bool {
        let mut state = self.inner.state.lock();
        state.lost = None;
        if !state.asked {
            state.connection = Some(connection.clone());
            self.inner.changed.notify_all();
        }
        !state.asked
    }

    fn finish(&self, end: End) {
        let mut state = self.inner.state.lock();
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
        let connection = self.inner.state.lock().connection.clone();
        match connection {
            Some(connection) => connection
                .send(message)
                .map_err(|error| format!("not sent: {error}")),
            None => Err("not sent: there is no connection".to_owned()),
        }
    }

    /// Waits for a connection, other than number `gone`. `None` when the session is over.
    pub(super) fn connection(&self, gone: Option<u64>) -> Option<Connection> {
        let mut state = self.inner.state.lock();
        loop {
            if state.end.is_some() {
                return None;
            }
            match &state.connection {
                Some(connection) if Some(connection.id()) != gone => {
                    return Some(connection.clone());
                }
                _ => state = self.inner.changed.wait(state, Deadline::NEVER),
            }
        }
    }

    /// Sends a ping and waits for its answer: a sentence, whatever comes of it.
    pub(super) fn ping(&self) -> String {
        let Some(connection) = self.inner.state.lock().connection.clone() else {
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
        let mut state = self.inner.state.lock();
        // Decided before the frame leaves: the receiving thread asks as soon as the answer comes.
        let before = std::mem::replace(&mut state.asked, true);
        match state.connection.clone() {
            Some(connection) => {
                drop(state);
                let closed = connection.close(code, reason);
                if closed.is_err() {
                    self.inner.state.lock().asked = before;
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

    /// The same, in a thread of its own: it waits for the peer's answer, which only the thread
    /// `receive`, maybe the caller, can take.
    pub(super) fn leave_soon(&self) {
        let session = self.clone();
        // Without a thread the peer is not told.
        let _ = spawn("leave", move || session.leave());
    }

    /// Waits until the session is over.
    pub(super) fn end(&self) -> Arc<End> {
        let mut state = self.inner.state.lock();
        loop {
            match &state.end {
                Some(end) => return Arc::clone(end),
                None => state = self.inner.changed.wait(state, Deadline::NEVER),
            }
        }
    }

    /// Waits until the session is over: the exit code, and the sentence about it, if there is one.
    pub(super) fn verdict(&self) -> (u8, Option<String>) {
        self.end().verdict(|closed| self.is_fine(closed))
    }

    /// Waits for the end for this long at most. Whether it has come.
    pub(super) fn ends_within(&self, timeout: Duration) -> bool {
        let deadline = Deadline::after(timeout);
        let mut state = self.inner.state.lock();
        while state.end.is_none() && !deadline.has_passed() {
            state = self.inner.changed.wait(state, deadline);
        }
        state.end.is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        self.inner.state.lock().end.is_some()
    }

    /// Whether this end is what was wanted: a goodbye of either side, or one of ours with the
    /// code that `/close` was given.
    fn is_fine(&self, closed: &Closed) -> bool {
        let both = closed.sent.is_some() && closed.received.is_some();
        closed.is_normal() || (self.inner.state.lock().asked && both && !closed.received_first)
    }

    /// Whether this side has closed first, as somebody asked for.
    pub(super) fn left_first(&self, closed: &Closed) -> bool {
        self.inner.state.lock().asked && closed.sent.is_some() && !closed.received_first
    }
}
