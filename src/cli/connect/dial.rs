//! `Dial`: where a session's connections come from. Asked by its thread `receive` only.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use plainws::{ClientBuilder, Connection, Result, Retry};

/// Where connections come from.
pub(super) enum Dial {
    Once(ClientBuilder, String),
    Unix(ClientBuilder, String, PathBuf),
    Again(Box<Retry>),
}

impl Dial {
    /// The next connection; `None` when it was stopped. Waits.
    pub(super) fn connect(&mut self) -> Option<Result<Connection>> {
        match self {
            Dial::Once(client, uri) => Some(client.connect(uri)),
            Dial::Unix(client, uri, path) => Some(
                UnixStream::connect(&*path)
                    .map_err(|error| {
                        format!("cannot connect to unix:{}: {error}", path.display()).into()
                    })
                    .and_then(|stream| client.connect_over(uri, stream)),
            ),
            Dial::Again(retry) => retry.next(),
        }
    }
}
