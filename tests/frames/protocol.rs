//! The rules of RFC 6455 and what is answered to who breaks them.

use super::*;

/// What a peer sends, and the code that it is closed with.
#[derive(Default)]
struct Violations(Vec<(String, Vec<u8>, u16)>);

impl Violations {
    fn add(&mut self, code: u16, name: impl Into<String>, frames: &[Vec<u8>]) {
        self.0.push((name.into(), frames.concat(), code));
    }

    /// Each on a connection of its own; all that are wrong are told at once.
    #[track_caller]
    fn check(self, port: u16) {
        let mut wrong = String::new();
        for (name, bytes, code) in self.0 {
            let mut raw = Raw::upgrade(port, "/");
            raw.send(&bytes);
            // Is not looked at any more.
            raw.send(&text("behind it"));
            let frame = raw.frame();
            let fine = frame.as_ref().is_some_and(|frame| {
                frame.opcode == 8 && frame.close().0 == code && !frame.close().1.is_empty()
            });
            if !fine {
                wrong += &format!("\n  {name}: awaited {code} with a reason, got {frame:?}");
            } else if let Some(more) = raw.frame() {
                wrong += &format!("\n  {name}: {more:?} follows the close frame");
            }
        }
        assert!(wrong.is_empty(), "not closed as they should be:{wrong}");
    }
}

#[test]
fn violations_of_the_protocol_are_closed_with_1002() {
    let (_server, port) = echo();
    let mut table = Violations::default();
    let start = || masked(START, b"a");
    table.add(1002, "no mask", &[unmasked(TEXT, b"hello")]);
    table.add(1002, "no mask, long", &[unmasked(TEXT, &[b'x'; 60_000])]);
    table.add(1002, "a ping without mask", &[unmasked(PING, b"")]);
    for bits in [0x40, 0x20, 0x10, 0x70] {
        let name = format!("reserved bits {bits:x}");
        table.add(1002, &name, &[masked(TEXT | bits, b"a")]);
        table.add(
            1002,
            name.clone() + " of a ping",
            &[masked(PING | bits, b"")],
        );
        let last = [start(), masked(END | bits, b"a")];
        table.add(1002, name + " of a fragment", &last);
    }
    for opcode in (3..=7).chain(0xb..=0xf) {
        let name = format!("opcode {opcode:x}");
        let first = 0x80 | opcode;
        table.add(1002, &name, &[masked(first, b"a")]);
        table.add(1002, name.clone() + ", empty", &[masked(first, b"")]);
        // Refused by its header, whatever length stands there.
        table.add(1002, name.clone() + ", large", &[header(first, 1 << 16)]);
        table.add(1002, name + ", endless", &[header(first, u64::MAX)]);
    }
    for opcode in [8, 9, 10] {
        let name = format!("control frame {opcode:x}");
        table.add(1002, name.clone() + " in parts", &[masked(opcode, b"")]);
        for len in [126, 60_000] {
            let long = masked(0x80 | opcode, &vec![b'a'; len]);
            table.add(1002, format!("{name} of {len} bytes"), &[long]);
        }
    }
    table.add(1002, "the end of nothing", &[masked(END, b"a")]);
    table.add(1002, "the middle of nothing", &[masked(MIDDLE, b"a")]);
    table.add(1002, "text inside a message", &[start(), text("b")]);
    table.add(1002, "binary inside", &[start(), masked(BINARY, b"b")]);
    table.add(1002, "a start inside", &[start(), start()]);
    table.add(1002, "a close of one byte", &[masked(CLOSE, b"\x03")]);
    table.check(port);
}

#[test]
fn text_that_is_not_utf_8_is_closed_with_1007() {
    let (_server, port) = echo();
    let mut table = Violations::default();
    let broken: [&[u8]; 8] = [
        b"\xff\xfe",
        b"ok \xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xe2\x82",
        b"cut \xc3",
        b"\xc3\x28",
    ];
    for bytes in broken {
        let name = format!("text {bytes:02x?}");
        let (first, last) = bytes.split_at(bytes.len() - 1);
        table.add(1007, &name, &[masked(TEXT, bytes)]);
        table.add(
            1007,
            name + " in parts",
            &[masked(START, first), masked(END, last)],
        );
    }
    table.add(1007, "a reason", &[masked(CLOSE, b"\x03\xe8\xff")]);
    table.check(port);
}

