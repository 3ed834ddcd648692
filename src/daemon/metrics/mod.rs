//! `/metrics`: the figures of the server and of the daemon, for Prometheus to fetch.
//!
//! Off unless asked for. It has a listener of its own, which answers also when every place of the
//! server is taken, or a path on all listeners. No label carries what a client sent.

mod exposition;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use log::info;
use plainws::{Address, Answer, Listener, Response, Server};

use super::{args, logger};
use exposition::{Exposition, Kind};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Its path on a listener of its own, where Prometheus looks unless told otherwise.
const PATH: &str = "/metrics";
/// What the server itself answers at every listener.
const TAKEN: [&str; 5] = ["/", "/healthz", "/hello", "/clock", "/counter"];

/// At the end, a client that does not read its answer is waited for so long.
/// Who asks for figures has the question ready.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Where the figures are to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path(String),
    Address(String),
}

/// `/PATH`, or an address to listen on.
pub(super) fn place(text: &str) -> Result<Place, String> {
    if !text.starts_with('/') {
        return args::address(text)
            .map(|address| Place::Address(address.to_owned()))
            .map_err(|error| format!("{error}; or write a /PATH"));
    }
    let fine = |byte: u8| byte.is_ascii_graphic() && !b"?#%\"<>\\^`{|}".contains(&byte);
    if !text.bytes().all(fine) {
        return Err("a path is ASCII without ?, # and %".to_owned());
    }
    if TAKEN.contains(&text) {
        return Err("this path has an answer of its own".to_owned());
    }
    Ok(Place::Path(text.to_owned()))
}

impl Place {
    /// Whether a request to the server's listeners is for the figures.
    pub(crate) fn is_at(place: Option<&Place>, path: &str) -> bool {
        matches!(place, Some(Place::Path(own)) if own == path)
    }
}

type Read = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// All figures; any thread may ask.
pub(crate) struct Figures {
    /// From the start on. Weak: the server's own answers ask for its figures.
    server: OnceLock<Weak<Server>>,
    own: Vec<(Kind, &'static str, &'static str, Read)>,
}

impl Figures {
    pub(crate) fn new() -> Figures {
        let mut figures = Figures {
            server: OnceLock::new(),
            own: Vec::new(),
        };
        figures.gauge("plainws_threads", "Threads of the process.", threads);
        figures.counter(
            "plainws_log_lines_dropped_total",
            "Log lines that were dropped because stderr took them too slowly.",
            || Some(logger::dropped()),
        );
        figures
    }

    /// Adds a figure of the daemon that only goes up. `None` leaves it out.
    pub(crate) fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) {
        self.own.push((Kind::Counter, name, help, Box::new(read)));
    }

    /// Adds a figure of the daemon that goes up and down. `None` leaves it out.
    pub(crate) fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) {
        self.own.push((Kind::Gauge, name, help, Box::new(read)));
    }

    /// The server has started.
    pub(crate) fn watch(&self, server: &Arc<Server>) {
        let fresh = self.server.set(Arc::downgrade(server)).is_ok();
        debug_assert!(fresh, "there is one server");
    }

    /// The page.
    pub(crate) fn answer(&self) -> Answer {
        match self.server.get().and_then(Weak::upgrade) {
            Some(server) => Response::new(200, CONTENT_TYPE, self.text(&server).into_bytes()),
            None => Response::text(503, "the server is starting, or has ended"),
        }
        .into()
    }

    fn text(&self, server: &Server) -> String {
        let mut text = Exposition::default();
        text.server(&server.metrics());
        for (kind, name, help, read) in &self.own {
            if let Some(value) = read() {
                text.one(*kind, name, help, value);
            }
        }
        text.finish()
    }
}

/// A listener for the figures alone, if one is asked for: a server of its own, so that neither its
/// clients count as the server's nor the limits of that keep anybody from looking.
pub(crate) fn listen(
    place: Option<&Place>,
    figures: &Arc<Figures>,
) -> plainws::Result<Option<Server>> {
    let Some(Place::Address(address)) = place else {
        return Ok(None);
    };
    let figures = Arc::clone(figures);
    let mut server = Server::builder(|_| Ok(()))
        .route(move |request| match request.path() {
            PATH => Some(figures.answer()),
            _ => Some(Response::text(404, format!("the figures are at {PATH}")).into()),
        })
        // Pages need no place: what is left is what the library has for them.
        .max_connections(1)
        .open_timeout(OPEN_TIMEOUT)
        .close_timeout(CLOSE_TIMEOUT);
    for listener in Listener::bind(address)? {
        server = server.listen(listener);
    }
    let server = server.start()?;
    for local in server.local_addrs() {
        let place = match local {
            Address::Tcp(tcp) => format!("http://{tcp}{PATH}"),
            unix => format!("{unix}, {PATH}"),
        };
        if args::is_open(address) {
            info!(target: logger::CHOSEN, "metrics at {place}");
        } else {
            info!("metrics at {place}");
        }
    }
    Ok(Some(server))
}

/// As the system counts them; where it does not tell, there is no figure.
fn threads() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_an_address() {
        let path = |text: &str| Ok(Place::Path(text.to_owned()));
        let address = |text: &str| Ok(Place::Address(text.to_owned()));
        assert_eq!(place("/metrics"), path("/metrics"));
        assert_eq!(place("/a/b-c_d.txt"), path("/a/b-c_d.txt"));
        for text in ["127.0.0.1:9090", "[::1]:0", ":9090", "unix:/run/m"] {
            assert_eq!(place(text), address(text));
        }
        for wrong in [
            "", "metrics", "9090", "/", "/healthz", "/counter", "/a b", "/a?b", "/é", "/%41",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    /// As a store of the state does it, which not every daemon has.
    #[test]
    fn a_figure_that_is_not_there_is_left_out() {
        let server = Server::builder(|_| Ok(())).listen("127.0.0.1:0").start();
        let server = Arc::new(server.expect("a server"));
        let mut figures = Figures::new();
        figures.counter("plainws_state_saves_total", "Saves.", || Some(7));
        figures.counter("plainws_state_other_total", "Other.", || None);
        figures.watch(&server);
        let text = figures.text(&server);
        assert!(text.contains("\nplainws_state_saves_total 7\n"), "{text}");
        assert!(!text.contains("plainws_state_other_total"), "{text}");
    }
}
