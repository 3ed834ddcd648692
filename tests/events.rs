//! Event streams: what stands in them, and that such a client is one as any other.

use std::io::Read;
use std::time::Duration;

use plainws::{Answer, Connection, Event, Hub, Server};

use crate::support::hubs::{hub, wait_registered};
use crate::support::raw::Raw;
use crate::support::talk::text;
use crate::support::tools::{PATIENCE, wait_until};

const GET: &[u8] = b"GET /events HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n";

/// Registers sockets and event streams with the hub.
fn server(
    hub: &Hub<()>,
    adapt: impl FnOnce(plainws::ServerBuilder) -> plainws::ServerBuilder,
) -> (Server, u16) {
    let (sockets, streams) = (hub.clone(), hub.clone());
    let stay = |hub: &Hub<()>, ws: &Connection| {
        let _registered = hub.register(ws);
        ws.recv().map(drop)
    };
    let server = Server::builder(move |ws| stay(&sockets, ws)).route(move |request| {
        let streams = streams.clone();
        (request.path() == "/events").then(|| Answer::events(move |events| stay(&streams, events)))
    });
    let server = adapt(server.listen("127.0.0.1:0").ping_interval(None))
        .start()
        .unwrap();
    let port = server.local_addr().port().unwrap();
    (server, port)
}

/// An event stream behind its head.
#[track_caller]
fn open(port: u16) -> Raw {
    let mut raw = Raw::connect(port);
    raw.send(GET);
    let head = raw.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    for line in [
        "Content-Type: text/event-stream",
        "Cache-Control: no-store",
        "X-Accel-Buffering: no",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(!head.contains("Content-Length"), "{head}");
    raw
}

#[test]
fn a_hub_tells_streams_and_sockets_the_same_in_one_order() {
    let hub = hub(());
    let (server, port) = server(&hub, |server| server);
    let ws = plainws::connect(&format!("ws://127.0.0.1:{port}")).unwrap();
    let mut stream = open(port);
    wait_registered(&hub, 2);
    let metrics = server.metrics();
    assert_eq!((metrics.clients, metrics.event_streams), (2, 1));
    for n in 0..500 {
        let event = Event::new(format!("{n}\nä")).id(n.to_string()).to_string();
        match n % 2 {
            0 => hub.broadcast(event),
            _ => hub.publish(n.to_string(), event),
        }
    }
    for n in 0..500 {
        let expected = format!("id: {n}\ndata: {n}\ndata: ä\n\n");
        assert_eq!(text(&ws), expected);
        assert_eq!(stream.until("\n\n"), expected);
    }
    assert!(server.shutdown(PATIENCE));
    assert_eq!(stream.rest(), b"", "the end of the stream is the goodbye");
}

#[test]
fn what_is_queued_is_sent_before_the_end() {
    let server = Server::builder(|_| Ok(())).route(|request| {
        request.path().starts_with('/').then(|| {
            Answer::events(|events| {
                events.write("a".repeat(3 << 20))?;
                events.send("end")
            })
        })
    });
    let server = server
        .listen("127.0.0.1:0")
        .backlog(8 << 20)
        .start()
        .unwrap();
    let mut raw = open(server.local_addr().port().unwrap());
    let rest = raw.rest();
    assert_eq!(rest.len(), (3 << 20) + 3);
    assert!(rest.ends_with(b"end"));
    // A question about it has no stream.
    let mut raw = Raw::connect(server.local_addr().port().unwrap());
    raw.send(b"HEAD /events HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = String::from_utf8(raw.rest()).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"),
        "{head}"
    );
    assert!(server.shutdown(PATIENCE));
}

#[test]
fn who_goes_is_gone_and_what_it_says_does_not_count() {
    let hub = hub(());
    let (server, port) = server(&hub, |server| server);
    let mut raw = open(port);
    wait_registered(&hub, 1);
    raw.send(&[0x81; 100_000]);
    hub.broadcast("data: x\n\n");
    assert_eq!(raw.until("\n\n"), "data: x\n\n");
    drop(raw);
    wait_registered(&hub, 0);
    wait_until("no stream", PATIENCE, || {
        (server.metrics().clients == 0).then_some(())
    });
    assert!(server.shutdown(PATIENCE));
}

#[test]
fn a_slow_reader_is_cut_while_the_others_go_on() {
    let hub = hub(());
    let (server, port) = server(&hub, |server| server.backlog(64 * 1024));
    let mut slow = open(port);
    let mut quick = open(port);
    wait_registered(&hub, 2);
    let large = format!("data: {}\n\n", "a".repeat(60_000));
    for n in 0..400 {
        hub.broadcast(large.clone());
        hub.broadcast(format!("data: {n}\n\n"));
        assert_eq!(quick.until("\n\n").len(), large.len());
        assert_eq!(quick.until("\n\n"), format!("data: {n}\n\n"));
    }
    wait_until("the slow one is cut", PATIENCE, || {
        (server.metrics().slow_closed == 1).then_some(())
    });
    let mut got = Vec::new();
    let _ = slow.stream.read_to_end(&mut got);
    assert!(got.len() < 400 * large.len(), "not all");
    assert!(server.shutdown(PATIENCE));
}

#[test]
fn a_comment_keeps_it_alive_and_the_hub_can_end_it() {
    let hub = hub(());
    let often = Some(Duration::from_millis(50));
    let (server, port) = server(&hub, |server| {
        server.ping_interval(often).ping_timeout(often)
    });
    let mut raw = open(port);
    // More of them than the ping timeout would allow, as nobody answers.
    for _ in 0..5 {
        assert_eq!(raw.until("\n\n"), ": ping\n\n");
    }
    hub.update(|_, clients| {
        let ids: Vec<u64> = clients.ids().collect();
        ids.into_iter()
            .for_each(|id| clients.close(id, plainws::CloseCode(4000), ""));
    });
    raw.rest();
    wait_registered(&hub, 0);
    assert!(server.shutdown(PATIENCE));
}