#[test]
fn messages_above_the_limit_are_closed_with_1009() {
    let (_server, port) = echo();
    let mut table = Violations::default();
    let half = vec![b'a'; 40_000];
    let whole = vec![b'a'; LIMIT + 1];
    table.add(1009, "a byte more", &[masked(TEXT, &whole)]);
    table.add(1009, "a byte more of binary", &[masked(BINARY, &whole)]);
    let halves = [masked(START, &half), masked(END, &half)];
    table.add(1009, "two halves", &halves);
    let last = [masked(START, &whole[1..]), masked(END, b"a")];
    table.add(1009, "a byte more in a fragment", &last);
    // Refused by the header: the payload never comes.
    for len in [
        LIMIT as u64 + 1,
        16 << 20,
        u64::from(u32::MAX) + 5,
        (1 << 63) - 1,
        1 << 63,
        (1 << 63) + 5,
        u64::MAX,
    ] {
        table.add(1009, format!("{len} declared"), &[header(TEXT, len)]);
        let fragment = [masked(START, b"a"), header(END, len)];
        table.add(1009, format!("{len} declared in a fragment"), &fragment);
    }
    table.check(port);
}

#[test]
fn messages_up_to_the_limit_come_back() {
    let (_server, port) = echo();
    let mut raw = Raw::upgrade(port, "/");
    for len in [0, 1, 125, 126, 127, 65_535, LIMIT] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        raw.send(&masked(BINARY, &payload));
        let frame = raw.message();
        assert!(frame.fin && frame.opcode == 2, "{frame:?}");
        assert!(frame.payload == payload, "{len} bytes come back as sent");

        let letters = "é".repeat(len / 2);
        let middle = letters.len() / 3;
        raw.send(&masked(START, &letters.as_bytes()[..middle]));
        raw.send(&masked(END, &letters.as_bytes()[middle..]));
        assert!(raw.message().text() == letters, "{len} bytes in fragments");
    }
}

#[test]
fn a_length_that_is_written_too_long_is_accepted() {
    // RFC 6455, section 5.2, forbids it to the sender. tungstenite takes it, and so do we.
    let (_server, port) = echo();
    let mut raw = Raw::upgrade(port, "/");
    let long = "x".repeat(300);
    for (message, extended) in [("hello", 2), ("hello", 8), ("", 2), ("", 8), (&long, 8)] {
        let plain = text(message);
        let payload = &plain[plain.len() - message.len()..];
        let head = header_as(TEXT, message.len() as u64, extended);
        raw.send(&[&head, payload].concat());
        assert_eq!(raw.message().text(), message);
    }
}

#[test]
fn close_codes_that_may_travel_are_echoed() {
    let (_server, port) = echo();
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ] {
        let mut raw = Raw::upgrade(port, "/");
        raw.send(&close(code, "bye"));
        assert_eq!(raw.close_frame(), (code, "bye".into()));
        assert_eq!(raw.frame(), None, "{code}: the server closes");
    }
    let longest = "é".repeat(61) + "!";
    let mut raw = Raw::upgrade(port, "/");
    raw.send(&close(1000, &longest));
    assert_eq!(raw.close_frame(), (1000, longest));
    let mut raw = Raw::upgrade(port, "/");
    raw.send(&masked(CLOSE, b""));
    let answer = raw.frame().expect("an answer");
    assert_eq!((answer.opcode, answer.payload.len()), (8, 0));
    assert_eq!(raw.frame(), None, "the server closes");
}

