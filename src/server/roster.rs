//! `Roster`: the threads of a server's clients, and the places that they may take.
//!
//! It starts each client's thread, counts who is connected, and at shutdown closes all and joins
//! every thread. A thread that ends joins the one that ended before it, so that at most one
//! finished thread waits to be joined however long the server runs.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use crate::close::CloseFrame;
use crate::connection::Connection;
use crate::connection::tally::Tally;
use crate::deadline::Deadline;
use crate::server::metrics::Metrics;
use crate::server::proxies::household;
use crate::wire::Wire;

/// Threads beyond the connections' own: clients in their handshake, pages, health checks, and
/// those who are told that the server is full.
const EXTRA_THREADS: usize = 128;

/// Why a client is not taken.
#[derive(Debug)]
pub(crate) enum Full {
    Stopping,
    /// All places are taken; this many there are.
    Places(usize),
    /// One address has as many connections as it may.
    Address(usize),
    /// The system gives no thread.
    Thread(io::Error),
}

#[derive(Debug)]
pub(crate) struct Roster {
    max_connections: usize,
    max_per_address: Option<usize>,
    stack_size: usize,
    state: Mutex<State>,
    /// Told whenever a thread has left, and when the server stops.
    changed: Condvar,
    /// Told whenever another number of places is taken, and when the server stops. Not the same as
    /// `changed`: who waits for the end is not woken by every client that comes.
    counted: Condvar,
}

/// What the lock guards.
#[derive(Debug, Default)]
struct State {
    stopping: bool,
    clients: HashMap<u64, Client>,
    /// How many of them have a place.
    seated: usize,
    /// How many of these have which address; none that has no place.
    addresses: HashMap<IpAddr, usize>,
    /// Threads that wait for all others to end, and so not for each other.
    waiting: HashSet<ThreadId>,
    last_out: Option<JoinHandle<()>>,
    /// What those who have left did.
    gone: Tally,
}

#[derive(Debug)]
struct Client {
    wire: Arc<Wire>,
    thread: Option<JoinHandle<()>>,
    seated: bool,
    /// Under which its place is counted.
    address: Option<IpAddr>,
    connection: Option<Connection>,
}

/// What a client has sent and received so far.
fn tally(wire: &Wire, connection: Option<&Connection>) -> Tally {
    Tally {
        bytes_in: wire.received(),
        bytes_out: wire.sent(),
        ..connection.map(Connection::tally).unwrap_or_default()
    }
}

