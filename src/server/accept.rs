//! The accept loop of one listener, in its thread `ws-accept-0`: takes clients and starts an opener
//! for each.
//!
//! It outlives whatever accepting or starting a thread may refuse: it only waits a little and says
//! so. It answers no request itself, and never waits for a client.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log::{error, warn};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::address::Address;
use crate::complaint::Complaint;
use crate::deadline::Deadline;
use crate::error::{Error, Result, panic_text};
use crate::server::listener::Listener;
use crate::server::opening::Opening;
use crate::server::pulse::Pulse;
use crate::server::refusal::Refusal;
use crate::server::respond;
use crate::server::roster::Full;
use crate::server::shared::Shared;
use crate::tls::Tls;
use crate::wire::{self, Wire};

/// How long the loop rests when the system refuses to accept.
const REST: Duration = Duration::from_millis(100);

/// The loop of one listener.
pub(crate) struct Acceptor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listener: Listener,
    pub(crate) tls: Option<Tls>,
    /// The listener's number, in the order given.
    pub(crate) number: usize,
    pub(crate) pulse: Arc<Pulse>,
}

impl Acceptor {
    /// Starts the thread of the loop.
    ///
    /// # Errors
    ///
    /// When the system gives none.
    pub(crate) fn start(self, name: String) -> Result<()> {
        let threads = Arc::clone(&self.shared.threads);
        let accept = move || {
            let why = match panic::catch_unwind(AssertUnwindSafe(|| self.run())) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    let name = self.listener.local_addr();
                    Error::io(format!("listening on {name} failed"), error)
                }
                Err(panic) => Error::other(format!("accepting panicked: {}", panic_text(&*panic))),
            };
            error!("{why}");
            self.shared.fail(why);
        };
        let started = threads.spawn(name, accept);
        started.map_err(|error| Error::io("cannot start the accept thread", error))
    }

    /// Accepts clients until it is stopped.
    ///
    /// # Errors
    ///
    /// Only when the listener itself is broken.
    fn run(&self) -> io::Result<()> {
        let bell = &self.pulse.bell;
        let mut turned_away = Complaint::default();
        let mut refused = Complaint::default();
        // The listener may stay ready, so that poll would spin. Only a ring ends the rest early.
        let mut rest = |error: &io::Error| {
            let name = self.listener.local_addr();
            refused.tell(|| warn!("cannot accept clients at {name}: {error}; trying again"));
            if wire::poll(&mut [bell.poll_fd()], Deadline::after(REST)).is_err() {
                thread::sleep(REST);
            }
        };
        loop {
            let mut fds = [PollFd::new(&self.listener, PollFlags::IN), bell.poll_fd()];
            if let Err(error) = wire::poll(&mut fds, Deadline::NEVER) {
                // For want of kernel memory.
                rest(&error);
                continue;
            }
            let [client, rung] = fds.map(|fd| fd.revents());
            if !rung.is_empty() {
                bell.answer();
                self.pulse.beat();
            }
            // After the answer: that of a ring before would swallow the one that comes with a stop.
            if bell.is_stopped() {
                return Ok(());
            }
            if client.is_empty() {
                continue;
            }
            match self.listener.accept() {
                Ok((wire, peer)) => self.admit(wire, peer, &mut turned_away),
                Err(error) if is_broken(&error) => return Err(error),
                // Somebody else took the client, or it has given up already.
                Err(error) if is_passing(&error) && client == PollFlags::IN => {}
                // Out of descriptors or memory, or the listener has an error of its own.
                Err(error) => rest(&error),
            }
        }
    }

    /// Gives a client its opener, or turns it away.
    fn admit(&self, wire: Wire, peer: Address, turned_away: &mut Complaint) {
        let wire = Arc::new(wire);
        if let Err(full) = self.open(&wire, &peer) {
            turned_away.tell(|| warn!("client {peer} turned away: {full}"));
            let refusal = Refusal::from(full);
            self.shared.counters.refused(refusal.reason);
            // A TLS client would not understand the answer.
            if let (None, Some(response)) = (&self.tls, &refusal.response) {
                respond::turn_away(&wire, response);
            }
        }
    }

    fn open(&self, wire: &Arc<Wire>, peer: &Address) -> std::result::Result<(), Full> {
        let shared = &self.shared;
        // Who a proxy's client is, only its request says.
        let is_proxy = shared.rules.trusts(peer);
        let address = peer.ip().filter(|_| !is_proxy);
        let seat = shared.roster.admit(wire, address)?;
        let name = format!("ws-open-{}", seat.id());
        let opening = Opening {
            shared: Arc::clone(shared),
            seat,
            wire: Arc::clone(wire),
            peer: peer.clone(),
            local: self.listener.local_addr().clone(),
            listener: self.number,
            tls: self.tls.clone(),
        };
        let opener = shared.threads.spawn(name, move || opening.run());
        opener.map_err(Full::Thread)
    }
}

fn is_broken(error: &io::Error) -> bool {
    use Errno as E;
    let errno = error.raw_os_error().map(E::from_raw_os_error);
    matches!(errno, Some(E::BADF | E::INVAL | E::NOTSOCK | E::OPNOTSUPP))
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::WouldBlock | K::Interrupted | K::ConnectionAborted | K::ConnectionReset
    )
}
