//! `Server`: listeners, limits, failing handlers, and a shutdown that joins every thread.

use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, mpsc};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use plainws::{Answer, Client, Connection, Error, Handle, Response, Server};

use crate::support::raw::{Raw, exchange, get};
use crate::support::servers::{echo, port, start, start_with, url};
use crate::support::talk::{connect, received_code, text};
use crate::support::tools::{PATIENCE, wait_until};

/// A client; none if it is refused with 503.
#[track_caller]
fn try_connect(server: &Server, path: &str) -> Option<Connection> {
    match plainws::connect(&(url(server) + path)) {
        Ok(ws) => Some(ws),
        Err(Error::Refused(refused)) if refused.status == 503 => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

#[test]
fn a_place_is_free_again_however_its_handler_ends() {
    let builder = || {
        Server::builder(|ws| match ws.path() {
            "/return" => Ok(()),
            "/fail" => Err(Error::other("on purpose")),
            "/panic" => panic!("of a test, on purpose"),
            _ => echo(ws),
        })
    };
    for limited in [builder().max_connections(2), builder().max_per_address(2)] {
        let server = start_with(limited);
        let bystander = connect(port(&server), "/");
        for (path, code) in [("/return", 1000), ("/fail", 1011), ("/panic", 1011)].repeat(3) {
            let soon = || try_connect(&server, path);
            let client = wait_until(&format!("a place for {path}"), PATIENCE, soon);
            assert_eq!(received_code(&client), code, "{path}");
        }
        let _second = wait_until("a place", PATIENCE, || try_connect(&server, "/"));
        assert!(try_connect(&server, "/").is_none(), "two are the limit");
        assert_eq!(server.connections(), 2);
        bystander.send("still here").unwrap();
        assert_eq!(text(&bystander), "still here");
    }
}

#[test]
fn bound_sockets_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let bound = tcp.local_addr().unwrap().port();
    let server = Server::builder(echo).listen(tcp);
    let server = server.listen(UnixListener::bind(&path).unwrap()).start();
    let server = server.unwrap();
    assert_eq!(server.local_addrs().len(), 2);
    let client = connect(bound, "/");
    client.send("TCP").unwrap();
    assert_eq!(text(&client), "TCP");
    UnixStream::connect(&path).unwrap();
    drop(server);
    assert!(path.exists(), "who bound the file may keep it");
}

#[test]
fn an_address_in_use_is_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Server::builder(echo).listen(address.as_str()).start();
    let error = error.unwrap_err().to_string();
    let told = error.contains("cannot listen on") && error.contains(&address);
    assert!(told, "{error}");
    let error = Server::builder(echo).start().unwrap_err().to_string();
    assert!(error.contains("needs an address"), "{error}");
}

#[test]
fn a_listener_that_somebody_else_shuts_down_ends_the_server() {
    let bound = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = bound.try_clone().unwrap();
    let builder = Server::builder(echo).listen("127.0.0.1:0").listen(bound);
    let server = builder.start().unwrap();
    let client = connect(port(&server), "/");
    rustix::net::shutdown(&shared, rustix::net::Shutdown::Both).unwrap();
    // Nobody shall believe that it serves: a service manager can start it again.
    let error = server.wait().unwrap_err().to_string();
    let address = shared.local_addr().unwrap();
    let said = format!("listening on {address} failed");
    assert!(error.contains(&said), "{error}");
    assert_eq!(received_code(&client), 1001);
    assert!(!server.is_accepting(PATIENCE), "it has ended");
}

#[test]
fn a_route_answers_first() {
    let builder = Server::builder(echo).route(|request| match request.path() {
        "/page" => Some(Answer::from(Response::html("<p>hi"))),
        "/no" => Some(Answer::from(Response::text(404, "no such thing"))),
        "/shout" => Some(Answer::upgrade(|ws| {
            let message = ws.recv()?.to_string();
            ws.send(message.to_uppercase())
        })),
        _ => None,
    });
    let server = start_with(builder);
    for (path, status, body) in [("/page?x", 200, "<p>hi"), ("/no", 404, "no such thing")] {
        let answer = exchange(port(&server), get(path, ""));
        assert_eq!((answer.status, answer.body.trim()), (status, body));
    }
    for (path, answer) in [("/shout", "QUIET"), ("/", "quiet")] {
        let client = connect(port(&server), path);
        client.send("quiet").unwrap();
        assert_eq!(text(&client), answer);
    }
}

/// Whoever awaits the end of all these clients: the code that each is closed with.
fn ends<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    clients: Vec<Connection>,
) -> Vec<ScopedJoinHandle<'scope, u16>> {
    let end = |client| scope.spawn(move || received_code(&client));
    clients.into_iter().map(end).collect()
}

