//! Where a client comes from, as its headers say through a trusted peer, and the limit of each
//! address: counted, told, and given back whatever happens.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plainws::{Client, Connection, Error, Server};
use tempfile::TempDir;

use crate::support::logs;
use crate::support::process::plainws;
use crate::support::raw::{Answer, Raw, close, exchange, get, serve, upgrade_request};
use crate::support::tools::{PATIENCE, wait_until};

/// The daemon, for which this host is a proxy.
const TRUST: [&str; 3] = ["-v", "--trusted-proxy", "127.0.0.1"];

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
    let _two = [
        open(port, "203.0.113.9"),
        open(port, "6.6.6.6, 203.0.113.9"),
    ];
    let (_, answer) = ask(port, "203.0.113.9");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("Retry-After"), Some("5"));
    assert_eq!(crate::http::blemish(&answer, false), None);
    let said = "too many connections from your address, which may have 2 at once";
    assert!(answer.body.contains(said), "{answer:?}");
    let line = daemon.wait_line("handshake refused with 503: ");
    assert!(
        line.contains(" 203.0.113.9 via 127.0.0.1:") && line.contains(said),
        "{line}"
    );
    let _other = open(port, "203.0.113.10");
    // Pages and health checks need no place.
    let header = "X-Forwarded-For: 203.0.113.9\r\n";
    for path in ["/counter", "/healthz"] {
        assert_eq!(exchange(port, get(path, header)).status, 200, "{path}");
    }
    // What is no address counts as the proxy's own, and all of these as one.
    let _proxy = [open(port, "unknown"), open(port, "203.0.113.9:99")];
    assert_eq!(ask(port, "[2001:db8::9]").1.status, 503);
}

#[test]
fn ipv6_addresses_count_by_their_first_64_bits_and_ipv4_ones_whole() {
    let more = [&TRUST[..], &["--max-per-address", "1"]].concat();
    let (_daemon, port) = serve("counter", &more);
    let _one = open(port, "2001:db8:1:2::1");
    for same in [
        "2001:db8:1:2::1",
        "2001:db8:1:2::2",
        "2001:db8:1:2:ffff:ffff:ffff:ffff",
    ] {
        assert_eq!(ask(port, same).1.status, 503, "{same}");
    }
    let _others = [
        "2001:db8:1:3::1",
        "2001:db8::1",
        "203.0.113.1",
        "203.0.113.2",
    ]
    .map(|other| open(port, other));
    // The same one, as a program with sockets for both families writes it.
    assert_eq!(ask(port, "::ffff:203.0.113.1").1.status, 503);
}

#[test]
fn a_place_is_given_back_however_its_client_leaves() {
    let more = [
        &TRUST[..],
        &["--max-per-address", "1", "--close-timeout", "200ms"],
    ]
    .concat();
    let (_daemon, port) = serve("counter", &more);
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
    for round in 0..3 {
        for (way, leave) in ways {
            leave(open_soon(port, "203.0.113.9"));
            let next = open_soon(port, "203.0.113.9");
            // Neither was the place given back twice.
            let status = ask(port, "203.0.113.9").1.status;
            assert_eq!(status, 503, "{way}, round {round}");
            next.reset();
        }
    }
    // Who is refused, before or at the place, takes none.
    let last = open_soon(port, "203.0.113.9");
    for _ in 0..5 {
        assert_eq!(ask(port, "203.0.113.9").1.status, 503);
        let header = "X-Forwarded-For: 203.0.113.10\r\nOrigin: https://evil.example\r\n";
        assert_eq!(exchange(port, upgrade_request("/", header)).status, 403);
    }
    drop(last);
    let _fine = [open_soon(port, "203.0.113.9"), open(port, "203.0.113.10")];
}

#[test]
fn a_place_is_given_back_when_the_handler_fails_or_panics() {
    logs::keep();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let server = Server::builder(move |ws| {
        ws.send("in")?;
        match count.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => panic!("a handler that panics"),
            1 => Err("a handler that fails".into()),
            _ => Ok(()),
        }
    })
    .max_per_address(1)
    .listen("127.0.0.1:0")
    .start()
    .unwrap();
    let url = format!("ws://{}", server.local_addr());
    for round in 0..9 {
        let ws =
            wait_until(
                &format!("a place in round {round}"),
                PATIENCE,
                || match plainws::connect(&url) {
                    Ok(ws) => Some(ws),
                    Err(Error::Refused(refused)) if refused.status == 503 => None,
                    Err(error) => panic!("{error}"),
                },
            );
        assert_eq!(text(&ws), "in");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 9);
    wait_until("an empty server", PATIENCE, || {
        (server.connections() == 0).then_some(())
    });
}

#[track_caller]
fn text(ws: &Connection) -> String {
    let message = ws.recv_timeout(PATIENCE).unwrap();
    message.expect("a message in time").to_string()
}

