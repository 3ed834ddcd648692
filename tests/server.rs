//! `Server`: listeners, limits, failing handlers, and a shutdown that joins every thread.

use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use plainws::{Answer, Client, CloseCode, Connection, Error, Handle, Response, Server};

use crate::support::raw::Raw;
use crate::support::tools::{PATIENCE, wait_until};

fn echo(ws: &Connection) -> plainws::Result<()> {
    for message in ws {
        ws.write(message?)?;
    }
    Ok(())
}

fn start(handler: impl Fn(&Connection) -> plainws::Result<()> + Send + Sync + 'static) -> Server {
    Server::builder(handler)
        .listen("127.0.0.1:0")
        .start()
        .unwrap()
}

fn url(server: &Server) -> String {
    format!("ws://{}", server.local_addr())
}

/// The close code that a client sees.
fn code_of(client: &Connection) -> CloseCode {
    let error = client.recv().expect_err("closed");
    error
        .closed()
        .unwrap()
        .received
        .clone()
        .expect("a close frame")
        .code
}

#[test]
fn a_handler_that_returns_closes_with_1000() {
    let server = start(|_| Ok(()));
    assert_eq!(
        code_of(&plainws::connect(&url(&server)).unwrap()),
        CloseCode::NORMAL
    );
}

#[test]
fn a_handler_that_fails_or_panics_closes_with_1011_alone() {
    let server = start(|ws| match ws.path() {
        "/fail" => Err(Error::other("on purpose")),
        "/panic" => panic!("of a test, on purpose"),
        _ => echo(ws),
    });
    let bystander = plainws::connect(&url(&server)).unwrap();
    for path in ["/fail", "/panic"] {
        let client = plainws::connect(&(url(&server) + path)).unwrap();
        assert_eq!(code_of(&client), CloseCode::INTERNAL_ERROR, "{path}");
    }
    bystander.send("still here").unwrap();
    assert_eq!(bystander.recv().unwrap(), "still here");
    wait_until("the places to be free", PATIENCE, || {
        (server.connections() == 1).then_some(())
    });
}

#[test]
fn a_handler_with_arguments_captures_them() {
    let extra = Arc::new("spam".to_owned());
    let server = start(move |ws| ws.send(extra.as_str()));
    assert_eq!(
        plainws::connect(&url(&server)).unwrap().recv().unwrap(),
        "spam"
    );
}

#[test]
fn bound_sockets_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let server = Server::builder(echo)
        .listen(tcp)
        .listen(UnixListener::bind(&path).unwrap())
        .start()
        .unwrap();
    assert_eq!(server.local_addrs().len(), 2);
    let client = plainws::connect(&format!("ws://{address}")).unwrap();
    client.send("TCP").unwrap();
    assert_eq!(client.recv().unwrap(), "TCP");
    UnixStream::connect(&path).unwrap();
    drop(server);
    assert!(path.exists(), "who bound the file may keep it");
}

#[test]
fn an_address_in_use_is_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Server::builder(echo)
        .listen(address.as_str())
        .start()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot listen on") && error.contains(&address),
        "{error}"
    );
    let error = Server::builder(echo).start().unwrap_err().to_string();
    assert!(error.contains("needs an address"), "{error}");
}

#[test]
fn a_listener_that_somebody_else_shuts_down_ends_the_server() {
    let bound = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = bound.try_clone().unwrap();
    let server = Server::builder(echo)
        .listen("127.0.0.1:0")
        .listen(bound)
        .start()
        .unwrap();
    let client = plainws::connect(&url(&server)).unwrap();
    rustix::net::shutdown(&shared, rustix::net::Shutdown::Both).unwrap();
    // Nobody shall believe that it serves: a service manager can start it again.
    let error = server.wait().unwrap_err().to_string();
    let address = shared.local_addr().unwrap();
    let said = format!("listening on {address} failed");
    assert!(error.contains(&said), "{error}");
    assert_eq!(code_of(&client), CloseCode::GOING_AWAY);
    assert!(!server.is_accepting(PATIENCE), "it has ended");
}

#[test]
fn a_place_is_free_again_when_a_client_has_left() {
    let server = Server::builder(echo)
        .listen("127.0.0.1:0")
        .max_connections(2)
        .start()
        .unwrap();
    let first = plainws::connect(&url(&server)).unwrap();
    let _second = plainws::connect(&url(&server)).unwrap();
    match plainws::connect(&url(&server)) {
        Err(Error::Refused(refused)) => assert_eq!(refused.status, 503),
        other => panic!("{other:?} instead of 503"),
    }
    drop(first);
    wait_until("a free place", PATIENCE, || {
        plainws::connect(&url(&server)).ok()
    });
}

#[test]
fn a_route_answers_first() {
    let server = Server::builder(echo)
        .route(|request| match request.path() {
            "/page" => Some(Answer::from(Response::html("<p>hi"))),
            "/no" => Some(Answer::from(Response::text(404, "no such thing"))),
            "/shout" => Some(Answer::upgrade(|ws| {
                let message = ws.recv()?.to_string();
                ws.send(message.to_uppercase())
            })),
            _ => None,
        })
        .listen("127.0.0.1:0")
        .start()
        .unwrap();
    let port = server.local_addr().port().unwrap();
    let mut raw = Raw::connect(port);
    raw.send(b"GET /page?x HTTP/1.1\r\nHost: h\r\n\r\n");
    let answer = raw.answer();
    assert_eq!((answer.status, answer.body.as_str()), (200, "<p>hi"));
    match plainws::connect(&(url(&server) + "/no")) {
        Err(Error::Refused(refused)) => {
            assert_eq!(
                (refused.status, refused.body.trim()),
                (404, "no such thing")
            );
        }
        other => panic!("{other:?} instead of 404"),
    }
    let client = plainws::connect(&(url(&server) + "/shout")).unwrap();
    client.send("quiet").unwrap();
    assert_eq!(client.recv().unwrap(), "QUIET");
}