#[test]
fn close_codes_that_may_not_travel_are_answered_with_1002() {
    let (_server, port) = echo();
    let reserved = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999];
    // 1014 is in the IANA registry, but not in tungstenite.
    for code in reserved.iter().chain(&[1014, 5000, 65_535]) {
        let mut raw = Raw::upgrade(port, "/");
        raw.send(&close(*code, "bye"));
        assert_eq!(raw.close_frame().0, 1002, "{code}");
        assert_eq!(raw.frame(), None, "{code}: the server closes");
    }
}

#[test]
fn the_first_close_frame_counts_and_nothing_behind_it() {
    let (_server, port) = echo();
    let mut raw = Raw::upgrade(port, "/");
    let mut bytes = text("before");
    bytes.extend(close(4000, "first"));
    bytes.extend(text("behind"));
    bytes.extend(masked(PING, b"behind"));
    for _ in 0..100 {
        bytes.extend(close(4001, "second"));
    }
    raw.send(&bytes);
    assert_eq!(raw.message().text(), "before");
    assert_eq!(
        raw.frame().expect("an answer").close(),
        (4000, "first".into())
    );
    assert_eq!(raw.frame(), None);

    let mut raw = Raw::upgrade(port, "/");
    raw.send(&[masked(START, b"unfinished"), close(4002, "")].concat());
    assert_eq!(raw.close_frame().0, 4002, "amid a message");
    assert_eq!(raw.frame(), None);
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let (_server, port) = echo();
    let mut raw = Raw::upgrade(port, "/");
    let all: Vec<u8> = (0..125).map(|i| i as u8 * 2).collect();
    for payload in [&b""[..], b"hello", b"\0\xff\n", &all] {
        raw.send(&masked(PING, payload));
        let pong = raw.frame().expect("a pong");
        assert_eq!((pong.fin, pong.opcode), (true, 10));
        assert_eq!(pong.payload, payload);
    }
    for payload in [&b""[..], b"nobody asked", &all] {
        raw.send(&masked(PONG, payload));
    }
    raw.send(&text("still here"));
    assert_eq!(raw.frame().expect("a message").text(), "still here");
}

#[test]
fn pings_in_a_row_are_all_answered_in_order() {
    let (_server, port) = echo();
    let mut raw = Raw::upgrade(port, "/");
    let pings = (0..1000).flat_map(|i: u32| masked(PING, &i.to_be_bytes()));
    raw.send(&pings.collect::<Vec<u8>>());
    for i in 0..1000_u32 {
        let pong = raw.frame().expect("a pong");
        assert_eq!((pong.opcode, &*pong.payload), (10, &i.to_be_bytes()[..]));
    }
}

#[test]
fn fragments_are_put_together_around_control_frames() {
    let (_server, port) = echo();
    let mut raw = Raw::upgrade(port, "/");
    let parts = |bytes: &[&[u8]]| {
        let mut sent = Vec::new();
        for (i, part) in bytes.iter().enumerate() {
            let first = if i == 0 { START } else { MIDDLE };
            let last = if i + 1 == bytes.len() { END } else { 0 };
            sent.push(masked(first | last, part));
        }
        sent
    };
    let rows: [&[&[u8]]; 6] = [
        &[b"a", b"b"],
        &[b"caf\xc3", b"\xa9"],
        &[b"\xf0", b"\x9f\x98", b"\x80"],
        &[b"", b"", b"", b"x", b""],
        &[b"", b""],
        &[b"x", b"", b"y", b"", b"z"],
    ];
    for row in rows {
        let expected = String::from_utf8(row.concat()).expect("text");
        raw.send(&parts(row).concat());
        assert_eq!(raw.message().text(), expected);
        for part in parts(row) {
            raw.send(&[part, masked(PONG, b"x"), masked(PING, b"inside")].concat());
        }
        let frames: Vec<_> = (0..=row.len())
            .map(|_| raw.frame().expect("a frame"))
            .collect();
        let (pongs, messages): (Vec<_>, Vec<_>) = frames.iter().partition(|f| f.opcode == 10);
        assert_eq!(pongs.len(), row.len(), "a pong for each ping: {frames:?}");
        assert!(
            pongs.iter().all(|pong| pong.payload == b"inside"),
            "{frames:?}"
        );
        assert_eq!(messages[0].text(), expected);
    }
}

