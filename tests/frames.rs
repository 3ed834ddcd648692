//! Raw frames against a server: its limits, and what is answered to who breaks the rules. That it keeps to
//! RFC 6455 in all else is Autobahn's to check (`tests/autobahn`).

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use plainws::Server;

use crate::support::counter::PLUS;
use crate::support::raw::{
    self, Raw, close, header, header_as, join, masked, next_state, serve, text,
};
use crate::support::servers::{echo, port, start, start_with};
use crate::support::tools::{PATIENCE, until};

/// The default limit of a message.
const LIMIT: usize = 64 * 1024;
/// What the headers of its fragments may take on top.
const FRAGMENTS: usize = 16 * 1024;

// First bytes of frames.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// A text's first fragment, one in the middle, and the last.
const START: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const END: u8 = 0x80;

/// A peer's frame that was not masked.
fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [&[first, 126], &length[..], payload].concat()
}

/// Each of these, on a connection of its own, is closed with the code; tells all that are wrong.
#[track_caller]
fn closed_with(port: u16, code: u16, rows: impl IntoIterator<Item = Vec<u8>>) {
    let mut wrong = String::new();
    for bytes in rows {
        let mut raw = Raw::upgrade(port, "/");
        // What stands behind it is not looked at any more.
        raw.send(&[&*bytes, &text("behind it")].concat());
        let frame = raw.frame();
        let closed = frame.as_ref().filter(|frame| frame.opcode == 8);
        let closed = closed.map(|frame| (frame.close().0, frame.close().1.is_empty()));
        let more = raw.frame();
        if closed != Some((code, false)) || more.is_some() {
            let row = &bytes[..bytes.len().min(20)];
            wrong += &format!("\n  {row:02x?}: {frame:?}, then {more:?}");
        }
    }
    assert!(wrong.is_empty(), "not closed with {code}:{wrong}");
}

#[test]
fn who_breaks_the_rules_is_closed_with_a_code_and_a_reason() {
    let server = start(echo);
    let port = port(&server);
    let begun = |rest: Vec<u8>| [masked(START, b"a"), rest].concat();
    // One of a kind: Autobahn has all of them, but those without a mask and what is in the IANA
    // registry and not in tungstenite (1014).
    let protocol = [
        unmasked(TEXT, b"hello"),
        unmasked(TEXT, &[b'x'; 60_000]),
        unmasked(PING, b""),
        begun(masked(END | 0x70, b"a")),
        masked(0x83, b"a"),
        // Refused by its header, whatever length stands there.
        header(0x8b, u64::MAX),
        masked(0x09, b""),
        masked(PING, &[b'a'; 126]),
        masked(END, b"the end of nothing"),
        begun(text("inside a message")),
        masked(CLOSE, b"\x03"),
        close(999, "bye"),
        close(1014, "bye"),
    ];
    closed_with(port, 1002, protocol);
    let no_text = [
        masked(TEXT, b"cut \xc3"),
        [masked(START, b"\xf4\x90"), masked(END, b"\x80\x80")].concat(),
        masked(CLOSE, b"\x03\xe8\xff"),
    ];
    closed_with(port, 1007, no_text);
    let (half, whole) = (vec![b'a'; 40_000], vec![b'a'; LIMIT + 1]);
    let large = [
        masked(TEXT, &whole),
        masked(BINARY, &whole),
        [masked(START, &half), masked(END, &half)].concat(),
        [masked(START, &whole[1..]), masked(END, b"a")].concat(),
    ];
    closed_with(port, 1009, large);
    // Refused by the header: the payload never comes.
    for len in [LIMIT as u64 + 1, (1 << 32) + 4, (1 << 63) - 1, 1 << 63, !0] {
        closed_with(port, 1009, [header(TEXT, len), begun(header(END, len))]);
    }
}