#[test]
fn shutdown_closes_everyone_with_1001_and_joins() {
    let server = start(echo);
    let clients: Vec<_> = (0..20)
        .map(|_| plainws::connect(&url(&server)).unwrap())
        .collect();
    let half_open = Raw::connect(server.local_addr().port().unwrap());
    let listening: Vec<_> = clients
        .into_iter()
        .map(|client| thread::spawn(move || code_of(&client)))
        .collect();
    assert!(server.shutdown(PATIENCE), "all threads end in time");
    for thread in listening {
        assert_eq!(thread.join().unwrap(), CloseCode::GOING_AWAY);
    }
    drop(half_open);
    server.wait().unwrap();
    assert!(
        plainws::connect(&url(&server)).is_err(),
        "nobody listens any more"
    );
    assert!(
        server.shutdown(Duration::ZERO),
        "shutting down again does nothing"
    );
}

#[test]
fn shutdown_cuts_clients_that_do_not_answer() {
    let server = start(echo);
    let port = server.local_addr().port().unwrap();
    let _silent: Vec<_> = (0..5).map(|_| Raw::upgrade(port, "/")).collect();
    let start = Instant::now();
    assert!(server.shutdown(Duration::from_secs(1)), "cut, and in time");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn shutdown_says_when_a_handler_does_not_return() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = std::sync::Mutex::new(hold);
    let server = start(move |_| {
        let _ = hold.lock().unwrap().recv();
        Ok(())
    });
    let client = plainws::connect(&url(&server)).unwrap();
    let listening = thread::spawn(move || client.recv().unwrap_err());
    assert!(!server.shutdown(Duration::from_millis(300)));
    let error = listening.join().unwrap();
    let received = error.closed().unwrap().received.clone().unwrap();
    assert_eq!(
        received.code,
        CloseCode::GOING_AWAY,
        "its client is closed all the same"
    );
    drop(release);
    server.wait().unwrap();
}

#[test]
fn shutdown_works_from_within_a_handler() {
    let (handle, get_handle) = mpsc::channel::<Handle>();
    let get_handle = std::sync::Mutex::new(get_handle);
    let (tell, told) = mpsc::channel();
    let server = start(move |ws| {
        if ws.path() == "/stop" {
            let handle = get_handle.lock().unwrap().recv().unwrap();
            tell.send(handle.shutdown(PATIENCE)).unwrap();
            return Ok(());
        }
        echo(ws)
    });
    handle.send(server.handle()).unwrap();
    let bystander = plainws::connect(&url(&server)).unwrap();
    let listening = thread::spawn(move || code_of(&bystander));
    let stopper = plainws::connect(&(url(&server) + "/stop")).unwrap();
    assert_eq!(code_of(&stopper), CloseCode::GOING_AWAY);
    assert!(
        told.recv_timeout(PATIENCE).unwrap(),
        "all other threads have ended"
    );
    assert_eq!(listening.join().unwrap(), CloseCode::GOING_AWAY);
    server.wait().unwrap();
}

#[test]
fn two_shutdowns_at_once_are_one() {
    let server = start(echo);
    let _client = plainws::connect(&url(&server)).unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(server.shutdown(PATIENCE)));
        }
    });
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let server = start(echo);
    let address = url(&server);
    let client = plainws::connect(&address).unwrap();
    let listening = thread::spawn(move || code_of(&client));
    drop(server);
    assert_eq!(listening.join().unwrap(), CloseCode::GOING_AWAY);
    assert!(plainws::connect(&address).is_err());
}

#[test]
fn the_first_subprotocol_of_the_servers_that_a_client_offers_is_chosen() {
    let server =
        Server::builder(|ws: &Connection| ws.send(ws.subprotocol().unwrap_or("none").to_owned()))
            .subprotocols(["chat.v2", "chat.v1"])
            .listen("127.0.0.1:0")
            .start()
            .expect("a server");
    let url = format!("ws://{}", server.local_addr());
    let agreed = |offers: &[&str]| {
        let client = Client::builder().subprotocols(offers.iter().copied());
        let ws = client.connect(&url).expect("a client");
        let told = ws.recv().expect("the server tells").to_string();
        assert_eq!(ws.subprotocol().unwrap_or("none"), told, "both ends agree");
        told
    };
    assert_eq!(agreed(&["chat.v1", "chat.v2"]), "chat.v2");
    assert_eq!(agreed(&["other", "chat.v1"]), "chat.v1");
    assert_eq!(agreed(&["CHAT.v1"]), "none", "names are compared exactly");
    assert_eq!(agreed(&[]), "none");
    let wrong = Server::builder(|_| Ok(()))
        .subprotocols(["a,b"])
        .listen("127.0.0.1:0");
    assert!(matches!(wrong.start(), Err(Error::Invalid { .. })));
}
