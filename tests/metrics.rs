//! `Metrics`: what a server counts, while connections come, go, and read too slowly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use plainws::{Answer, Handle, Metrics, Response, Server};

use crate::support::hubs::{hub, registering, wait_registered};
use crate::support::raw::{Raw, exchange, get, upgrade_request};
use crate::support::servers::{echo, port, start, start_with, url};
use crate::support::talk::{connect, end, text};
use crate::support::tools::{PATIENCE, until, wait_until};

#[test]
fn no_figure_goes_down_and_none_is_lost_while_clients_come_and_go() {
    const CLIENTS: u64 = 4;
    const TIMES: u64 = 30;
    const MESSAGES: u64 = 5;
    let server = start(echo);
    let busy = AtomicBool::new(true);
    let come_and_go = || {
        for _ in 0..TIMES {
            let ws = plainws::connect(&url(&server)).unwrap();
            for _ in 0..MESSAGES {
                ws.send("x").unwrap();
                ws.recv().unwrap();
            }
        }
    };
    thread::scope(|scope| {
        let clients = [(); CLIENTS as usize].map(|()| scope.spawn(come_and_go));
        scope.spawn(|| {
            let mut last = Metrics::default();
            while busy.load(Ordering::Relaxed) {
                let now = server.metrics();
                for (name, now, last) in [
                    ("accepted", now.accepted, last.accepted),
                    ("messages in", now.messages_in, last.messages_in),
                    ("messages out", now.messages_out, last.messages_out),
                    ("bytes in", now.bytes_in, last.bytes_in),
                    ("bytes out", now.bytes_out, last.bytes_out),
                ] {
                    assert!(now >= last, "{name} went from {last} to {now}");
                }
                last = now;
                thread::yield_now();
            }
        });
        for client in clients {
            client.join().unwrap();
        }
        busy.store(false, Ordering::Relaxed);
    });
    until("all clients to have left", || server.metrics().clients == 0);
    let metrics = server.metrics();
    assert_eq!(metrics.accepted, CLIENTS * TIMES);
    let messages = [metrics.messages_in, metrics.messages_out];
    assert_eq!(messages, [CLIENTS * TIMES * MESSAGES; 2]);
    let refused: u64 = metrics.refused().map(|(_, count)| count).sum();
    assert_eq!((metrics.slow_closed, refused), (0, 0));
}

#[test]
fn a_stream_that_a_client_does_not_read_fills_its_backlog_and_closes_it() {
    const LIMIT: u64 = 64 * 1024;
    let hub = hub(());
    let server = start_with(registering(&hub));
    let slow = Raw::connect_narrow(port(&server)).open("/");
    wait_registered(&hub, 1);
    let (mut most, mut sent) = (0, 0);
    until("it to be closed as slow", || {
        hub.broadcast(vec![0_u8; 4096]);
        sent += 1;
        let metrics = server.metrics();
        most = most.max(metrics.backlog_bytes);
        metrics.slow_closed == 1
    });
    assert!(most > 0 && most <= LIMIT + 5000, "{most} bytes waited");
    drop(slow);
    until("it to have left", || {
        let metrics = server.metrics();
        metrics.clients == 0 && metrics.backlog_bytes == 0
    });
    assert_eq!(server.metrics().slow_closed, 1, "it stays counted");
    // The last one may have come when nobody was there any more.
    let counted = hub.broadcasts();
    assert!((1..=sent).contains(&counted), "{counted} of {sent}");
}

#[test]
fn what_the_program_refuses_is_told_apart_from_what_is_not_there() {
    let route = Server::builder(echo).route(|request| match request.path() {
        "/teapot" => Some(Response::text(418, "short and stout").into()),
        "/page" => Some(Response::html("hi").into()),
        _ => Some(Response::text(404, "nothing").into()),
    });
    let server = start_with(route);
    for (path, status) in [("/teapot", 418), ("/page", 200), ("/", 404), ("/x", 404)] {
        assert_eq!(exchange(port(&server), get(path, "")).status, status);
    }
    until("all to be counted", || {
        let metrics = server.metrics();
        let refused: Vec<_> = metrics.refused().filter(|told| told.1 > 0).collect();
        refused == [("application", 1), ("not_found", 2)] && metrics.pages == 1
    });
    assert_eq!(server.metrics().accepted, 0);
}

/// It comes while the server runs, and is answered when it does not any more.
#[test]
fn who_is_late_for_a_server_that_stops_is_counted_as_that() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let (here, arrived) = mpsc::channel();
    let server = start_with(Server::builder(echo).route(move |_| {
        here.send(()).unwrap();
        let _ = gone.lock().unwrap().recv();
        Some(Answer::upgrade(echo))
    }));
    let mut late = Raw::connect(port(&server));
    late.send(upgrade_request("/", "").as_bytes());
    arrived.recv_timeout(PATIENCE).unwrap();
    let handle = server.handle();
    let closing = thread::spawn(move || handle.shutdown(PATIENCE));
    wait_until("the server to take nobody more", PATIENCE, || {
        // A connection that is taken is served, which waits, so only those that are refused count.
        std::net::TcpStream::connect(("127.0.0.1", port(&server))).err()
    });
    drop(go);
    // It was taken before, so it is told by a close frame, and not refused.
    assert_eq!(late.answer().status, 101);
    assert_eq!(late.close_frame().0, 1001);
    assert!(closing.join().unwrap());
}

#[test]
fn a_handler_may_ask_for_the_figures() {
    let (give, get) = mpsc::channel::<Handle>();
    let get = Mutex::new(get);
    let server = start(move |ws| {
        ws.recv()?;
        let metrics = get.lock().unwrap().recv().unwrap().metrics();
        ws.send(format!("{} {}", metrics.clients, metrics.messages_in))
    });
    give.send(server.handle()).unwrap();
    let ws = connect(port(&server), "/");
    ws.send("?").unwrap();
    assert_eq!(text(&ws), "1 1");
    assert!(end(&ws).is_normal());
}

/// One of a kind, whatever happens.
#[test]
fn the_reasons_are_few_and_fixed() {
    let names: Vec<_> = Metrics::default().refused().map(|(name, _)| name).collect();
    let documented = "address application bad_request full gone host not_found origin stopping \
                      threads timeout tls upgrade";
    assert_eq!(names.join(" "), documented);
    let page = include_str!("../docs/metrics.md");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
