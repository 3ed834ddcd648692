//! `Roster`: who is here, from the moment of acceptance on, and the limits on how many may be.
//!
//! Each client holds its `Seat`, in whatever thread it is served; dropping it is leaving. Shutdown
//! finds here whom to say goodbye to. Threads are not its business, see `threads.rs`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::close::{CloseCode, CloseFrame};
use crate::connection::Tally;
use crate::connection::{self, Connection};
use crate::deadline::Deadline;
use crate::lock::{Lock, Signal};
use crate::server::forwarded::household;
use crate::server::metrics::Metrics;
use crate::wire::Wire;

/// Clients beyond the connections: those in their handshake, pages, health checks, and those who
/// are told that the server is full.
const EXTRA_CLIENTS: usize = 128;
/// The same for one address: a browser opens six at once at most, and two tabs may.
const EXTRA_OF_ADDRESS: usize = 16;

/// Why a client is not taken.
#[derive(Debug)]
pub(crate) enum Full {
    Stopping,
    /// All places are taken; this many there are.
    Places(usize),
    /// One address has as many connections as it may, or too many clients that open one.
    Address(usize),
    /// The system gives no thread.
    Thread(io::Error),
}

/// For the log.
impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Full::Stopping => f.write_str("the server is shutting down"),
            Full::Places(limit) => write!(f, "all {limit} places are taken"),
            Full::Address(limit) => write!(f, "all {limit} places of its address are taken"),
            Full::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Roster {
    max_connections: usize,
    max_per_address: Option<usize>,
    state: Lock<State>,
    /// Told whenever another number of connections is open, and when the server stops.
    counted: Signal,
}

/// What the lock guards.
#[derive(Debug, Default)]
struct State {
    stopping: bool,
    clients: HashMap<u64, Client>,
    connections: usize,
    /// Who has which address, if that is limited; none that has nobody here.
    addresses: HashMap<IpAddr, Count>,
    /// What those who have left did.
    gone: Tally,
}

/// How many of one address are here.
#[derive(Debug, Default)]
struct Count {
    clients: usize,
    /// Those of them that have a connection.
    connections: usize,
}

#[derive(Debug)]
struct Client {
    wire: Arc<Wire>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// In its handshake, or getting a page.
    Opening,
    /// It has a place for its connection, which is about to open.
    Seated,
    Open(Connection),
}

impl Client {
    /// What it has sent and received so far.
    fn tally(&self) -> Tally {
        let messages = match &self.stage {
            Stage::Open(connection) => connection.tally(),
            Stage::Opening | Stage::Seated => Tally::default(),
        };
        Tally {
            bytes_in: self.wire.received(),
            bytes_out: self.wire.sent(),
            ..messages
        }
    }
}

impl Roster {
    pub(crate) fn new(max_connections: usize, max_per_address: Option<usize>) -> Arc<Roster> {
        Arc::new(Roster {
            max_connections,
            max_per_address,
            state: Lock::default(),
            counted: Signal::new(),
        })
    }

    /// Takes a client that was just accepted. `address` is its own, if it is no proxy's.
    pub(crate) fn admit(
        self: &Arc<Self>,
        wire: &Arc<Wire>,
        address: Option<IpAddr>,
    ) -> Result<Seat, Full> {
        let id = connection::next_id();
        let mut state = self.state.lock();
        if state.stopping {
            return Err(Full::Stopping);
        }
        let places = self.max_connections.saturating_add(EXTRA_CLIENTS);
        if state.clients.len() >= places {
            return Err(Full::Places(places));
        }
        let client = Client {
            wire: Arc::clone(wire),
            stage: Stage::Opening,
        };
        state.clients.insert(id, client);
        drop(state);
        let mut seat = Seat {
            roster: Arc::clone(self),
            id,
            address: None,
            taken: false,
        };
        seat.count_address(address)?;
        Ok(seat)
    }

