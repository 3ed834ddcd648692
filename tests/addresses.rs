//! Where a client comes from, as its headers say through a trusted peer, and the limit of each
//! address: counted, told, and given back whatever happens.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use plainws::{Client, Connection, Response, Server};
use tempfile::TempDir;

use crate::support::process::{end_of, plainws_command};
use crate::support::raw::{Answer, Raw, close, exchange, get, serve, upgrade_request};
use crate::support::servers::{echo, port, start_with, url};
use crate::support::talk::text;
use crate::support::tools::{PATIENCE, wait_until};

/// The daemon, for which this host is a proxy.
const TRUST: [&str; 3] = ["-v", "--trusted-proxy", "127.0.0.1"];

/// A server of ours for which this host is a proxy, and that takes so many of one address.
#[track_caller]
fn limited(most: usize) -> (Server, u16) {
    let server = Server::builder(echo).max_per_address(most);
    let server = server.close_timeout(std::time::Duration::from_millis(200));
    let server = start_with(server.trusted_proxies(["127.0.0.1".parse().unwrap()]));
    let port = port(&server);
    (server, port)
}

/// Sends an opening request as a proxy does for this client.
fn ask(port: u16, client: &str) -> (Raw, Answer) {
    let mut raw = Raw::connect(port);
    let header = format!("X-Forwarded-For: {client}\r\n");
    raw.send(upgrade_request("/", &header).as_bytes());
    let answer = raw.answer();
    (raw, answer)
}

#[track_caller]
fn open(port: u16, client: &str) -> Raw {
    let (raw, answer) = ask(port, client);
    assert_eq!(answer.status, 101, "{client}: {answer:?}");
    raw
}

#[track_caller]
fn is_refused(port: u16, client: &str) {
    assert_eq!(ask(port, client).1.status, 503, "{client}");
}

/// Asks until there is a place: the one of a client that has gone is free a moment later.
#[track_caller]
fn open_soon(port: u16, client: &str) -> Raw {
    wait_until(&format!("a place for {client}"), PATIENCE, || {
        let (raw, answer) = ask(port, client);
        (answer.status == 101).then_some(raw)
    })
}

#[test]
fn more_connections_of_one_address_than_the_limit_get_503_with_the_limit_in_words() {
    let more = [&TRUST[..], &["--max-per-address", "2"]].concat();
    let (daemon, port) = serve("counter", &more);
    let _two = ["203.0.113.9", "6.6.6.6, 203.0.113.9"].map(|client| open(port, client));
    let (_, answer) = ask(port, "203.0.113.9");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("Retry-After"), Some("5"));
    assert_eq!(crate::http::blemish(&answer, false), None);
    let said = "too many connections from your address, which may have 2 at once";
    assert!(answer.body.contains(said), "{answer:?}");
    let line = daemon.wait_line("handshake refused with 503: ");
    let told = line.contains(" 203.0.113.9 via 127.0.0.1:") && line.contains(said);
    assert!(told, "{line}");
    let _other = open(port, "203.0.113.10");
    // Pages and health checks need no place.
    for path in ["/counter", "/healthz"] {
        let request = get(path, "X-Forwarded-For: 203.0.113.9\r\n");
        assert_eq!(exchange(port, request).status, 200, "{path}");
    }
    // What is no address counts as the proxy's own, and all of these as one.
    let _proxy = ["unknown", "203.0.113.9:99"].map(|client| open(port, client));
    is_refused(port, "[2001:db8::9]");
    // IPv6 addresses count by their first 64 bits, and IPv4 ones whole, also as a program with sockets
    // for both families writes them.
    let (_server, port) = limited(1);
    let others = ["2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8::1"];
    let _others = others.map(|client| open(port, client));
    let _v4 = ["203.0.113.1", "203.0.113.2"].map(|client| open(port, client));
    for same in ["::1", "::2", ":ffff:ffff:ffff:ffff"] {
        is_refused(port, &format!("2001:db8:1:2{same}"));
    }
    is_refused(port, "::ffff:203.0.113.1");
}

#[test]
fn a_place_is_given_back_however_its_client_leaves() {
    let (_server, port) = limited(1);
    type Leave = fn(Raw);
    let ways: [(&str, Leave); 5] = [
        ("with a close frame", |mut raw| {
            raw.send(&close(1000, ""));
            raw.close_frame();
        }),
        ("by an end of the stream", |raw| {
            raw.stream.shutdown(Shutdown::Both).unwrap();
        }),
        ("by a reset", Raw::reset),
        ("with a frame that is none", |mut raw| raw.send(&[0xff; 64])),
        ("without reading its close frame", |mut raw| {
            raw.send(&[0x83, 0x80, 0, 0, 0, 0]);
        }),
    ];
    for (way, leave) in ways.repeat(3) {
        leave(open_soon(port, "203.0.113.9"));
        let next = open_soon(port, "203.0.113.9");
        // Neither was the place given back twice.
        assert_eq!(ask(port, "203.0.113.9").1.status, 503, "{way}");
        next.reset();
    }
    // Who is refused, before or at the place, takes none.
    let last = open_soon(port, "203.0.113.9");
    for _ in 0..5 {
        is_refused(port, "203.0.113.9");
        let header = "X-Forwarded-For: 203.0.113.10\r\nOrigin: https://evil.example\r\n";
        assert_eq!(exchange(port, upgrade_request("/", header)).status, 403);
    }
    drop(last);
    let _fine = [open_soon(port, "203.0.113.9"), open(port, "203.0.113.10")];
}

