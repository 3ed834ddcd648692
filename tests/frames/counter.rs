//! The counter, spoken to frame by frame, and what it logs.

use super::*;

/// Messages that are no action, and what must not come back of them.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let action = |json: &str| text(&format!(r#"{{"action":{json}}}"#));
    let deep = |open: &str, close: &str, n| open.repeat(n) + "zqx" + &close.repeat(n);
    let object = |n| deep("{\"zqx\":", "}", n);
    vec![
        ("nothing", text("")),
        ("spaces", text(" \t\r\n ")),
        ("no JSON", text("zqx")),
        ("a word", text("plus")),
        (
            "a line that is none",
            text("zqx\r\n2026-11-22T10:21:09Z [ERROR] zqx"),
        ),
        ("null", text("null")),
        ("a number", text("5")),
        ("a large number", text("1e400")),
        ("a text", text("\"plus\"")),
        ("true", text("true")),
        ("an empty array", text("[]")),
        ("an array for an object", text(r#"["plus"]"#)),
        ("an array with a value", text(r#"["plus",5]"#)),
        ("an array of objects", text(&format!("[{PLUS}]"))),
        ("a byte order mark", text(&format!("\u{feff}{PLUS}"))),
        ("something behind it", text(&format!("{PLUS} zqx"))),
        ("two objects", text(&format!("{PLUS}{PLUS}"))),
        ("no end", text(&PLUS[..PLUS.len() - 1])),
        ("single quotes", text("{'action':'plus'}")),
        ("a comment", text(&format!("{PLUS}// zqx"))),
        ("NaN beside it", text(r#"{"action":"plus","zqx":NaN}"#)),
        ("no action", text(r#"{"zqx":"plus"}"#)),
        ("an empty object", text("{}")),
        ("another case of the key", text(r#"{"Action":"plus"}"#)),
        (
            "the action twice",
            text(r#"{"action":"plus","action":"plus"}"#),
        ),
        ("two actions", text(r#"{"action":"plus","action":"minus"}"#)),
        ("a key twice", text(r#"{"action":"plus","zqx":1,"zqx":2}"#)),
        (
            "the action twice, once escaped",
            text(r#"{"action":"plus","\u0061ction":"plus"}"#),
        ),
        ("an unknown action", action("\"zqx\"")),
        ("another case", action("\"PLUS\"")),
        ("a space", action("\"plus \"")),
        ("an empty action", action("\"\"")),
        ("NUL in the action", action("\"plus\\u0000\"")),
        ("a number as action", action("1")),
        ("null as action", action("null")),
        ("an array as action", action("[\"plus\"]")),
        ("an object as action", action(PLUS)),
        ("a very deep action", action(&"[".repeat(60_000))),
        ("half a surrogate", action("\"\\ud800\"")),
        ("ESC", action("\"\x1b[31mzqx\"")),
        ("ESC, escaped", action("\"\\u001b[31mzqx\"")),
        ("a line feed", action("\"zqx\\n[ERROR] zqx\"")),
        ("the other direction", action("\"\u{202e}zqx\u{2066}\"")),
        (
            "other line ends",
            action("\"\u{85}zqx\u{2028}zqx\u{9b}31m\""),
        ),
        ("a script", action("\"</script><script>zqx\"")),
        ("60 KB", action(&format!("\"{}\"", "zqx".repeat(20_000)))),
        ("arrays without end", text(&"[".repeat(30_000))),
        ("objects without end", text(&"{\"zqx\":".repeat(9_000))),
        ("deep objects", text(&object(6_000))),
        ("binary", masked(BINARY, PLUS.as_bytes())),
        ("empty binary", masked(BINARY, b"")),
        (
            "binary control characters",
            masked(BINARY, b"\x1b[31m\n\xff"),
        ),
    ]
}

#[test]
fn nonsense_is_told_to_its_sender_alone_and_changes_nothing() {
    let (daemon, port) = serve("counter", &[]);
    let (mut witness, _) = join(port);
    let mut peers = Vec::new();
    let mut value = 0;
    for (name, message) in nonsense() {
        let (mut raw, joined) = join(port);
        assert_eq!(joined, value, "{name}");
        raw.send(&message);
        let news = next_news(&mut raw);
        assert_eq!(news["type"], "error", "{name}: {news}");
        let fields = news.as_object().expect("an object");
        assert_eq!(fields.len(), 2, "{name}: {news}");
        let why = news["message"].as_str().expect("a sentence");
        assert!(why.len() > 5 && why.len() < 100, "{name}: {news}");
        assert!(!why.contains("zqx") && !is_raw(why), "{name}: {news}");
        // It stays, and what it does now counts from the value before.
        raw.send(&text(PLUS));
        value += 1;
        assert_eq!(next_state(&mut raw), value, "{name}");
        assert_eq!(next_state(&mut witness), value, "{name}");
        peers.push((name, raw.address()));
    }
    for (name, peer) in peers {
        let of_peer = |line: &String| line.contains(&format!("{peer} "));
        let told = || daemon.lines().iter().any(of_peer).then_some(());
        wait_until("a line about what was refused", PATIENCE, told);
        let lines: Vec<_> = daemon.lines().into_iter().filter(of_peer).collect();
        assert_eq!(lines.len(), 1, "{name}: one line each: {lines:#?}");
        assert!(lines[0].contains("[WARN]"), "{name}: {lines:?}");
    }
    for line in daemon.lines() {
        assert!(!is_raw(&line) && line.len() < 400, "{line:?}");
        assert!(line.starts_with("20"), "each line has its time: {line:?}");
    }
}

#[test]
fn a_deeply_nested_action_is_refused_like_any_other() {
    let (daemon, port) = serve("counter", &[]);
    for depth in [20, 60, 100, 120, 126, 127, 128, 500] {
        for (open, close) in [("[", "]"), ("{\"zqx\":", "}"), ("[{\"zqx\":", "}]")] {
            let action = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let (mut raw, _) = join(port);
            raw.send(&text(&format!(r#"{{"action":{action}}}"#)));
            let news = std::iter::from_fn(|| raw.frame()).map(|frame| frame.text());
            let refused = news.into_iter().any(|text| text.contains("error"));
            let report = || format!("{open} {depth} times: {}", daemon.report());
            assert!(refused, "no answer to {}", report());
        }
    }
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    let (daemon, port) = serve("counter", &[]);
    let (mut raw, mut value) = join(port);
    let digits = "9".repeat(60_000);
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for field in [
        "5",
        "\"5\"",
        "null",
        "-0",
        "1.5",
        "1e400",
        "9223372036854775808",
        "-9223372036854775809",
        "{\"a\":1,\"a\":2}",
        "[[],{}]",
        "\"\\u0000\"",
        &digits,
        &deep,
    ] {
        raw.send(&text(&format!(r#"{{"value":{field},"action":"plus"}}"#)));
        value += 1;
        assert_eq!(next_state(&mut raw), value, "{field:.50}");
        raw.send(&text(&format!(
            r#" {{ "action" : "minus" , "x" : {field} }} "#
        )));
        value -= 1;
        assert_eq!(next_state(&mut raw), value, "{field:.50}");
    }
    raw.send(&text(r#"{"\u0061ction":"\u0070lus"}"#));
    assert_eq!(next_state(&mut raw), value + 1);
    assert_eq!(daemon.lines().len(), 1, "no more than the start is logged");
}

#[test]
fn who_sends_nothing_but_nonsense_does_not_fill_the_log() {
    let (daemon, port) = serve("counter", &[]);
    let (mut raw, _) = join(port);
    raw.send(&text("nonsense").repeat(500));
    for _ in 0..500 {
        assert_eq!(next_news(&mut raw)["type"], "error");
    }
    raw.send(&text(PLUS));
    assert_eq!(next_state(&mut raw), 1);
    daemon.wait_line("not logged");
    let lines = daemon.lines();
    assert!(lines.len() < 30, "{} lines", lines.len());
}

#[test]
fn fifty_clients_that_count_at_once_get_the_exact_sum() {
    const CLIENTS: usize = 50;
    const EACH: usize = 100;
    let sum = (CLIENTS * EACH) as i64;
    let (_daemon, port) = serve("counter", &[]);
    let (mut witness, _) = join(port);
    let all_here = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let (mut raw, mut value) = join(port);
                all_here.wait();
                for _ in 0..EACH / 10 {
                    raw.send(&text(PLUS).repeat(10));
                }
                while value < sum {
                    let next = next_state(&mut raw);
                    assert!(next > value, "{next} behind {value}");
                    value = next;
                }
                assert_eq!(value, sum);
                raw.send(&close(1000, ""));
                assert_eq!(raw.close_frame().0, 1000);
            });
        }
    });
    let (mut late, value) = join(port);
    assert_eq!(value, sum);
    late.send(&text(PLUS));
    assert_eq!(next_state(&mut late), sum + 1);
    while next_state(&mut witness) != sum + 1 {}
}

#[test]
fn all_clients_see_all_values_in_one_order() {
    const CLIENTS: usize = 8;
    const EACH: usize = 150;
    let (_daemon, port) = serve("counter", &[]);
    let all_here = Barrier::new(CLIENTS);
    let seen: Vec<Vec<i64>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let all_here = &all_here;
                scope.spawn(move || {
                    let (mut raw, _) = join(port);
                    all_here.wait();
                    for i in 0..EACH {
                        let plus = (client * 7 + i * i) % 3 > 0;
                        raw.send(&text(if plus { PLUS } else { MINUS }));
                    }
                    (0..CLIENTS * EACH).map(|_| next_state(&mut raw)).collect()
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|c| c.join().expect("a client"))
            .collect()
    });
    let first = &seen[0];
    let step = |pair: &[i64]| (pair[0] - pair[1]).abs() == 1;
    assert!(
        first.windows(2).all(step),
        "a value was left out: {first:?}"
    );
    for other in &seen[1..] {
        assert!(other == first, "two clients saw different orders");
    }
}

#[test]
fn a_name_is_text() {
    let (_daemon, port) = serve("hello", &[]);
    for (message, answer) in [("", "Hello !"), ("Jos\u{e9}", "Hello Jos\u{e9}!")] {
        let mut raw = Raw::upgrade(port, "/hello");
        raw.send(&text(message));
        assert_eq!(raw.message().text(), answer);
        assert_eq!(raw.close_frame().0, 1000);
    }
    let mut raw = Raw::upgrade(port, "/hello");
    raw.send(&masked(BINARY, b"Ada"));
    assert_eq!(raw.close_frame().0, 1003);
    assert_eq!(raw.frame(), None::<Frame>);
}

#[test]
fn frames_are_logged_on_one_short_line_without_control_characters() {
    let (daemon, port) = serve("hello", &["-vv"]);
    let nasty = "zqx\r\n2026 [ERROR] zqx\x1b[31m\0\u{7f}\u{85}\u{9b}31m\u{202e}\u{2028}";
    let long = nasty.repeat(500);
    for name in [nasty, &long] {
        let mut raw = Raw::upgrade(port, "/hello");
        raw.send(&masked(PING, nasty.as_bytes()));
        raw.send(&masked(PONG, nasty.as_bytes()));
        raw.send(&text(name));
        assert_eq!(raw.message().opcode, 10);
        assert_eq!(raw.message().text(), format!("Hello {name}!"));
        raw.close_frame();
    }
    let mut raw = Raw::upgrade(port, "/hello");
    let address = raw.address();
    raw.send(&close(4000, nasty));
    assert_eq!(raw.close_frame().0, 4000);
    let end = daemon.wait_line(&format!("{address} /hello closed 4000"));
    assert!(end.contains(r"zqx\r\n2026"), "{end}");
    let mut raw = Raw::upgrade(port, "/hello");
    raw.send(&masked(BINARY, nasty.as_bytes()));
    raw.close_frame();
    let mut raw = Raw::upgrade(port, "/hello");
    raw.send(&masked(TEXT, b"\xff\x1b[31m\n"));
    let address = raw.address();
    raw.close_frame();
    daemon.wait_line(&format!("{address} /hello closed 1007"));
    for line in daemon.lines() {
        assert!(!is_raw(&line), "{line:?}");
        assert!(line.len() < 900, "a line of {} bytes: {line}", line.len());
        assert!(line.starts_with("20"), "each line has its time: {line:?}");
        let level = ["[INFO]", "[DEBUG]"].iter().any(|l| line[..40].contains(l));
        assert!(level, "{line:?}");
    }
}
