//! Raw bytes against the daemon: request heads, pages, refusals, Origin and Host.

use std::fs;
use std::time::Duration;

use crate::support::process::{Daemon, plainws, url_port};
use crate::support::raw::{self, ACCEPT, Answer, KEY, Raw, exchange, get, upgrade_request};
use crate::support::tools::{PATIENCE, wait_until};

/// Stands in what requests bring, to be looked for where nothing of them may come back.
const MARK: &str = "zqx";

/// A daemon with a listener of each kind: of no application, and of the counter.
struct Site {
    daemon: Daemon,
    index: u16,
    counter: u16,
}

#[track_caller]
fn site(more: &[&str]) -> Site {
    let listen = [
        "serve",
        "--listen=127.0.0.1:0",
        "--listen=counter=127.0.0.1:0",
    ];
    let daemon = plainws(&[&listen, more].concat());
    Site {
        index: url_port(&daemon.wait_line("index at ")),
        counter: url_port(&daemon.wait_line("counter at ")),
        daemon,
    }
}

/// What is wrong with an answer, whatever the request was; `headless` is the answer to HEAD.
pub(crate) fn blemish(answer: &Answer, headless: bool) -> Option<String> {
    let is = |name: &str, value: &str| answer.header(name) == Some(value);
    let has = |name: &str, part: &str| answer.header(name).is_some_and(|v| v.contains(part));
    let length = answer.body.len().to_string();
    let status = answer.status;
    let policy = "Content-Security-Policy";
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
    ];
    let checks = [
        (headless || is("Content-Length", &length), "Content-Length"),
        (!headless || answer.body.is_empty(), "a body after HEAD"),
        (is("Connection", "close"), "Connection"),
        (is("X-Content-Type-Options", "nosniff"), "nosniff"),
        (is("Referrer-Policy", "no-referrer"), "Referrer-Policy"),
        (has(policy, "default-src 'none'"), policy),
        (has(policy, "frame-ancestors 'none'"), policy),
        (has("Date", " GMT"), "Date"),
        (answer.header("Server").is_none(), "Server"),
        (!answer.head.contains(MARK), "an echo in the head"),
        (!answer.body.contains(MARK), "an echo in the body"),
        (
            status < 400 || is("Content-Type", "text/plain; charset=utf-8"),
            "Content-Type",
        ),
        (
            status < 400 || headless || answer.body.trim_end().len() > 5,
            "a sentence",
        ),
        (status != 405 || is("Allow", "GET, HEAD"), "Allow"),
        (
            status != 426 || upgrade.iter().all(|line| answer.head.contains(line)),
            "Upgrade",
        ),
        (status != 503 || has("Retry-After", ""), "Retry-After"),
    ];
    let wrong = checks.iter().find(|(fine, _)| !fine)?;
    Some(format!("{} is not right in {answer:?}", wrong.1))
}

/// Sends each request and compares the status; tells all that are wrong at once.
#[track_caller]
fn expect(port: u16, status: u16, requests: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut wrong = String::new();
    for request in requests {
        let request = request.as_ref();
        let answer = exchange(port, request);
        let name = &request[..request.len().min(200)];
        let name = String::from_utf8_lossy(name);
        if answer.status != status {
            wrong += &format!("\n  {name:?}: awaited {status}, got {answer:?}");
        } else if status != 101 {
            let blemish = blemish(&answer, request.starts_with(b"HEAD"));
            wrong.extend(blemish.map(|blemish| format!("\n  {name:?}: {blemish}")));
        }
    }
    assert!(wrong.is_empty(), "answers that are not right:{wrong}");
}

/// A head of these lines, separated by `|`, with the empty line at its end.
fn head(lines: &str) -> String {
    lines.replace('|', "\r\n") + "\r\n\r\n"
}

/// The same with the Host that is missing.
pub(crate) fn hosted(lines: &str) -> String {
    head(&format!("{lines}|Host: localhost"))
}

/// Whether a line could move a cursor, or stand for more than one line.
pub(crate) fn is_raw(line: &str) -> bool {
    let bad =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    line.chars().any(bad)
}

mod bodies;
mod heads;
mod origins;
mod pages;