    /// The number of open connections.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().connections
    }

    /// Waits until the number of open connections is another than `known`, or for the deadline:
    /// the number. `None` once the server stops.
    pub(crate) fn wait_connections(&self, known: usize, deadline: Deadline) -> Option<usize> {
        let mut state = self.state.lock();
        while !state.stopping && state.connections == known && !deadline.has_passed() {
            state = self.counted.wait(state, deadline);
        }
        (!state.stopping).then_some(state.connections)
    }

    /// Fills in who is here, and what all clients, also those that have left, did so far.
    pub(crate) fn fill(&self, metrics: &mut Metrics) {
        // Under one lock who has left and who has not: nobody is counted twice or missed, and no
        // sum ever goes down.
        let state = self.state.lock();
        let mut all = state.gone;
        state
            .clients
            .values()
            .for_each(|client| all.add(client.tally()));
        metrics.clients = state.connections;
        let is_stream = |client: &&Client| match &client.stage {
            Stage::Open(connection) => connection.is_event_stream(),
            Stage::Opening | Stage::Seated => false,
        };
        metrics.event_streams = state.clients.values().filter(is_stream).count();
        drop(state);
        metrics.add_tally(all);
    }

    /// Takes nobody more, says goodbye to all connections, and cuts openings short.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        let mut open = Vec::new();
        for client in state.clients.values() {
            match &client.stage {
                // It finds the end of the stream, and that the server stops.
                Stage::Opening => client.wire.shutdown_read(),
                // `Seat::opened` will find that the server stops.
                Stage::Seated => {}
                Stage::Open(connection) => open.push(connection.clone()),
            }
        }
        drop(state);
        self.counted.notify_all();
        for connection in open {
            connection.start_closing(goodbye());
        }
    }

    /// Starts to close those of the open connections; how many.
    pub(crate) fn close_some(
        &self,
        goodbye: &CloseFrame,
        which: impl Fn(&Connection) -> bool,
    ) -> usize {
        let state = self.state.lock();
        let open = state
            .clients
            .values()
            .filter_map(|client| match &client.stage {
                Stage::Open(connection) => Some(connection.clone()),
                Stage::Opening | Stage::Seated => None,
            });
        let open: Vec<Connection> = open.collect();
        drop(state);
        let chosen = open.iter().filter(|connection| which(connection));
        chosen
            .map(|connection| connection.start_closing(goodbye.clone()))
            .count()
    }

    /// Gives up on all who are still here.
    pub(crate) fn cut(&self) {
        for client in self.state.lock().clients.values() {
            match &client.stage {
                Stage::Open(connection) => connection.cut("the server has shut down"),
                Stage::Opening | Stage::Seated => client.wire.abort(),
            }
        }
    }

    /// Makes every thread wait that needs the roster.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        self.state.lock()
    }
}

/// What a client is told when the server stops.
fn goodbye() -> CloseFrame {
    CloseFrame::cut(CloseCode::GOING_AWAY, "server is shutting down")
}

/// One client's entry on the roster. Dropping it is leaving.
#[derive(Debug)]
pub(crate) struct Seat {
    roster: Arc<Roster>,
    id: u64,
    /// Under which it is counted.
    address: Option<IpAddr>,
    /// Whether it has one of the places for connections.
    taken: bool,
}

impl Seat {
    /// The client's number, unique in the process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Counts the client as one of its address, from when that is known on: for who comes by a
    /// proxy, not before the request. Whoever is counted already stays what it is.
    pub(crate) fn count_address(&mut self, address: Option<IpAddr>) -> Result<(), Full> {
        let limited = self.roster.max_per_address.zip(address.map(household));
        let Some((limit, address)) = limited.filter(|_| self.address.is_none()) else {
            return Ok(());
        };
        let mut state = self.roster.state.lock();
        let count = state.addresses.entry(address).or_default();
        if count.clients >= limit.saturating_add(EXTRA_OF_ADDRESS) {
            return Err(Full::Address(limit));
        }
        count.clients += 1;
        self.address = Some(address);
        Ok(())
    }

    /// Takes one of the places for connections, and one of those of its address.
    pub(crate) fn take(&mut self) -> Result<(), Full> {
        // Also when the server stops: who is in its handshake then was waiting in the queue of a
        // socket that the next process takes over, and is told by 1001 that it may come again.
        let mut guard = self.roster.state.lock();
        let state = &mut *guard;
        if state.connections >= self.roster.max_connections {
            return Err(Full::Places(self.roster.max_connections));
        }
        let limited = self.roster.max_per_address.zip(self.address);
        if let Some((limit, address)) = limited
            && let Some(count) = state.addresses.get_mut(&address)
        {
            if count.connections >= limit {
                return Err(Full::Address(limit));
            }
            count.connections += 1;
        }
        if let Some(client) = state.clients.get_mut(&self.id) {
            client.stage = Stage::Seated;
        }
        state.connections += 1;
        self.taken = true;
        drop(guard);
        self.roster.counted.notify_all();
        Ok(())
    }

    /// The connection is open: shutdown shall close it.
    pub(crate) fn opened(&self, connection: &Connection) {
        let mut state = self.roster.state.lock();
        if let Some(client) = state.clients.get_mut(&self.id) {
            client.stage = Stage::Open(connection.clone());
        }
        if state.stopping {
            // Shutdown came before, and could not see it.
            drop(state);
            connection.start_closing(goodbye());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.roster.state.lock();
        let left = state.clients.remove(&self.id);
        if let Some(client) = &left {
            state.gone.add(Tally {
                backlog_bytes: 0,
                ..client.tally()
            });
        }
        let taken = usize::from(self.taken);
        state.connections -= taken;
        if let Some(address) = self.address
            && let Entry::Occupied(mut count) = state.addresses.entry(address)
        {
            count.get_mut().clients -= 1;
            count.get_mut().connections -= taken;
            // An address that nobody has any more is forgotten: there are many of them.
            if count.get().clients == 0 {
                count.remove();
            }
        }
        drop(state);
        if self.taken {
            self.roster.counted.notify_all();
        }
    }
}
