//! Where the daemon listens: `--listen`, and the sockets that a service manager hands over
//! (`LISTEN_FDS`, sd_listen_fds(3)).
//!
//! Comes in: what the arguments say, and the environment. Goes out: bound listeners, each with its
//! application. Runs once at the start, before there are threads.
//!
//! A socket handed over belongs to the application that it is named after; with another name, to
//! that of `--listen` at its address, or else at its port; or else it serves all paths. Addresses of
//! `--listen` that were not handed over are bound, but not the default ones when anything was.

use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
use std::path::Path;

use listenfd::ListenFd;
use log::info;
use plainws::{Address, Listener, Result};
#[cfg(not(target_vendor = "apple"))]
use rustix::net::sockopt::socket_acceptconn;

use super::listen::{self, Listen, Security};
use crate::apps::App;
use crate::escaped::Escaped;

/// A bound listener, and what is served there.
pub(super) struct Bound {
    pub(super) app: Option<App>,
    pub(super) security: Security,
    pub(super) listener: Listener,
    /// For messages: the address as it was written, or the name of the socket.
    pub(super) name: String,
}

/// Takes over and binds all there is to listen on.
pub(super) fn bind(wanted: &[Listen]) -> Result<Vec<Bound>> {
    let mut all = Vec::new();
    for (name, listener) in handed_over()? {
        let address = listener.local_addr();
        let same = wanted.iter().find(|w| is_at(w, address));
        let same = same.or_else(|| wanted.iter().find(|w| has_port(w, address)));
        let (app, security) = match (named(&name), same) {
            ((app, Security::Default), Some(same)) => (app.or(same.app), same.security),
            ((app, security), same) => (app.or(same.and_then(|w| w.app)), security),
        };
        match name.as_str() {
            // sd_listen_fds_with_names(3)
            "unknown" => info!("socket without a name handed over: {address}"),
            name => info!("socket {} handed over: {address}", Escaped(name)),
        }
        all.push(Bound {
            app,
            security,
            listener,
            name,
        });
    }
    let handed = all.len();
    if handed > 0 && is_default(wanted) {
        return Ok(all);
    }
    for wanted in wanted {
        let mut handed = all[..handed].iter();
        if handed.any(|bound| covers(bound.listener.local_addr(), wanted)) {
            continue;
        }
        for listener in Listener::bind(&wanted.address)? {
            all.push(Bound {
                app: wanted.app,
                security: wanted.security,
                listener,
                name: wanted.address.clone(),
            });
        }
    }
    Ok(all)
}

/// What a socket's name says, written as an application: `[tls+|plain+]counter`.
fn named(name: &str) -> (Option<App>, Security) {
    let (security, rest) = Security::parse(name);
    (App::named(rest), security)
}

/// The sockets in `LISTEN_FDS`, if they are meant for this process, with their names.
fn handed_over() -> Result<Vec<(String, Listener)>> {
    let refused = |why: &dyn std::fmt::Display| {
        plainws::Error::other(format!("cannot take over the sockets of LISTEN_FDS: {why}"))
    };
    // sd-notify looks whether LISTEN_PID is this process; listenfd would take the sockets of any.
    let named: Vec<_> = sd_notify::listen_fds_with_names()
        .map_err(|error| refused(&error))?
        .collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let mut sockets = ListenFd::from_env();
    let mut taken = Vec::new();
    for (index, (fd, name)) in named.into_iter().enumerate() {
        let listener = take(&mut sockets, index)
            .map_err(|why| refused(&format_args!("{fd}, {}: {why}", Escaped(&name))))?;
        taken.push((name, listener));
    }
    Ok(taken)
}

fn take(sockets: &mut ListenFd, index: usize) -> std::result::Result<Listener, String> {
    // A socket of any other kind is told from these two by their families.
    let said = |error: std::io::Error| error.to_string();
    let listener = match sockets.take_unix_listener(index) {
        Ok(Some(unix)) => {
            is_listening(&unix)?;
            Listener::try_from(unix)
        }
        _ => {
            let tcp: Option<TcpListener> = sockets.take_tcp_listener(index).map_err(said)?;
            let tcp = tcp.ok_or("it is there twice")?;
            is_listening(&tcp)?;
            Listener::try_from(tcp)
        }
    };
    listener.map_err(|error| error.to_string())
}