#[test]
fn shutdown_closes_everyone_with_1001_and_joins() {
    // Asked for once, three times at once, and by a drop.
    for times in [1, 3, 0] {
        let server = start_with(Server::builder(echo).open_timeout(PATIENCE * 10));
        let port = port(&server);
        let clients: Vec<_> = (0..20).map(|_| connect(port, "/")).collect();
        let _half_open = Raw::connect(port);
        let start = Instant::now();
        thread::scope(|scope| {
            let ends = ends(scope, clients);
            thread::scope(|scope| {
                for _ in 0..times {
                    scope.spawn(|| assert!(server.shutdown(PATIENCE), "not all ended in time"));
                }
            });
            if times > 0 {
                server.wait().unwrap();
                assert!(server.shutdown(Duration::ZERO), "again does nothing");
            }
            drop(server);
            for end in ends {
                assert_eq!(end.join().unwrap(), 1001, "{times} times");
            }
        });
        // Who has not opened yet is not waited for.
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
        let refused = std::net::TcpStream::connect(("127.0.0.1", port));
        assert!(refused.is_err(), "nobody listens any more");
    }
}

#[test]
fn shutdown_cuts_clients_that_do_not_answer() {
    let server = start(echo);
    let _silent = [(); 5].map(|()| Raw::upgrade(port(&server), "/"));
    let start = Instant::now();
    // Its sixth is the time that their threads have to end; a busy machine needs it.
    assert!(server.shutdown(Duration::from_secs(3)), "cut, and in time");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn shutdown_says_when_a_handler_does_not_return() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let server = start(move |_| {
        let _ = hold.lock().unwrap().recv();
        Ok(())
    });
    let client = connect(port(&server), "/");
    thread::scope(|scope| {
        let end = scope.spawn(|| received_code(&client));
        assert!(!server.shutdown(Duration::from_millis(300)));
        assert_eq!(end.join().unwrap(), 1001, "closed all the same");
    });
    drop(release);
    server.wait().unwrap();
}

/// Each of two once waited for the other's thread to end.
#[test]
fn handlers_may_shut_the_server_down() {
    for count in [1, 2] {
        let (give, get) = mpsc::channel::<Handle>();
        let get = Mutex::new(get);
        let (tell, told) = mpsc::channel();
        let builder = Server::builder(move |ws| {
            if ws.path() != "/stop" {
                return echo(ws);
            }
            let handle = get.lock().unwrap().recv().unwrap();
            tell.send(handle.shutdown(PATIENCE)).unwrap();
            Ok(())
        });
        let server = start_with(builder.close_timeout(Duration::from_secs(1)));
        let bystander = connect(port(&server), "/");
        // They do not answer, so they are cut; but nobody waits for the whole deadline.
        let _stoppers: Vec<_> = (0..count)
            .map(|_| Raw::upgrade(port(&server), "/stop"))
            .collect();
        let start = Instant::now();
        thread::scope(|scope| {
            let ends = ends(scope, vec![bystander]);
            (0..count).for_each(|_| give.send(server.handle()).unwrap());
            for _ in 0..count {
                let others_ended = told.recv_timeout(PATIENCE * 2).unwrap();
                assert!(others_ended, "{count} handlers");
            }
            ends.into_iter()
                .for_each(|end| assert_eq!(end.join().unwrap(), 1001));
        });
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        server.wait().unwrap();
    }
}

#[test]
fn the_first_subprotocol_of_the_servers_that_a_client_offers_is_chosen() {
    let tell = |ws: &Connection| ws.send(ws.subprotocol().unwrap_or("none").to_owned());
    let server = start_with(Server::builder(tell).subprotocols(["v2", "v1"]));
    // Names are compared exactly.
    for (offers, agreed) in [
        (&["v1", "v2"][..], "v2"),
        (&["other", "v1"], "v1"),
        (&["V1"], "none"),
        (&[], "none"),
    ] {
        let client = Client::builder().subprotocols(offers.iter().copied());
        let ws = client.connect(&url(&server)).expect("a client");
        let both = (ws.subprotocol().unwrap_or("none"), &*text(&ws));
        assert_eq!(both, (agreed, agreed), "{offers:?}");
    }
    let wrong = Server::builder(|_| Ok(())).subprotocols(["a,b"]);
    let wrong = wrong.listen("127.0.0.1:0").start();
    assert!(matches!(wrong, Err(Error::Invalid { .. })));
}

#[test]
fn the_end_of_another_connection_is_an_error_of_the_handler() {
    let closing = Server::builder(|_| Ok(()))
        .listen("127.0.0.1:0")
        .start()
        .unwrap();
    let other = url(&closing);
    let server = Server::builder(move |_| plainws::connect(&other)?.recv().map(drop));
    let server = server.listen("127.0.0.1:0").start().unwrap();
    let ws = plainws::connect(&url(&server)).unwrap();
    assert_eq!(crate::support::talk::received_code(&ws), 1011);
}
