//! The accept loop of one listener, and what a client's thread does from its first byte to its
//! last.
//!
//! The loop outlives whatever accepting or starting a thread may refuse: it only waits a little
//! and says so. It answers no request itself, and never waits for a client.

use std::io;
use std::net::IpAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use tungstenite::protocol::Role;

use crate::address::Address;
use crate::caretaker::Caretaker;
use crate::close::{CloseCode, CloseFrame};
use crate::config::Config;
use crate::connection::{self, Connection, Opened};
use crate::deadline::Deadline;
use crate::error::panic_text;
use crate::escaped::Escaped;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::server::handshake::{self, Handler, Outcome, Place, Rules};
use crate::server::listener::Listener;
use crate::server::metrics::{Counters, Reason};
use crate::server::proxies::Caller as Shown;
use crate::server::pulse::Pulse;
use crate::server::roster::{Full, Roster};
use crate::tls::Tls;
use crate::wire::bell::Bell;
use crate::wire::{self, Wire};

/// How long the loop rests when the system refuses to accept.
const REST: Duration = Duration::from_millis(100);
/// A lasting trouble is told this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What every client of a server shares.
pub(crate) struct Reception {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    pub(crate) roster: Arc<Roster>,
    pub(crate) caretaker: Arc<Caretaker>,
    pub(crate) counters: Counters,
}

/// What a client is told when the server stops.
pub(crate) fn goodbye() -> CloseFrame {
    CloseFrame::cut(CloseCode::GOING_AWAY, "server is shutting down")
}

/// How an accept loop is reached from outside.
#[derive(Debug)]
pub(crate) struct Door {
    /// Wakes the loop: it answers, or ends once the bell is stopped.
    pub(crate) bell: Bell,
    /// Beats each time the loop has answered its bell.
    pub(crate) pulse: Pulse,
}

impl Door {
    pub(crate) fn new() -> io::Result<Door> {
        Ok(Door {
            bell: Bell::new()?,
            pulse: Pulse::default(),
        })
    }
}

/// Accepts clients until the door's bell is stopped. `number` is the listener's in the order given.
///
/// # Errors
///
/// Only when the listener itself is broken.
pub(crate) fn run(
    reception: &Arc<Reception>,
    listener: &Listener,
    number: usize,
    door: &Door,
) -> io::Result<()> {
    let bell = &door.bell;
    let mut refused = Nag::default();
    // The listener may stay ready, so that poll would spin. Only a ring ends the rest early.
    let mut rest = |error: &io::Error| {
        let name = listener.local_addr();
        refused.tell(|| warn!("cannot accept clients at {name}: {error}; trying again"));
        if wire::poll(&mut [bell.poll_fd()], Deadline::after(REST)).is_err() {
            thread::sleep(REST);
        }
    };
    let mut turned_away = Nag::default();
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), bell.poll_fd()];
        if let Err(error) = wire::poll(&mut fds, Deadline::NEVER) {
            // For want of kernel memory.
            rest(&error);
            continue;
        }
        let [client, rung] = fds.map(|fd| fd.revents());
        if bell.is_stopped() {
            return Ok(());
        }
        if !rung.is_empty() {
            bell.answer();
            door.pulse.beat();
        }
        if client.is_empty() {
            continue;
        }
        match listener.accept() {
            Ok((wire, peer)) => {
                let local = listener.local_addr().clone();
                let caller = Caller {
                    wire: Arc::new(wire),
                    peer,
                    local,
                    listener: number,
                    tls: listener.tls().cloned(),
                };
                admit(reception, caller, &mut turned_away);
            }
            Err(error) if is_broken(&error) => return Err(error),
            // Somebody else took the client, or it has given up already.
            Err(error) if is_passing(&error) && client == PollFlags::IN => {}
            // Out of descriptors or memory, or the listener has an error of its own.
            Err(error) => rest(&error),
        }
    }
}

fn is_broken(error: &io::Error) -> bool {
    let broken = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP];
    broken
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::WouldBlock | K::Interrupted | K::ConnectionAborted | K::ConnectionReset
    )
}

/// A client that was just accepted.
struct Caller {
    wire: Arc<Wire>,
    peer: Address,
    local: Address,
    listener: usize,
    tls: Option<Tls>,
}

fn admit(reception: &Arc<Reception>, caller: Caller, refused: &mut Nag) {
    let id = connection::next_id();
    let wire = Arc::clone(&caller.wire);
    let peer = caller.peer.clone();
    let is_plain = caller.tls.is_none();
    let serve = {
        let reception = Arc::clone(reception);
        move || serve(&reception, id, caller)
    };
    if let Err(full) = reception.roster.start(id, &wire, serve) {
        reception.counters.refused(reason(&full));
        refused.tell(|| warn!("client {peer} turned away: {}", why_full(&full)));
        // A TLS client would not understand the answer.
        if is_plain {
            handshake::turn_away(&wire, &no_place(&full));
        }
    }
}

