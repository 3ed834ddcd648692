//! Whom a head is believed to come from: a table, and heads made by chance.

use std::net::SocketAddr;

use super::*;
use crate::http::head;

fn network(text: &str) -> Network {
    text.parse().expect("a network")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn peer(text: &str) -> Address {
    match text {
        "unix:" => Address::Unix(None),
        _ => Address::Tcp(SocketAddr::new(ip(text), 4711)),
    }
}

fn request(lines: &str) -> Request {
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    head::parse(head.as_bytes()).expect("a request")
}

/// Loopback, a private network, a network of IPv6, and Unix sockets.
fn trusted() -> [Network; 4] {
    ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48", "unix:"].map(network)
}

#[test]
fn the_right_most_address_that_is_not_trusted_is_the_client() {
    let xff = |value: &str| format!("X-Forwarded-For: {value}\r\n");
    let real = |value: &str| format!("X-Real-IP: {value}\r\n");
    let many = vec!["10.0.0.9"; 500].join(",");
    let (own, known) = ("127.0.0.1", "203.0.113.9");
    let rows: Vec<(&str, String, &str)> = vec![
        ("nothing", String::new(), own),
        ("one", xff("203.0.113.9"), known),
        (
            "what the client sent stands left",
            xff("6.6.6.6, 203.0.113.9"),
            known,
        ),
        ("two proxies", xff("6.6.6.6, 203.0.113.9, 10.0.0.7"), known),
        ("500 proxies", xff(&format!("203.0.113.9, {many}")), known),
        ("no spaces", xff("6.6.6.6,203.0.113.9,10.0.0.7"), known),
        ("tabs", xff("6.6.6.6,\t203.0.113.9\t,10.0.0.7"), known),
        ("two lines", xff("6.6.6.6") + &xff("203.0.113.9"), known),
        (
            "lines of a proxy each",
            xff("203.0.113.9") + &xff("10.0.0.7"),
            known,
        ),
        (
            "another case",
            "x-forwarded-FOR: 203.0.113.9\r\n".to_owned(),
            known,
        ),
        ("empty elements", xff(", 203.0.113.9, ,"), known),
        ("an empty line", xff(""), own),
        ("IPv6", xff("2001:db8:9::9"), "2001:db8:9::9"),
        ("IPv6 of a proxy", xff("203.0.113.9, 2001:db8:1::7"), known),
        ("IPv4 written as IPv6", xff("::ffff:203.0.113.9"), known),
        (
            "a proxy written as IPv6",
            xff("203.0.113.9, ::ffff:10.0.0.7"),
            known,
        ),
        ("unknown", xff("unknown"), own),
        (
            "unknown between",
            xff("203.0.113.9, unknown, 10.0.0.7"),
            own,
        ),
        ("a port", xff("203.0.113.9:99"), own),
        ("brackets", xff("[2001:db8:9::9]"), own),
        ("brackets and a port", xff("[2001:db8:9::9]:99"), own),
        ("a name", xff("client.example"), own),
        ("a number", xff("3405803785"), own),
        ("octal", xff("0313.0.0161.011"), own),
        ("quotes", xff("\"203.0.113.9\""), own),
        ("a network", xff("203.0.113.0/24"), own),
        ("spaces within", xff("203.0.113.9 10.0.0.7"), own),
        ("not UTF-8 is no address", xff("203.0.113.9é"), own),
        ("8 KiB", xff(&"6".repeat(8000)), own),
        // Nobody but proxies: the other header may say more.
        ("all trusted", xff("10.0.0.8, 10.0.0.7"), own),
        (
            "all trusted, the other",
            xff("10.0.0.7") + &real("203.0.113.9"),
            known,
        ),
        ("the other alone", real("203.0.113.9"), known),
        ("the other, IPv6", real("2001:db8:9::9"), "2001:db8:9::9"),
        ("the other, trusted", real("10.0.0.7"), "10.0.0.7"),
        ("the other twice", real("203.0.113.9").repeat(2), own),
        ("the other, a list", real("203.0.113.9, 10.0.0.7"), own),
        ("the other, garbage", real("unix:"), own),
        // Garbage ends the search; what else is sent may be the client's.
        (
            "garbage and the other",
            xff("unknown") + &real("6.6.6.6"),
            own,
        ),
        ("both", xff("203.0.113.9") + &real("6.6.6.6"), known),
        (
            "Forwarded is not read",
            "Forwarded: for=6.6.6.6\r\n".to_owned(),
            own,
        ),
    ];
    for (name, lines, expected) in rows {
        let request = request(&lines);
        let told = client_ip(&trusted(), &peer("127.0.0.1"), &request);
        assert_eq!(told, Some(ip(expected)), "{name}");
        // From a peer that is not trusted nothing of this counts.
        let told = client_ip(&trusted(), &peer("198.51.100.1"), &request);
        assert_eq!(told, Some(ip("198.51.100.1")), "{name}, not trusted");
        let told = client_ip(&[], &peer("127.0.0.1"), &request);
        assert_eq!(told, Some(ip(own)), "{name}, nobody trusted");
        let expected = (expected != own).then(|| ip(expected));
        let told = client_ip(&trusted(), &peer("unix:"), &request);
        assert_eq!(told, expected, "{name}, Unix");
        assert_eq!(client_ip(&[], &peer("unix:"), &request), None, "{name}");
    }
}

/// Numbers by chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % limit
    }

    /// A list such as a client could send to be taken for somebody else.
    fn junk(&mut self) -> String {
        const PIECES: [&str; 23] = [
            "6.6.6.6",
            "10.0.0.7",
            "127.0.0.1",
            "::1",
            "2001:db8:1::7",
            "2001:db8:9::9",
            "unknown",
            ",",
            ", ",
            " ",
            "\t",
            ":",
            ":80",
            "[",
            "]",
            "\"",
            ";",
            "for=",
            "_hidden",
            "é",
            "999.9.9.9",
            "0x7f.1",
            "/8",
        ];
        let pieces = self.below(12);
        (0..pieces)
            .map(|_| PIECES[self.below(PIECES.len())])
            .collect()
    }
}

