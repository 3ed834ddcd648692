//! `/metrics`: the figures of the server and of the daemon, for Prometheus to fetch.
//!
//! Off unless asked for. It has a listener of its own, which answers also when every seat of the
//! server is taken, or a path on all listeners. No label carries what a client sent.

mod page;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use log::info;
use plainws::{Address, Answer, Listener, Request, Response, Server};

use super::state::State;
use super::{listen, logger};
use crate::apps::Topics;
use page::{CONTENT_TYPE, Own, page};

/// Its path on a listener of its own, where Prometheus looks unless told otherwise.
const PATH: &str = "/metrics";
/// What the server itself answers at every listener.
const TAKEN: [&str; 8] = [
    "/",
    "/healthz",
    "/hello",
    "/clock",
    "/counter",
    "/topics",
    "/plainws.js",
    "/plainws-chart.js",
];

/// Who asks for figures has the question ready.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// At the end, a client that does not read its answer is waited for so long.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Where the figures are to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FiguresAt {
    Path(String),
    Address(String),
}

impl FiguresAt {
    /// `/PATH`, or an address to listen on.
    pub(super) fn parse(text: &str) -> Result<FiguresAt, String> {
        if !text.starts_with('/') {
            return listen::address(text)
                .map(FiguresAt::Address)
                .map_err(|error| format!("{error}; or write a /PATH"));
        }
        let fine = |byte: u8| byte.is_ascii_graphic() && !b"?#%\"<>\\^`{|}".contains(&byte);
        if !text.bytes().all(fine) {
            return Err("a path is ASCII without ?, # and %".to_owned());
        }
        let is_name = text.starts_with("/topic/") || text.starts_with("/stream/");
        if TAKEN.contains(&text) || is_name {
            return Err("this path has an answer of its own".to_owned());
        }
        Ok(FiguresAt::Path(text.to_owned()))
    }
}

/// All figures; any thread may ask.
pub(super) struct Figures {
    /// From the start on. Weak: the server's own answers ask for its figures.
    server: OnceLock<Weak<Server>>,
    state: Arc<State>,
    topics: Topics,
}

impl Figures {
    pub(super) fn new(state: &Arc<State>, topics: &Topics) -> Arc<Figures> {
        Arc::new(Figures {
            server: OnceLock::new(),
            state: Arc::clone(state),
            topics: topics.clone(),
        })
    }

    /// The server has started.
    pub(super) fn watch(&self, server: &Arc<Server>) {
        let fresh = self.server.set(Arc::downgrade(server)).is_ok();
        debug_assert!(fresh, "there is one server");
    }

    /// The page.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        if !matches!(request.method(), "GET" | "HEAD") {
            let response = Response::text(405, "only GET and HEAD are answered here");
            return response.header("Allow", "GET, HEAD").into();
        }
        let Some(server) = self.server.get().and_then(Weak::upgrade) else {
            return Response::text(503, "the server is starting, or has ended").into();
        };
        let own = Own {
            threads: threads(),
            log_lines_dropped: logger::dropped(),
            broadcasts: self.state.broadcasts() + self.topics.broadcasts(),
            topics: Arc::clone(self.topics.figures()),
            saves: self.state.saves(),
        };
        let page = page(&server.metrics(), &own);
        Response::new(200, CONTENT_TYPE, page.into_bytes()).into()
    }
}

/// Listens for those who fetch the figures alone: a server of its own, so that neither its clients
/// count as the server's nor the limits of that keep anybody from looking.
pub(super) fn serve(address: &str, figures: Arc<Figures>) -> plainws::Result<Server> {
    let mut server = Server::builder(|_| Ok(()))
        .route(move |request| match request.path() {
            PATH => Some(figures.answer(request)),
            _ => Some(Response::text(404, format!("the figures are at {PATH}")).into()),
        })
        // Pages need no seat: what is left is what the library has for them.
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
        match listen::is_open(address) {
            true => info!(target: logger::CHOSEN, "metrics at {place}"),
            false => info!("metrics at {place}"),
        }
    }
    Ok(server)
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
    fn figures_are_at_a_path_or_an_address() {
        let path = |text: &str| Ok(FiguresAt::Path(text.to_owned()));
        let address = |text: &str| Ok(FiguresAt::Address(text.to_owned()));
        assert_eq!(FiguresAt::parse("/metrics"), path("/metrics"));
        assert_eq!(FiguresAt::parse("/a/b-c_d.txt"), path("/a/b-c_d.txt"));
        for text in ["127.0.0.1:9090", "[::1]:0", ":9090", "unix:/run/m"] {
            assert_eq!(FiguresAt::parse(text), address(text));
        }
        for wrong in [
            "", "metrics", "9090", "/", "/healthz", "/counter", "/a b", "/a?b", "/é", "/%41",
        ] {
            assert!(FiguresAt::parse(wrong).is_err(), "{wrong}");
        }
    }
}
