//! `Server`: a running server, and `Handle`, by which its own handlers reach it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::close::{CloseCode, CloseFrame};
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::server::metrics::Metrics;
use crate::server::shared::Shared;

/// A running server. Dropping it shuts it down, with the close timeout as deadline.
///
/// # Threads
///
/// Any thread may use it. The server itself has one thread a listener (`ws-accept-0`), one a
/// client (`ws-conn-17`), and shares one caretaker (`ws-caretaker`) with all connections of the
/// process.
#[must_use = "dropping a server shuts it down"]
pub struct Server {
    pub(crate) shared: Arc<Shared>,
}

impl Server {
    /// The address of the first listener, with the port that the system chose.
    pub fn local_addr(&self) -> &Address {
        &self.shared.addresses[0]
    }

    /// The addresses of all listeners. A name with several addresses has several.
    pub fn local_addrs(&self) -> &[Address] {
        &self.shared.addresses
    }

    /// Takes no more clients, closes all connections with 1001, and waits until every thread of
    /// the server has ended, for `limit` at most; then peers that have not answered are cut. In a
    /// handler it waits for all threads but the handler's own.
    ///
    /// Returns whether all threads had ended by then. A handler that does not return cannot be
    /// made to; its connection is closed all the same.
    pub fn shutdown(&self, limit: Duration) -> bool {
        self.shared.shutdown(limit)
    }

    /// A handle for code that cannot hold the server itself, such as its own handlers.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.shared.roster.connections()
    }

    /// Starts to close those of the open connections that `which` names, each with this code and reason,
    /// which may be cut to 123 bytes, and waits for none of them: how many. Their handlers find that
    /// they are closed, as at a [`shutdown`](Server::shutdown).
    pub fn close_connections(
        &self,
        code: CloseCode,
        reason: &str,
        which: impl Fn(&Connection) -> bool,
    ) -> usize {
        let goodbye = CloseFrame::cut(code, reason);
        self.shared.roster.close_some(&goodbye, which)
    }

    /// The server's figures of this moment. Asks each connection for its own, so it is meant for
    /// every few seconds, not for every message.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Waits until another number of connections is open than `known`, for `limit` at most: the
    /// number, which is `known` again when the time is over. `None` once the server shuts down.
    ///
    /// For who shows the number without looking at it again and again.
    pub fn wait_connections(&self, known: usize, limit: Option<Duration>) -> Option<usize> {
        let deadline = Deadline::after(limit);
        self.shared.roster.wait_connections(known, deadline)
    }

    /// Whether every accept loop answers within `limit`: each is woken, and has to come round once.
    /// False also once the server shuts down.
    ///
    /// For a watchdog: a loop that hangs takes no clients while the process looks alive. One that
    /// the system refuses clients, because it has run out of file descriptors for example, answers.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = plainws::Server::builder(|ws| ws.send("hi")).listen("localhost:0").start()?;
    /// assert!(server.is_accepting(Duration::from_secs(5)));
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn is_accepting(&self, limit: Duration) -> bool {
        let deadline = Deadline::after(limit);
        let mut pulses = self.shared.pulses.iter();
        pulses.all(|pulse| pulse.is_felt(deadline))
    }

    /// Waits until the server has been shut down and all its threads have ended.
    ///
    /// # Errors
    ///
    /// When a listener broke, which ends the server.
    pub fn wait(&self) -> Result<()> {
        // The accept threads end with the server.
        self.shared.threads.wait(Deadline::NEVER);
        self.shared.failed.lock().take().map_or(Ok(()), Err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.shutdown(self.shared.config.close_timeout);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.shared.addresses)
            .finish_non_exhaustive()
    }
}

/// Shuts a server down, and tells its figures. Any thread may use it, a handler too.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// As [`Server::shutdown`].
    pub fn shutdown(&self, limit: Duration) -> bool {
        self.shared.shutdown(limit)
    }

    /// The server's figures of this moment; see [`Server::metrics`].
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn server() -> Server {
        let builder = Server::builder(|ws| ws.recv().map(drop));
        let builder = builder.listen("127.0.0.1:0").listen("127.0.0.1:0");
        builder.start().expect("two listeners")
    }

    #[test]
    fn an_accept_loop_that_hangs_is_found_out() {
        let server = server();
        assert!(server.is_accepting(LONG));
        // The second listener's loop comes to hang at what its client needs.
        let hold = server.shared.roster.hold();
        let port = server.local_addrs()[1].port().expect("a port");
        let _client = TcpStream::connect(("127.0.0.1", port)).expect("a client");
        let start = Instant::now();
        while server.is_accepting(Duration::from_millis(50)) {
            assert!(start.elapsed() < LONG, "it still answers");
        }
        drop(hold);
        assert!(server.is_accepting(LONG), "it goes on");
        server.shutdown(LONG);
        let start = Instant::now();
        assert!(!server.is_accepting(LONG));
        assert!(start.elapsed() < LONG / 2, "nobody is waited for");
    }

    #[test]
    fn the_number_of_connections_is_told_when_it_changes() {
        let server = server();
        assert_eq!(server.wait_connections(7, None), Some(0));
        let moment = Duration::from_millis(20);
        assert_eq!(server.wait_connections(0, Some(moment)), Some(0));
        thread::scope(|scope| {
            let told = scope.spawn(|| server.wait_connections(0, Some(LONG)));
            let url = format!("ws://{}", server.local_addr());
            let client = crate::connect(&url).expect("a client");
            assert_eq!(told.join().expect("no panic"), Some(1));
            let told = scope.spawn(|| server.wait_connections(1, Some(LONG)));
            drop(client);
            assert_eq!(told.join().expect("no panic"), Some(0));
            let told = scope.spawn(|| server.wait_connections(0, None));
            server.shutdown(LONG);
            assert_eq!(told.join().expect("no panic"), None);
        });
    }

    /// The loop looked whether it shall stop and then answered its bell, which swallowed a stop that
    /// came between the two.
    #[test]
    fn a_stop_beside_a_question_is_not_lost() {
        for round in 0..500 {
            let server = server();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| while server.is_accepting(LONG) {});
                }
                // At another moment each time.
                thread::sleep(Duration::from_micros(round * 7 % 1000));
                assert!(server.shutdown(LONG), "round {round}");
            });
        }
    }
}