fn why_full(full: &Full) -> String {
    match full {
        Full::Stopping => "the server is shutting down".to_owned(),
        Full::Places(limit) => format!("all {limit} places are taken"),
        Full::Address(limit) => format!("all {limit} places of its address are taken"),
        Full::Thread(error) => format!("cannot start a thread: {error}"),
    }
}

fn reason(full: &Full) -> Reason {
    match full {
        Full::Stopping => Reason::Stopping,
        Full::Places(_) => Reason::Full,
        Full::Address(_) => Reason::Address,
        Full::Thread(_) => Reason::Threads,
    }
}

fn no_place(full: &Full) -> Response {
    handshake::busy(&match full {
        Full::Stopping => "the server is shutting down".to_owned(),
        Full::Places(_) => "too many clients, try again later".to_owned(),
        Full::Address(limit) => format!(
            "too many connections from your address, which may have {limit} at once; close one, or \
             try again later"
        ),
        Full::Thread(_) => "too few resources, try again later".to_owned(),
    })
}

/// The whole life of a client, in its own thread.
fn serve(reception: &Arc<Reception>, id: u64, caller: Caller) {
    let Caller {
        wire,
        peer,
        local,
        listener,
        tls,
    } = caller;
    // From the request on it is known who is behind a proxy.
    let named = |client: Option<IpAddr>| Shown {
        peer: &peer,
        client,
    };
    let (roster, counters) = (&reception.roster, &reception.counters);
    let seat = |request: &Request| {
        let seated = roster.seat(id, request.client_ip());
        seated.map_err(|full| (reason(&full), no_place(&full)))
    };
    let place = Place {
        listener,
        peer: &peer,
        tls: tls.as_ref(),
    };
    let opened = handshake::open(&wire, &reception.rules, place, seat);
    let (request, rest, subprotocol, handler) = match opened {
        Outcome::Upgraded {
            request,
            rest,
            subprotocol,
            handler,
        } => (request, rest, subprotocol, handler),
        Outcome::Page { request } => {
            counters.page();
            let caller = named(request.client_ip());
            return debug!(
                "ws-conn-{id} {caller} page {} sent",
                Escaped(request.path())
            );
        }
        Outcome::Refused {
            client,
            path,
            reason,
            status,
            why,
        } => {
            counters.refused(reason);
            let (caller, why) = (named(client), Escaped(&why));
            let path = path
                .as_deref()
                .map_or_else(String::new, |path| format!(" {}", Escaped(path)));
            return match status {
                Some(status) => info!(
                    connection = id, peer:% = caller, path = path.trim_start(), status,
                    reason = reason.name();
                    "ws-conn-{id} {caller}{path} handshake refused with {status}: {why}"
                ),
                None => info!(
                    connection = id, peer:% = caller, reason = reason.name();
                    "ws-conn-{id} {caller}{path} handshake failed: {why}"
                ),
            };
        }
    };
    counters.accepted();
    let caller = named(request.client_ip()).to_string();
    let name = format!("ws-conn-{id} {caller}");
    let connection = Connection::new(Opened {
        id,
        role: Role::Server,
        config: reception.config.clone(),
        wire,
        caretaker: Arc::clone(&reception.caretaker),
        peer,
        local,
        request,
        subprotocol,
        response: Box::default(),
        rest,
    });
    info!(
        connection = id, peer:% = caller, path:% = Escaped(connection.path());
        "{name} {} opened", Escaped(connection.path())
    );
    roster.opened(id, &connection, goodbye());
    let goodbye = handle(&connection, &handler, &name);
    connection.finish(goodbye);
    connection.log_end();
}

/// Runs the handler; what the connection is closed with.
fn handle(connection: &Connection, handler: &Handler, name: &str) -> CloseFrame {
    let path = Escaped(connection.path());
    match panic::catch_unwind(AssertUnwindSafe(|| handler(connection))) {
        Ok(Ok(())) => CloseFrame::cut(CloseCode::NORMAL, ""),
        // That its peer has gone is no error of a handler, whatever call told it so.
        Ok(Err(error)) if error.is_closed() && connection.is_closed() => {
            CloseFrame::cut(CloseCode::NORMAL, "")
        }
        Ok(Err(failed)) => {
            error!(
                "{name} {path} handler failed: {}",
                Escaped(&failed.to_string())
            );
            CloseFrame::cut(CloseCode::INTERNAL_ERROR, "")
        }
        Err(panic) => {
            error!(
                "{name} {path} handler panicked: {}",
                Escaped(panic_text(&*panic))
            );
            CloseFrame::cut(CloseCode::INTERNAL_ERROR, "")
        }
    }
}

/// Says a thing at most once in a while.
#[derive(Default)]
struct Nag(Option<Instant>);

impl Nag {
    fn tell(&mut self, say: impl FnOnce()) {
        if self.0.is_none_or(|last| last.elapsed() >= TELL_EVERY) {
            self.0 = Some(Instant::now());
            say();
        }
    }
}
