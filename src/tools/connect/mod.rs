//! `plainws connect`: arguments become a client, a session, and one of two ways to show it: with a
//! line to type at a terminal, or line by line in a pipe. The main thread runs all of this file.

mod terminal;

mod modes;

mod printer;

mod typist;

mod command;

mod pipe;

mod json;

mod signals;

mod session;

mod dial;

mod end;

mod lines;

mod trace;

mod spawn;

mod password;

mod args;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use plainws::{Client, ClientBuilder, Result};

use super::say::say;
#[cfg(feature = "tls")]
use crate::file;

pub(crate) use args::Connect;
use dial::Dial;
use end::Failure;

/// All authorities of a system are a tenth of this.
#[cfg(feature = "tls")]
const MAX_CA: usize = 4 << 20;

pub(crate) fn run(args: Connect) -> ExitCode {
    let code = connect(&args).unwrap_or_else(|Failure(code, sentence)| {
        say(&sentence);
        code
    });
    ExitCode::from(code)
}

fn connect(args: &Connect) -> std::result::Result<u8, Failure> {
    let dial = dialled(args).map_err(Failure::usage)?;
    if args.insecure {
        say(
            "--insecure: WHO ANSWERS IS NOT CHECKED. Whoever is in between can read and change \
             everything, the password, too",
        );
    }
    let at_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if at_terminal && !args.json && !args.one {
        terminal::run(args, dial)
    } else {
        pipe::run(args, dial)
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
        let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let (pem, _) = file::read(path, MAX_CA).map_err(|error| wrong(&error))?;
        if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
            return Err(wrong(&"there is no certificate in it (no BEGIN CERTIFICATE)").into());
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
        true => Err("this build has no TLS, it was made without the feature tls".into()),
        false => Ok(client),
    }
}