#[test]
fn messages_up_to_the_limit_come_back_however_they_are_cut() {
    let server = start(echo);
    let mut raw = Raw::upgrade(port(&server), "/");
    for len in [0, 1, 125, 126, 127, 65_535, LIMIT] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        raw.send(&masked(BINARY, &payload));
        let frame = raw.message();
        assert!(frame.fin && frame.opcode == 2, "{frame:?}");
        assert!(frame.payload == payload, "{len} bytes come back as sent");
        // In fragments that end amid a letter, with a ping in between.
        let letters = "é".repeat(len / 2);
        if len > 1 {
            let (first, last) = letters.as_bytes().split_at((letters.len() / 3) | 1);
            let ping = masked(PING, b"inside");
            raw.send(&[masked(START, first), ping, masked(END, last)].concat());
            assert_eq!(raw.frame().expect("a pong").payload, b"inside");
            assert!(raw.message().text() == letters, "{len} bytes in fragments");
        }
    }
    // In pieces, so that headers are cut, too.
    let payload: Vec<u8> = (0..LIMIT).map(|i| b'a' + (i % 26) as u8).collect();
    let bytes = masked(TEXT, &payload);
    for step in [7, 37, 4096] {
        let (slow, fast) = bytes.split_at(bytes.len() / 20);
        for piece in slow.chunks(step).chain(fast.chunks(step * 100)) {
            raw.send(piece);
        }
        assert!(raw.message().payload == payload, "in steps of {step}");
    }
    // RFC 6455, section 5.2, forbids lengths written too long to the sender. tungstenite takes them.
    for (message, extended) in [("hello", 2), ("hello", 8), ("", 2), ("", 8)] {
        let plain = text(message);
        let head = header_as(TEXT, message.len() as u64, extended);
        raw.send(&[&head, &plain[plain.len() - message.len()..]].concat());
        assert_eq!(raw.message().text(), message);
    }
    // Tiny fragments are fine while their headers stay within what is allowed for them.
    let count = (LIMIT + FRAGMENTS) / 7 - 100;
    raw.send(&masked(START, b"x"));
    raw.send(&[masked(MIDDLE, b"x").repeat(count), masked(END, b"x")].concat());
    assert_eq!(raw.message().payload.len(), count + 2);
}

#[test]
fn the_first_close_frame_counts_and_nothing_behind_it() {
    let server = start(echo);
    let long = "é".repeat(61);
    for (code, reason) in [(1000, ""), (1013, "bye"), (3000, "bye"), (4999, &long)] {
        let mut raw = Raw::upgrade(port(&server), "/");
        let (begun, close_first) = (masked(START, b"unfinished"), close(code, reason));
        raw.send(&[text("before"), begun, close_first].concat());
        raw.send(&[masked(PING, b"behind"), close(4001, "second").repeat(100)].concat());
        assert_eq!(raw.message().text(), "before");
        let answer = raw.frame().expect("an answer");
        assert_eq!(answer.close(), (code, reason.into()));
        assert_eq!(raw.frame(), None, "{code}: the server closes");
    }
    let mut raw = Raw::upgrade(port(&server), "/");
    raw.send(&masked(CLOSE, b""));
    assert_eq!(raw.frame().expect("an answer").payload, b"", "no code");
    assert_eq!(raw.frame(), None);
}

#[test]
fn messages_and_pings_in_flight_are_answered_in_order() {
    const COUNT: usize = 3000;
    // Pings of its own come on a machine that is slow.
    let server = start_with(Server::builder(echo).ping_interval(None));
    let payload = |i: usize| {
        let mut bytes = i.to_be_bytes().to_vec();
        bytes.resize(8 + i * 7919 % 3000, i as u8);
        bytes
    };
    let mut raw = Raw::upgrade(port(&server), "/");
    let mut writer = Raw::new(raw.stream.try_clone().expect("a second handle"));
    thread::scope(|scope| {
        scope.spawn(move || {
            for i in 0..COUNT {
                let ping = masked(PING, &i.to_be_bytes());
                writer.send(&[masked(BINARY, &payload(i)), ping].concat());
            }
        });
        // Of messages and of pongs, which may overtake each other.
        let mut next = [0; 2];
        while next != [COUNT; 2] {
            let frame = raw.frame().expect("a frame");
            let pong = frame.opcode == 10;
            let next = &mut next[usize::from(pong)];
            let expected = if pong {
                next.to_be_bytes().into()
            } else {
                payload(*next)
            };
            assert!(frame.payload == expected, "{next}, a pong: {pong}");
            *next += 1;
        }
    });
}

