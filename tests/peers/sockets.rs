//! Sockets handed over by systemd-socket-activate.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::support::files::Folder;
use crate::support::process::{Daemon, plainws_command, stopped};
use crate::support::raw::get;
use crate::support::talk::text;
use crate::support::tools::{PATIENCE, require, wait_until};

/// Runs `plainws serve` with sockets handed over.
#[track_caller]
fn activated(sockets: &[(&str, &str)], args: &[&str]) -> Daemon {
    let activate = require("systemd-socket-activate", "apt-get install systemd");
    let plainws = plainws_command(&["serve"]);
    let mut command = Command::new(activate);
    for (_, address) in sockets {
        command.args(["-l", address]);
    }
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    command.arg(format!("--fdname={}", names.join(":")));
    command.arg(plainws.get_program()).arg("serve").args(args);
    Daemon::spawn(command)
}

fn get_unix(path: &str, page: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("it is bound");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(get(page, "").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// systemd-socket-activate has bound the path.
fn wait_bound(path: &str) {
    wait_until("the socket to be bound", PATIENCE, || {
        Path::new(path).exists().then_some(())
    });
}

#[test]
fn a_socket_belongs_to_the_application_that_it_is_named_after() {
    let folder = Folder::new();
    let (counter, any) = (folder.arg("c"), folder.arg("a"));
    let sockets = [("counter", &*counter), ("something", &*any)];
    let daemon = activated(&sockets, &[]);
    wait_bound(&any);
    assert!(get_unix(&counter, "/").contains("<title>Counter"));
    let index = get_unix(&any, "/");
    assert!(
        index.contains("/counter") && index.contains("/hello"),
        "{index}"
    );
    // The default ports are not bound besides.
    let lines = stopped(daemon);
    let served = |l: &&String| l.contains(" at ");
    assert_eq!(lines.iter().filter(served).count(), 2, "{lines:#?}");
    assert!(
        Path::new(&counter).exists(),
        "it stays for the next process"
    );
}

#[test]
fn a_socket_without_such_a_name_belongs_to_the_listener_at_its_address() {
    let folder = Folder::new();
    let (given, own) = (folder.arg("given"), folder.arg("own"));
    let listen = [format!("clock=unix:{given}"), format!("hello=unix:{own}")];
    let args = ["--listen", &listen[0], "--listen", &listen[1]];
    let daemon = activated(&[("plainws.socket", &given)], &args);
    wait_bound(&given);
    assert!(get_unix(&given, "/").contains("<title>Clock"));
    // What was asked for beyond that is bound.
    assert!(get_unix(&own, "/").contains("<title>Hello"));
    stopped(daemon);
    assert!(Path::new(&given).exists() && !Path::new(&own).exists());
}

#[test]
fn the_first_client_starts_the_daemon_and_is_served() {
    // The port is free now; should somebody take it meanwhile, another one is tried.
    let mut tries = 0;
    let (_daemon, ws) = loop {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        // All addresses, at the port of a listener at one of them: the same application.
        let (address, listen) = (
            format!("0.0.0.0:{port}"),
            format!("counter=127.0.0.1:{port}"),
        );
        let daemon = activated(&[("plainws.socket", &address)], &["--listen", &listen]);
        tries += 1;
        let url = format!("ws://127.0.0.1:{port}/");
        let ws = wait_until("the first client to be served", PATIENCE, || {
            plainws::connect(&url)
                .map(Some)
                .or_else(|e| {
                    if daemon.is_running() {
                        Err(e)
                    } else {
                        Ok(None)
                    }
                })
                .ok()
        });
        match ws {
            Some(ws) => break (daemon, ws),
            None => assert!(tries < 10, "{}", daemon.report()),
        }
    };
    assert!(text(&ws).contains("users"));
}
