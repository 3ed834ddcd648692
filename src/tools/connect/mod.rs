//! `plainws connect`: arguments become a client, a session, and one of two ways to show it: with a
//! line to type at a terminal, or line by line in a pipe. The main thread runs all of this file.

mod args;
mod command;
mod dial;
mod event;
mod json;
mod password;
mod pipe;
mod printer;
mod session;
mod signals;
mod terminal;
mod trace;
mod typist;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use plainws::{Client, ClientBuilder, Error, Result};

use super::say::say;

pub(crate) use args::Connect;
use dial::Dial;
use event::close_line;
use session::{End, Session};

/// Could not connect.
const FAILED: u8 = 1;
/// Wrong usage; clap's own.
const USAGE: u8 = 2;
/// Closed with another code than a goodbye, or lost.
const ABNORMAL: u8 = 3;

pub(crate) fn run(args: Connect) -> ExitCode {
    let dial = match dialled(&args) {
        Ok(dial) => dial,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::from(USAGE);
        }
    };
    if args.insecure {
        say(
            "--insecure: WHO ANSWERS IS NOT CHECKED. Whoever is in between can read and change \
             everything, the password, too",
        );
    }
    let at_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if at_terminal && !args.json && !args.one {
        terminal::run(&args, dial)
    } else {
        pipe::run(&args, dial)
    }
}

fn dialled(args: &Connect) -> Result<Dial> {
    let client = secure(client(args)?, args)?;
    let uri = args.uri.clone();
    Ok(match (&args.unix, args.reconnect) {
        (Some(path), _) => Dial::Unix(client, uri, path.clone(), args.open_timeout),
        (None, Some(attempts)) => Dial::Again(Box::new(client.retry(&uri).attempts(attempts))),
        (None, None) => Dial::Once(client, uri),
    })
}

fn client(args: &Connect) -> Result<ClientBuilder> {
    let mut client = Client::builder()
        .max_size(args.max_size)
        .open_timeout(args.open_timeout)
        .ping_interval(args.ping_interval)
        .ping_timeout(args.ping_timeout)
        .subprotocols(&args.subprotocol);
    for (name, value) in &args.header {
        client = client.header(name, value);
    }
    if let Some(origin) = &args.origin {
        client = client.origin(origin);
    }
    client = match args.proxy.as_deref() {
        None => client.proxy_from_env(),
        Some("off") => client.proxy(None),
        Some(url) => client.proxy(url),
    };
    if let Some(name) = &args.user {
        client = client.basic_auth(name, password::of(name)?);
    }
    Ok(client)
}

#[cfg(feature = "tls")]
fn secure(mut client: ClientBuilder, args: &Connect) -> Result<ClientBuilder> {
    if let Some(path) = &args.ca {
        let wrong = |what: &str| Error::Tls {
            what: format!("{}: {what}", path.display()),
        };
        let pem = std::fs::read(path).map_err(|error| wrong(&error.to_string()))?;
        if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
            return Err(wrong(
                "there is no certificate in it (no BEGIN CERTIFICATE)",
            ));
        }
        client = client.ca(pem);
    }
    if let Some(certificate) = &args.cert {
        client = client.identity(&match &args.key {
            Some(key) => plainws::Identity::from_pem_files(certificate, key)?,
            None => plainws::Identity::from_pem_file(certificate)?,
        });
    }
    Ok(if args.insecure {
        client.insecure()
    } else {
        client
    })
}

#[cfg(not(feature = "tls"))]
fn secure(client: ClientBuilder, args: &Connect) -> Result<ClientBuilder> {
    let given = args.ca.is_some() || args.cert.is_some() || args.key.is_some() || args.insecure;
    match given {
        true => Err(Error::Invalid {
            what: "this build has no TLS, it was made without the feature tls".to_owned(),
        }),
        false => Ok(client),
    }
}

/// The exit code of an end, and the sentence about it, unless it is what was wanted.
fn verdict(session: &Session, end: &End) -> (u8, Option<String>) {
    match end {
        End::Failed(error @ Error::Invalid { .. }) => (USAGE, Some(error.to_string())),
        End::Failed(Error::Refused(refused)) if refused.status == 401 => {
            (FAILED, Some(format!("{refused} (log in with --user NAME)")))
        }
        End::Failed(error) => (FAILED, Some(error.to_string())),
        End::Stopped => (FAILED, None),
        End::Closed(closed) if session.is_fine(closed) => (0, None),
        End::Closed(closed) => (ABNORMAL, Some(close_line(closed))),
    }
}