#[test]
fn many_at_once_of_one_address_get_no_more_places_than_there_are() {
    let (_server, port) = limited(5);
    let asking = [(); 40].map(|()| std::thread::spawn(move || ask(port, "203.0.113.9")));
    // Held until all have been answered.
    let asked = asking.map(|thread| thread.join().unwrap());
    let got = |status| asked.iter().filter(|(_, a)| a.status == status).count();
    assert_eq!((got(101), got(503)), (5, 35));
}

#[test]
fn a_handler_and_a_route_know_where_a_client_comes_from() {
    let handler = |ws: &Connection| {
        let peer = ws.peer_addr().to_string();
        let caller = ws.caller().to_string().replace(&peer, "PEER");
        ws.send(format!("{:?} {caller}", ws.client_ip()))
    };
    let server = Server::builder(handler).route(|request| {
        let ip = request.client_ip().map(|ip| ip.to_string());
        let page = Response::text(200, ip.unwrap_or_else(|| "nobody".to_owned()));
        (request.path() == "/ip").then(|| page.into())
    });
    let trusted = ["127.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
    let server = start_with(server.trusted_proxies(trusted));
    let ws = plainws::connect(&url(&server)).unwrap();
    assert_eq!(text(&ws), "Some(127.0.0.1) PEER");
    assert_eq!(ws.client_ip(), ws.local_addr().ip(), "a client's own");
    let through = Client::builder().header("X-Real-IP", "2001:db8::9");
    let ws = through.connect(&url(&server)).unwrap();
    assert_eq!(text(&ws), "Some(2001:db8::9) 2001:db8::9 via PEER");
    let request = get("/ip", "X-Forwarded-For: 203.0.113.9\r\n");
    assert_eq!(exchange(port(&server), request).body.trim(), "203.0.113.9");
}

#[test]
fn a_peer_of_a_unix_socket_has_no_address_unless_one_is_forwarded() {
    let folder = TempDir::with_prefix("plainws-addresses-").unwrap();
    let path = folder.path().join("socket");
    let server = Server::builder(|ws| {
        ws.send(format!("{:?}", ws.client_ip()))?;
        ws.recv().map(drop)
    });
    let server = server.trusted_proxies(["unix:".parse().unwrap()]);
    let address = format!("unix:{}", path.display());
    let server = server.max_per_address(1).listen(address);
    let _server = server.start().unwrap();
    let connect = |client: &[&str]| {
        let stream = UnixStream::connect(&path).unwrap();
        let header = |builder: plainws::ClientBuilder, client: &&str| {
            builder.header("X-Forwarded-For", *client)
        };
        let builder = client.iter().fold(Client::builder(), header);
        builder.connect_over("ws://localhost/", stream)
    };
    let free = [(); 3].map(|()| connect(&[]).unwrap());
    assert!(free.iter().all(|ws| text(ws) == "None"));
    let one = connect(&["203.0.113.9"]).unwrap();
    assert_eq!(text(&one), "Some(203.0.113.9)");
    let refused = connect(&["203.0.113.9"]).expect_err("one is the limit");
    let refused = refused.to_string();
    let said = "HTTP 503: too many connections from your address";
    assert!(refused.contains(said), "{refused}");
}

#[test]
fn networks_and_limits_that_cannot_be_meant_are_refused_with_the_way_out() {
    for row in [
        "trusted-proxy localhost write an IP address such as 127.0.0.1",
        "trusted-proxy 10.0.0.1/8 write 10.0.0.0/8 for all of it, or 10.0.0.1",
        "trusted-proxy 10.0.0.0/33 a number of bits, 32 at most",
        "trusted-proxy 127.0.0.1,nginx nginx is no network",
        "max-per-address 0 write a number above 0, or off",
        "max-per-address many write a number above 0, or off",
    ] {
        let words: Vec<&str> = row.splitn(3, ' ').collect();
        let option = format!("--{}", words[0]);
        let (code, lines) = end_of(plainws_command(&["serve", &option, words[1]]));
        let told = lines.join("\n").contains(words[2]);
        assert!(code == 2 && told, "{row}: {code}, {lines:#?}");
    }
}

#[test]
fn heads_with_forwarded_addresses_of_all_kinds_are_answered() {
    let (daemon, port) = serve("counter", &TRUST);
    let long = "6".repeat(8000);
    let ended = "6.6.6.6, ".repeat(500) + "203.0.113.10";
    // A second line that the client smuggles in stands left of the proxy's.
    let smuggled = "6.6.6.6\r\nX-Forwarded-For: 203.0.113.11";
    for (value, caller) in [
        ("203.0.113.9", "203.0.113.9 via 127.0.0.1"),
        (&*ended, "203.0.113.10 via 127.0.0.1"),
        (smuggled, "203.0.113.11 via 127.0.0.1"),
        (&*long, "127.0.0.1"),
    ] {
        let raw = open(port, value);
        let own = raw.stream.local_addr().unwrap().port();
        let line = daemon.wait_line(&format!(":{own} / opened"));
        let (_, shown) = line.split_once(" ws-conn-").unwrap();
        let (_, shown) = shown.split_once(' ').unwrap();
        assert_eq!(shown, format!("{caller}:{own} / opened"));
    }
    assert_eq!(ask(port, "\x1b[31m203.0.113.9").1.status, 400);
}

#[test]
fn a_place_of_an_address_is_free_again_while_others_of_it_stay() {
    let (_server, port) = limited(2);
    let client = "203.0.113.9";
    let _stays = open_soon(port, client);
    for _ in 0..3 {
        drop(open_soon(port, client));
    }
}