/// A connection would be handed over with `Accept=yes`.
fn is_listening(socket: &impl AsFd) -> std::result::Result<(), String> {
    match socket_acceptconn(socket) {
        Ok(true) => Ok(()),
        _ => Err("it does not listen; plainws takes listening sockets (Accept=no)".to_owned()),
    }
}

/// Apple's systems do not say; no service manager of theirs hands sockets over in this way.
#[cfg(target_vendor = "apple")]
fn socket_acceptconn(_: &impl AsFd) -> rustix::io::Result<bool> {
    Ok(true)
}

/// Whether `--listen` names this very address.
fn is_at(wanted: &Listen, address: &Address) -> bool {
    match address {
        Address::Unix(Some(path)) => {
            let wanted = wanted.address.strip_prefix("unix:");
            wanted.map(Path::new) == Some(path)
        }
        Address::Unix(None) => false,
        Address::Tcp(tcp) => match wanted.address.strip_prefix(':') {
            Some(_) => tcp.ip().is_unspecified() && has_port(wanted, address),
            None if !has_port(wanted, address) => false,
            None => wanted
                .address
                .to_socket_addrs()
                .is_ok_and(|mut all| all.any(|one| one == *tcp)),
        },
    }
}

/// Whether clients of that listener come to a socket at this address.
fn covers(address: &Address, wanted: &Listen) -> bool {
    let all = address.ip().is_some_and(|ip| ip.is_unspecified());
    is_at(wanted, address) || all && has_port(wanted, address)
}

fn has_port(wanted: &Listen, address: &Address) -> bool {
    let port = wanted.address.rsplit_once(':').map(|(_, port)| port);
    let port = port.and_then(|port| port.parse().ok());
    port.is_some() && port == address.port()
}

/// Whoever writes the default addresses means the same by them as who writes none.
fn is_default(wanted: &[Listen]) -> bool {
    let default = listen::DEFAULT.split(',').map(Listen::parse);
    default.eq(wanted.iter().cloned().map(Ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let tcp = |text: &str| Address::Tcp(text.parse().expect("an address"));
        let wanted = |text: &str| Listen::parse(text).expect("a listener");
        for (text, address) in [
            ("counter=127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            (":80", "[::]:80"),
            (":80", "0.0.0.0:80"),
        ] {
            assert!(is_at(&wanted(text), &tcp(address)), "{text} {address}");
        }
        for (text, address) in [
            ("127.0.0.1:80", "127.0.0.1:81"),
            ("127.0.0.1:80", "0.0.0.0:80"),
            (":80", "127.0.0.1:80"),
        ] {
            assert!(!is_at(&wanted(text), &tcp(address)), "{text} {address}");
        }
        assert!(has_port(&wanted("127.0.0.1:80"), &tcp("0.0.0.0:80")));
        let unix = Address::Unix(Some(std::sync::Arc::from(Path::new("/run/a"))));
        assert!(is_at(&wanted("unix:/run/a"), &unix));
        assert!(!is_at(&wanted("unix:/run/b"), &unix));
        assert!(!has_port(&wanted("unix:/run/b"), &unix));
    }

    #[test]
    fn a_name_is_an_application_with_tls_or_without() {
        assert_eq!(named("counter"), (Some(App::Counter), Security::Default));
        assert_eq!(named("plain+clock"), (Some(App::Clock), Security::Plain));
        assert_eq!(named("tls+hello"), (Some(App::Hello), Security::Tls));
        assert_eq!(named("plainws.socket"), (None, Security::Default));
        assert_eq!(named("plain+"), (None, Security::Plain));
    }

    #[test]
    fn the_default_is_known_again() {
        let all: Vec<_> = listen::DEFAULT.split(',').map(Listen::parse).collect();
        let all: Vec<_> = all.into_iter().map(|l| l.expect("fine")).collect();
        assert!(is_default(&all));
        assert!(!is_default(&all[..2]));
    }
}