/// Below the limit of a message, but not with their headers; and those that would never end.
#[test]
fn a_flood_of_fragments_is_ended_with_1008_and_disturbs_nobody() {
    let (tell, told) = mpsc::channel();
    let server = start(move |ws| {
        let ended = echo(ws);
        let _ = tell.send(ws.closed());
        ended
    });
    let port = port(&server);
    let with_pings = [masked(MIDDLE, b"").repeat(10_000), masked(PING, b"")].concat();
    let floods = [
        (masked(MIDDLE, b"x"), 15_000),
        (masked(MIDDLE, b"xx"), 15_000),
        (masked(MIDDLE, b"").repeat(10_000), 1000),
        (with_pings, 1000),
    ];
    let mut other = Raw::upgrade(port, "/");
    for (fragments, times) in floods {
        let before = server.metrics().bytes_in;
        let mut flooder = Raw::upgrade(port, "/");
        flooder.send(&masked(START, b"x"));
        let others = thread::scope(|scope| {
            let flood = scope.spawn(|| {
                // A reset may take the close frame from who never stops to send.
                (0..times).any(|_| flooder.stream.write_all(&fragments).is_err())
            });
            let mut bytes = 0;
            while bytes < 20 * text("x").len() || !flood.is_finished() {
                let sent = Instant::now();
                other.send(&text("x"));
                bytes += text("x").len();
                assert_eq!(other.message().text(), "x");
                let took = sent.elapsed();
                assert!(took < Duration::from_secs(5), "the other waited {took:?}");
            }
            bytes as u64
        });
        let closed = told.recv_timeout(PATIENCE).expect("its end");
        let closed = closed.expect("closed").to_string();
        let why = closed.contains("sent 1008") && closed.contains("fragments");
        assert!(why, "{closed}");
        // What is allowed, what one look may read on top, and what is thrown away at the end.
        let most = LIMIT + FRAGMENTS + 64 * 1024 + 64 * 1024 + 64 * 1024;
        let read = server.metrics().bytes_in - before - others;
        assert!(read <= most as u64, "{read} bytes above {most}");
    }
}

#[test]
fn what_is_announced_or_unasked_costs_no_memory() {
    let (daemon, port) = serve("counter", &["--max-size", "16MiB"]);
    let (mut flooder, _) = join(port);
    let mut clients: Vec<_> = (0..200).map(|_| Raw::upgrade(port, "/")).collect();
    for raw in &mut clients {
        raw.send(&masked(PING, b"awake"));
        while raw.frame().expect("a pong").opcode != 10 {}
    }
    let before = daemon.resident();
    for raw in &mut clients {
        raw.send(&header(TEXT, 16 << 20));
        raw.send(b"some of it");
    }
    until("the daemon to read all headers", || raw::unread(port) == 0);
    let pongs = masked(PONG, &[b'x'; 125]).repeat(500);
    (0..300).for_each(|_| flooder.send(&pongs));
    flooder.send(&text(PLUS));
    assert_eq!(next_state(&mut flooder), 1, "pongs break no rule");
    let grown = daemon.resident() - before;
    assert!(grown < 8 * 1024, "resident memory grew by {grown} KiB");
    clients[0].send(&header(TEXT, (16 << 20) + 1));
    let mut one = Raw::upgrade(port, "/");
    one.send(&header(TEXT, (16 << 20) + 1));
    assert_eq!(one.close_frame().0, 1009);
}