#[test]
fn many_at_once_of_one_address_get_no_more_places_than_there_are() {
    let more = [&TRUST[..], &["--max-per-address", "5"]].concat();
    let (_daemon, port) = serve("counter", &more);
    let asking: Vec<_> = (0..40)
        .map(|_| std::thread::spawn(move || ask(port, "203.0.113.9")))
        .collect();
    // Held until all have been answered.
    let asked: Vec<_> = asking.into_iter().map(|t| t.join().unwrap()).collect();
    let opened = asked.iter().filter(|(_, answer)| answer.status == 101);
    assert_eq!(opened.count(), 5);
    assert!(
        asked
            .iter()
            .all(|(_, answer)| [101, 503].contains(&answer.status))
    );
}

#[test]
fn a_handler_and_a_route_know_where_a_client_comes_from() {
    let handler = |ws: &Connection| {
        let peer = ws.peer_addr().to_string();
        let caller = ws.caller().to_string().replace(&peer, "PEER");
        ws.send(format!("{:?} {caller}", ws.client_ip()))
    };
    let server = Server::builder(handler)
        .route(|request| {
            let ip = request.client_ip().map(|ip| ip.to_string());
            let text = ip.unwrap_or_else(|| "nobody".to_owned());
            (request.path() == "/ip").then(|| plainws::Response::text(200, text).into())
        })
        .trusted_proxies(["127.0.0.0/8", "::1"].map(|text| text.parse().unwrap()))
        .listen("127.0.0.1:0")
        .start()
        .unwrap();
    let url = format!("ws://{}", server.local_addr());
    let ws = plainws::connect(&url).unwrap();
    assert_eq!(text(&ws), "Some(127.0.0.1) PEER");
    assert_eq!(ws.client_ip(), ws.local_addr().ip(), "a client's own");
    let through = Client::builder().header("X-Real-IP", "2001:db8::9");
    let ws = through.connect(&url).unwrap();
    assert_eq!(text(&ws), "Some(2001:db8::9) 2001:db8::9 via PEER");
    let port = server.local_addr().port().unwrap();
    let page = exchange(port, get("/ip", "X-Forwarded-For: 203.0.113.9\r\n"));
    assert_eq!(page.body.trim(), "203.0.113.9");
}

#[test]
fn a_peer_of_a_unix_socket_has_no_address_unless_one_is_forwarded() {
    let folder = TempDir::with_prefix("plainws-addresses-").unwrap();
    let path = folder.path().join("socket");
    let server = Server::builder(|ws| {
        ws.send(format!("{:?}", ws.client_ip()))?;
        ws.recv().map(drop)
    })
    .trusted_proxies(["unix:".parse().unwrap()])
    .max_per_address(1)
    .listen(format!("unix:{}", path.display()))
    .start()
    .unwrap();
    let connect = |client: &str| {
        let stream = UnixStream::connect(&path).unwrap();
        let builder = match client {
            "" => Client::builder(),
            _ => Client::builder().header("X-Forwarded-For", client),
        };
        builder.connect_over("ws://localhost/", stream)
    };
    let free = [(); 3].map(|()| connect("").unwrap());
    assert!(free.iter().all(|ws| text(ws) == "None"));
    let one = connect("203.0.113.9").unwrap();
    assert_eq!(text(&one), "Some(203.0.113.9)");
    let refused = connect("203.0.113.9")
        .expect_err("one is the limit")
        .to_string();
    assert!(
        refused.contains("HTTP 503: too many connections from your address"),
        "{refused}"
    );
    drop(server);
}

#[test]
fn networks_and_limits_that_cannot_be_meant_are_refused_with_the_way_out() {
    for (option, value, sentence) in [
        (
            "--trusted-proxy",
            "localhost",
            "write an IP address such as 127.0.0.1",
        ),
        (
            "--trusted-proxy",
            "10.0.0.1/8",
            "write 10.0.0.0/8 for all of it, or 10.0.0.1",
        ),
        (
            "--trusted-proxy",
            "10.0.0.0/33",
            "a number of bits, 32 at most",
        ),
        ("--trusted-proxy", "127.0.0.1,nginx", "nginx is no network"),
        ("--max-per-address", "0", "write a number above 0, or off"),
        (
            "--max-per-address",
            "many",
            "write a number above 0, or off",
        ),
    ] {
        let mut daemon = plainws(&["serve", option, value]);
        assert_eq!(
            daemon.wait_exit(PATIENCE).code(),
            Some(2),
            "{option} {value}"
        );
        let lines = daemon.lines().join("\n");
        assert!(lines.contains(sentence), "{option} {value}: {lines}");
    }
}

#[test]
fn heads_with_forwarded_addresses_of_all_kinds_are_answered() {
    let (daemon, port) = serve("counter", &TRUST);
    let long = "6".repeat(8000);
    let many = vec!["6.6.6.6"; 500].join(", ");
    let ended = format!("{many}, 203.0.113.10");
    for (value, caller) in [
        ("203.0.113.9", "203.0.113.9 via 127.0.0.1"),
        (&*ended, "203.0.113.10 via 127.0.0.1"),
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
    // A second line that the client smuggles in stands left of the proxy's.
    let smuggled = "6.6.6.6\r\nX-Forwarded-For: 203.0.113.11";
    let _raw = open(port, smuggled);
    daemon.wait_line(" 203.0.113.11 via 127.0.0.1:");
}