#[test]
fn whatever_a_client_sends_its_own_address_is_what_counts() {
    let mut chance = Chance(2026);
    for round in 0..20_000 {
        let junk = chance.junk();
        let other = chance.junk();
        // The proxy appends, on the same line or on another one, and proxies behind it do, too.
        let join = [", ", ",", "\r\nX-Forwarded-For: "][chance.below(3)];
        let behind = ["", ", 10.0.0.7", ",127.0.0.1 , 2001:db8:1::7"][chance.below(3)];
        let lines =
            format!("X-Real-IP: {other}\r\nX-Forwarded-For: {junk}{join}203.0.113.9{behind}\r\n");
        let request = request(&lines);
        let told = client_ip(&trusted(), &peer("127.0.0.1"), &request);
        assert_eq!(told, Some(ip("203.0.113.9")), "round {round}: {lines:?}");
        let told = client_ip(&trusted(), &peer("203.0.113.9"), &request);
        assert_eq!(told, Some(ip("203.0.113.9")), "round {round}: {lines:?}");
    }
}

#[test]
fn a_head_of_garbage_gives_the_peer_or_an_address_that_stands_in_it() {
    let mut chance = Chance(7);
    for round in 0..20_000 {
        let lines = format!(
            "X-Forwarded-For: {}\r\nX-Real-IP: {}\r\n",
            chance.junk(),
            chance.junk()
        );
        let told =
            client_ip(&trusted(), &peer("127.0.0.1"), &request(&lines)).expect("a peer has one");
        let entries = lines.split([',', '\n']).map(|entry| {
            let entry = entry.trim_start_matches("X-Forwarded-For: ");
            entry.trim_start_matches("X-Real-IP: ").trim()
        });
        let known = entries
            .filter_map(parse)
            .chain([ip("127.0.0.1")])
            .any(|ip| ip == told);
        assert!(known, "round {round}: {told} of {lines:?}");
    }
}

#[test]
fn limits_count_ipv6_by_its_first_64_bits() {
    assert_eq!(household(ip("203.0.113.9")), ip("203.0.113.9"));
    assert_eq!(household(ip("2001:db8:9:1:2:3:4:5")), ip("2001:db8:9:1::"));
}
