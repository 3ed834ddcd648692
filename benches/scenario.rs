//! The scenarios: which server, how many clients, what they do.

mod echo;
mod fan;
mod idle;
mod slow;
mod start;
mod tls;
mod updates;

use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::process::{PLAINWS, Server, echo_example};
use crate::table::Row;
use crate::usage::open_files_limit;

/// What can be measured.
#[derive(Clone, Copy)]
pub(crate) enum Scenario {
    Echo,
    Pipe,
    Fan,
    Flood,
    Idle,
    Slow,
    Start,
    Tls,
}

impl Scenario {
    /// In the order of the table.
    pub(crate) const ALL: &[Scenario] = &[
        Scenario::Echo,
        Scenario::Pipe,
        Scenario::Fan,
        Scenario::Flood,
        Scenario::Idle,
        Scenario::Slow,
        Scenario::Start,
        Scenario::Tls,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Echo => "echo",
            Scenario::Pipe => "pipe",
            Scenario::Fan => "fan",
            Scenario::Flood => "flood",
            Scenario::Idle => "idle",
            Scenario::Slow => "slow",
            Scenario::Start => "start",
            Scenario::Tls => "tls",
        }
    }

    /// One line of the help.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Scenario::Echo => {
                "100 clients of the example echo, one message of 64 bytes in flight each"
            }
            Scenario::Pipe => {
                "the same with 16 in flight each, the next ones sent for each read in one write"
            }
            Scenario::Fan => {
                "500 clients of the counter, one update at a time: the next when all have it"
            }
            Scenario::Flood => {
                "500 clients of the counter, one of which keeps 100 updates unanswered"
            }
            Scenario::Idle => {
                "2000 clients that do nothing, then 10000 if so many files may be open"
            }
            Scenario::Slow => {
                "500 clients of the counter, 100 updates a second; then one more that is stuck"
            }
            Scenario::Start => {
                "20 starts: until /healthz answers; memory without clients; size of the binary"
            }
            Scenario::Tls => "300 clients over TLS that do nothing, opened one after the other",
        }
    }

    /// Measures one round with a fresh server.
    pub(crate) fn run(self, duration: Duration) -> Result<Vec<Row>> {
        let counter = || plainws("counter", &[]);
        match self {
            Scenario::Echo => at(echo()?, |s| echo::measure("echo", s, 1, duration)),
            Scenario::Pipe => at(echo()?, |s| echo::measure("pipe", s, 16, duration)),
            Scenario::Fan => at(counter()?, |s| {
                fan::measure("fan", s, updates::Pace::WhenAllHaveIt, duration)
            }),
            Scenario::Flood => at(counter()?, |s| {
                fan::measure("flood", s, updates::Pace::Window(100), duration)
            }),
            // The counter would tell each of the idle clients about each newcomer: hello waits for
            // a name.
            Scenario::Idle => at(plainws("hello", &[])?, |s| idle::measure(s, duration)),
            Scenario::Slow => at(counter()?, |s| slow::measure(s, duration)),
            Scenario::Start => start::measure(),
            Scenario::Tls => tls::measure(),
        }
    }
}

/// Measures at this server; an error tells what it printed.
fn at(mut server: Server, measure: impl FnOnce(&Server) -> Result<Vec<Row>>) -> Result<Vec<Row>> {
    measure(&server).map_err(|error| server.explain(error))
}

fn echo() -> Result<Server> {
    Server::start("echo", &echo_example()?, &["127.0.0.1:0"])
}

/// What the daemon is started with beside its listener: room for all clients, no pings in one round
/// and not in another, and no end for a client that has stopped reading, however long the rounds
/// are.
const ARGUMENTS: [&str; 4] = ["--ping-interval", "off", "--write-timeout", "off"];
/// More clients than any scenario has, if so many files may be open.
const ROOM: u64 = 20_000;
/// Open files that the daemon wants beside those of its clients, and some to spare.
const BESIDE: u64 = 400;

/// Starts the daemon with one of its apps.
fn plainws(app: &'static str, more: &[&str]) -> Result<Server> {
    let listen = format!("{app}=127.0.0.1:0");
    let files = open_files_limit(std::process::id())?;
    let room = ROOM.min(files.saturating_sub(BESIDE)).max(1).to_string();
    let mut arguments = vec!["serve", "--listen", &listen, "--max-connections", &room];
    arguments.extend(ARGUMENTS);
    arguments.extend(more);
    Server::start(app, Path::new(PLAINWS), &arguments)
}