#[test]
fn a_message_may_come_in_many_pieces() {
    let (_server, port) = echo();
    let payload: Vec<u8> = (0..LIMIT).map(|i| b'a' + (i % 26) as u8).collect();
    let expected = String::from_utf8(payload.clone()).expect("text");
    let fragments: Vec<u8> = payload
        .chunks(1000)
        .enumerate()
        .flat_map(|(i, part)| {
            let first = if i == 0 { START } else { MIDDLE };
            let last = if (i + 1) * 1000 >= LIMIT { END } else { 0 };
            masked(first | last, part)
        })
        .collect();
    let mut raw = Raw::upgrade(port, "/");
    for bytes in [masked(TEXT, &payload), fragments] {
        for step in [7, 37, 4096] {
            // The first pieces alone, so that headers are cut, too.
            let (slow, fast) = bytes.split_at(bytes.len() / 20);
            for piece in slow.chunks(step).chain(fast.chunks(step * 100)) {
                raw.send(piece);
            }
            assert!(raw.message().text() == expected, "in steps of {step}");
        }
    }
    let short = [masked(START, b"one "), masked(END, "byté".as_bytes())].concat();
    for byte in &short {
        raw.send(&[*byte]);
    }
    assert_eq!(raw.message().text(), "one byté");
    // Tiny fragments are fine while their headers stay within what is allowed for them.
    let count = (LIMIT + FRAGMENTS) / 7 - 100;
    let tiny = [
        masked(START, b"x"),
        masked(MIDDLE, b"x").repeat(count),
        masked(END, b"x"),
    ];
    raw.send(&tiny.concat());
    assert_eq!(raw.message().payload.len(), count + 2);
}

#[test]
fn messages_in_flight_are_answered_in_order() {
    let (_server, port) = echo();
    let payload = |i: usize| {
        let mut bytes = i.to_be_bytes().to_vec();
        bytes.resize(8 + i * 7919 % 3000, i as u8);
        bytes
    };
    const COUNT: usize = 3000;
    let mut raw = Raw::upgrade(port, "/");
    let mut writer = raw.stream.try_clone().expect("a second handle");
    thread::scope(|scope| {
        scope.spawn(move || {
            for batch in 0..COUNT / 100 {
                let batch = batch * 100..(batch + 1) * 100;
                let frames: Vec<u8> = batch.flat_map(|i| masked(BINARY, &payload(i))).collect();
                writer.write_all(&frames).expect("the server reads on");
            }
        });
        for i in 0..COUNT {
            assert!(
                raw.message().payload == payload(i),
                "message {i} is as sent"
            );
        }
    });
}

/// Sends the same bytes up to so many times; how often until the peer closed, or `None`.
fn flood(raw: &mut Raw, bytes: &[u8], times: usize) -> Option<usize> {
    (0..times).find(|_| raw.stream.write_all(bytes).is_err())
}

/// The bytes that came in by the daemon's line about the end of a connection.
#[track_caller]
fn bytes_in(line: &str) -> usize {
    let (_, rest) = line.split_once("bytes ").expect("the number of bytes");
    let number = rest.split_once(" in").and_then(|(n, _)| n.parse().ok());
    number.expect("a number of bytes that came in")
}

#[test]
fn a_flood_of_empty_fragments_is_ended_and_disturbs_nobody() {
    let (daemon, port) = serve("counter", &["-v"]);
    let (mut other, _) = join(port);
    let (mut flooder, _) = join(port);
    let address = flooder.address();
    flooder.send(&masked(START, b"x"));
    let (slowest, taken) = thread::scope(|scope| {
        let fragments = masked(MIDDLE, b"").repeat(10_000);
        let flooder = &mut flooder;
        let flood = scope.spawn(move || flood(flooder, &fragments, 1000));
        let mut slowest = Duration::ZERO;
        let mut count = 0;
        while count < 50 || !flood.is_finished() {
            let sent = Instant::now();
            other.send(&text(PLUS));
            count += 1;
            assert_eq!(next_state(&mut other), count);
            slowest = slowest.max(sent.elapsed());
        }
        (slowest, flood.join().expect("the flood"))
    });
    assert!(taken.is_some(), "10 million empty fragments were taken");
    // In the log, as a reset may take the close frame from who never stops to send.
    let line = daemon.wait_line(&format!("{address} /counter closed 1008"));
    // What is allowed, what one look may read on top, and what is thrown away at the end.
    let most = LIMIT + FRAGMENTS + 64 * 1024 + 64 * 1024 + 8 * 1024;
    assert!(bytes_in(&line) <= most, "above {most} bytes: {line}");
    let limit = Duration::from_secs(5);
    assert!(slowest < limit, "the other one waited for {slowest:?}");
}

