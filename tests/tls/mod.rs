//! TLS: certificates as files, policy and faults at the server, the daemon, our client.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use plainws::{Client, CloseCode, Error, Identity, Message, Server, Tls};

use crate::support::certificates::{
    Certificate, EC_PARAMETERS, LOCALHOST, Wish, client_certificate,
};
use crate::support::files::{Folder, arg, set_mode};
use crate::support::process::{Daemon, end_of, plainws, plainws_command, url_port};
use crate::support::raw::{self, Raw, close, exchange, get, masked, text};
use crate::support::secure::Secure;
use crate::support::talk::{end, next};
use crate::support::tools::{PATIENCE, wait_until};

const PLUS: &str = r#"{"action":"plus"}"#;
/// What a busy machine may take for what should happen at once.
const SLACK: Duration = Duration::from_secs(10);

/// Starts the daemon with one listener of the application, with TLS, and gives its port.
#[track_caller]
fn serve(app: &str, certificate: &Path, more: &[&str]) -> (Daemon, u16) {
    raw::serve(app, &[&["--tls-cert", arg(certificate)], more].concat())
}

/// Greets over TLS; the client trusts `ca` alone.
#[track_caller]
fn greets(port: u16, ca: &Certificate) {
    let ws = Client::builder().ca(ca.pem());
    let ws = ws.connect(&format!("wss://localhost:{port}/"));
    let ws = ws.unwrap_or_else(|why| panic!("no client gets through: {why}"));
    ws.send("Rust").expect("the connection is open");
    assert_eq!(next(&ws), Message::from("Hello Rust!"));
}

mod client;
mod daemon;
mod files;
mod server;