impl Roster {
    pub(crate) fn new(
        max_connections: usize,
        max_per_address: Option<usize>,
        stack_size: usize,
    ) -> Roster {
        Roster {
            max_connections,
            max_per_address,
            stack_size,
            state: Mutex::default(),
            changed: Condvar::new(),
            counted: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread of a client.
    pub(crate) fn start(
        self: &Arc<Self>,
        id: u64,
        wire: &Arc<Wire>,
        serve: impl FnOnce() + Send + 'static,
    ) -> Result<(), Full> {
        let mut state = self.state();
        if state.stopping {
            return Err(Full::Stopping);
        }
        let places = self.max_connections.saturating_add(EXTRA_THREADS);
        if state.clients.len() >= places {
            return Err(Full::Places(places));
        }
        let roster = Arc::clone(self);
        // The thread finds itself on the roster, as the lock is held until it is there.
        let thread = thread::Builder::new()
            .name(format!("ws-conn-{id}"))
            .stack_size(self.stack_size)
            .spawn(move || {
                let _leave = Leave { roster, id };
                serve();
            })
            .map_err(Full::Thread)?;
        let wire = Arc::clone(wire);
        let client = Client {
            wire,
            thread: Some(thread),
            seated: false,
            address: None,
            connection: None,
        };
        state.clients.insert(id, client);
        Ok(())
    }

    /// Takes a place for a connection that is about to open, and one of those of its address, if
    /// that is known. It has both until its thread ends, however that ends.
    pub(crate) fn seat(&self, id: u64, address: Option<IpAddr>) -> Result<(), Full> {
        // Also when the server stops: who is in its handshake then was waiting in the queue of a
        // socket that the next process takes over, and is told by 1001 that it may come again.
        let mut state = self.state();
        if state.seated >= self.max_connections {
            return Err(Full::Places(self.max_connections));
        }
        let limited = self.max_per_address.zip(address.map(household));
        if let Some((limit, address)) = limited {
            let taken = state.addresses.get(&address).copied().unwrap_or(0);
            if taken >= limit {
                return Err(Full::Address(limit));
            }
            state.addresses.insert(address, taken + 1);
        }
        state.seated += 1;
        if let Some(client) = state.clients.get_mut(&id) {
            client.seated = true;
            client.address = limited.map(|(_, address)| address);
        }
        drop(state);
        self.counted.notify_all();
        Ok(())
    }

    /// The connection is open: shutdown shall close it.
    pub(crate) fn opened(&self, id: u64, connection: &Connection, goodbye: CloseFrame) {
        let mut state = self.state();
        if state.stopping {
            // Shutdown came between the place and the opening, and could not see it.
            drop(state);
            connection.start_closing(goodbye);
        } else if let Some(client) = state.clients.get_mut(&id) {
            client.connection = Some(connection.clone());
        }
    }

    /// The number of open connections.
    pub(crate) fn seated(&self) -> usize {
        self.state().seated
    }

    /// Fills in who is there, and what all clients, also those that have left, did so far.
    pub(crate) fn fill(&self, metrics: &mut Metrics) {
        // Under one lock who has left and who has not: nobody is counted twice or missed, and no
        // sum ever goes down.
        let state = self.state();
        let mut all = state.gone;
        let clients = state.clients.values();
        let clients: Vec<_> = clients
            .map(|client| (Arc::clone(&client.wire), client.connection.clone()))
            .collect();
        metrics.clients = state.seated;
        drop(state);
        for (wire, connection) in clients {
            all.add(tally(&wire, connection.as_ref()));
        }
        metrics.add_tally(all);
    }

    /// Waits until the number of open connections is another than `known`, or for the deadline:
    /// the number. `None` once the server stops.
    pub(crate) fn wait_seated(&self, known: usize, deadline: Deadline) -> Option<usize> {
        let mut state = self.state();
        loop {
            let left = deadline.remaining();
            if state.stopping {
                return None;
            }
            if state.seated != known || left == Some(Duration::ZERO) {
                return Some(state.seated);
            }
            state = match left {
                Some(left) => {
                    let waited = self.counted.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .counted
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Makes every thread wait that needs the roster.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        self.state()
    }

    fn leave(&self, id: u64) {
        let mut state = self.state();
        let Some(mut client) = state.clients.remove(&id) else {
            return;
        };
        state.gone.add(Tally {
            backlog_bytes: 0,
            ..tally(&client.wire, client.connection.as_ref())
        });
        let seated = client.seated;
        state.seated -= usize::from(seated);
        if let Some(address) = client.address
            && let Entry::Occupied(mut places) = state.addresses.entry(address)
        {
            *places.get_mut() -= 1;
            // An address that has none left is forgotten: there are many of them.
            if *places.get() == 0 {
                places.remove();
            }
        }
        let before = std::mem::replace(&mut state.last_out, client.thread.take());
        drop(state);
        drop(client);
        if seated {
            self.counted.notify_all();
        }
        if let Some(thread) = before {
            let _ = thread.join();
        }
        self.changed.notify_all();
    }

    /// Takes no more clients.
    pub(crate) fn stop(&self) {
        self.state().stopping = true;
        self.changed.notify_all();
        self.counted.notify_all();
    }

    /// Closes all connections, cuts those that do not answer in time, and waits until all threads
    /// have ended but the caller's own. Whether they have.
    pub(crate) fn close_all(&self, goodbye: &CloseFrame, limit: Duration) -> bool {
        let now = Instant::now();
        // Who does not answer is cut early enough that its thread ends before the deadline.
        let grace = (limit / 5).min(Duration::from_millis(500));
        let mut state = self.state();
        state.stopping = true;
        let mut open = Vec::new();
        for client in state.clients.values() {
            match &client.connection {
                Some(connection) => open.push(connection.clone()),
                // About to open: `opened` finds that the server stops.
                None if client.seated => {}
                // In its handshake: it finds the end of the stream, and that the server stops.
                None => client.wire.shutdown_read(),
            }
        }
        drop(state);
        for connection in open {
            connection.start_closing(goodbye.clone());
        }
        self.state().waiting.insert(thread::current().id());
        self.changed.notify_all();
        if !self.wait_empty(now.checked_add(limit - grace)) {
            let state = self.state();
            for client in state.clients.values() {
                match &client.connection {
                    Some(connection) => connection.outbox().cut("the server has shut down"),
                    None => client.wire.abort(),
                }
            }
        }
        let made_it = self.wait_empty(now.checked_add(limit));
        self.state().waiting.remove(&thread::current().id());
        self.join_last();
        made_it
    }

    /// Waits until the server has stopped and all threads have ended.
    pub(crate) fn wait_stopped(&self) {
        let mut state = self.state();
        while !(state.stopping && state.clients.is_empty()) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.join_last();
    }

    /// Waits until no thread is left but those that wait here; false at the deadline.
    fn wait_empty(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state();
        loop {
            let waits = |client: &Client| {
                let id = client.thread.as_ref().map(|thread| thread.thread().id());
                id.is_some_and(|id| state.waiting.contains(&id))
            };
            if state.clients.values().all(waits) {
                return true;
            }
            let left = deadline.map_or(Duration::from_secs(3600), |at| {
                at.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn join_last(&self) {
        let last = self.state().last_out.take();
        if let Some(thread) = last.filter(|t| t.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

/// Takes a thread off the roster when it ends, also by a panic.
struct Leave {
    roster: Arc<Roster>,
    id: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.roster.leave(self.id);
    }
}