#[test]
fn pings_do_not_keep_a_flood_of_fragments_alive() {
    let (daemon, port) = serve("counter", &["-v"]);
    let (mut flooder, _) = join(port);
    let address = flooder.address();
    flooder.send(&masked(START, b"x"));
    let mut fragments = masked(MIDDLE, b"").repeat(10_000);
    fragments.extend(masked(PING, b""));
    let taken = flood(&mut flooder, &fragments, 1000);
    assert!(taken.is_some(), "10 million empty fragments were taken");
    daemon.wait_line(&format!("{address} /counter closed 1008"));
    let left = || (daemon.clients() == 0).then_some(());
    wait_until("the flooder's thread to end", PATIENCE, left);
}

#[test]
fn a_message_in_too_many_fragments_is_closed_with_1008() {
    let (daemon, port) = serve("counter", &["-v"]);
    // Below the limit of a message, but not with their headers.
    for fragment in [masked(MIDDLE, b"x"), masked(MIDDLE, b"xx")] {
        let (mut raw, _) = join(port);
        let address = raw.address();
        raw.send(&masked(START, b"x"));
        raw.send(&fragment.repeat(15_000));
        let (code, reason) = raw.close_frame();
        assert_eq!(code, 1008);
        assert!(reason.contains("fragments"), "{reason}");
        let line = daemon.wait_line(&format!("{address} /counter closed 1008"));
        assert!(line.contains("messages 0 in"), "{line}");
    }
}

#[test]
fn declared_lengths_cost_no_memory() {
    let (daemon, port) = serve("hello", &["--max-size", "16MiB"]);
    let mut clients: Vec<_> = (0..200).map(|_| Raw::upgrade(port, "/hello")).collect();
    for raw in &mut clients {
        raw.send(&masked(PING, b"awake"));
        assert_eq!(raw.frame().expect("a pong").opcode, 10);
    }
    let before = daemon.resident();
    for raw in &mut clients {
        raw.send(&header(TEXT, 16 << 20));
        raw.send(b"some of it");
    }
    let read = || (raw::unread(port) == 0).then_some(());
    wait_until("the daemon to read all headers", PATIENCE, read);
    let grown = daemon.resident() - before;
    assert!(grown < 8 * 1024, "resident memory grew by {grown} KiB");

    let mut one = Raw::upgrade(port, "/hello");
    one.send(&header(TEXT, (16 << 20) + 1));
    assert_eq!(one.close_frame().0, 1009);
}

#[test]
fn a_flood_of_pongs_costs_no_memory() {
    let (daemon, port) = serve("counter", &[]);
    let (mut flooder, _) = join(port);
    let (mut other, _) = join(port);
    let before = daemon.resident();
    let pongs = masked(PONG, &[b'x'; 125]).repeat(500);
    assert_eq!(
        flood(&mut flooder, &pongs, 300),
        None,
        "pongs break no rule"
    );
    other.send(&text(PLUS));
    assert_eq!(next_state(&mut other), 1);
    flooder.send(&text(PLUS));
    assert_eq!(
        next_state(&mut flooder),
        1,
        "it was not delayed by its pongs"
    );
    assert_eq!(next_state(&mut flooder), 2);
    let grown = daemon.resident() - before;
    assert!(grown < 4 * 1024, "resident memory grew by {grown} KiB");
}
