//! Opening handshakes.

use super::*;

#[test]
fn legal_upgrades_are_accepted() {
    let site = site(&[]);
    let plain = upgrade_request("/counter", "");
    let with = |from: &str, to: &str| {
        assert!(plain.contains(from), "{from}");
        plain.replace(from, to)
    };
    let connection = |value: &str| with("Connection: Upgrade", value);
    let upgrade = |value: &str| with("Upgrade: websocket", value);
    let more = |lines: &str| upgrade_request("/counter", lines);
    let deflate = format!(
        "Sec-WebSocket-Extensions: permessage-deflate; a=\"b, \\\" c\"{}\r\n",
        "; client_max_window_bits=15".repeat(250)
    );
    let latin = [
        &plain.as_bytes()[..plain.len() - 2],
        b"X-Name: Jos\xe9\r\nX-Other: \xc3\xa9\xff\r\n\r\n",
    ]
    .concat();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("as usual", plain.clone().into()),
        (
            "two Connection lines",
            connection("Connection: keep-alive\r\nConnection: Upgrade").into(),
        ),
        (
            "a tab in the list",
            connection("Connection: keep-alive,\tUpgrade").into(),
        ),
        (
            "a list without spaces",
            connection("Connection: upgrade,keep-alive").into(),
        ),
        (
            "empty members of a list",
            connection("Connection: , ,Upgrade,").into(),
        ),
        (
            "other protocols before it",
            upgrade("Upgrade: h2c, websocket").into(),
        ),
        (
            "two Upgrade lines",
            upgrade("Upgrade: h2c\r\nUpgrade: websocket").into(),
        ),
        ("capitals", upgrade("UPGRADE: WebSocket").into()),
        (
            "small letters",
            plain
                .replace("Sec-WebSocket", "sec-websocket")
                .replace("Upgrade:", "upgrade:")
                .into(),
        ),
        (
            "spaces around the values",
            with("Key: ", "Key: \t ")
                .replace("==\r\n", "== \t\r\n")
                .into(),
        ),
        ("no space behind the colon", plain.replace(": ", ":").into()),
        (
            "absolute form",
            with("GET /counter", "GET http://localhost/counter").into(),
        ),
        ("extensions", more(&deflate).into()),
        (
            "subprotocols",
            more("Sec-WebSocket-Protocol: chat, superchat\r\n").into(),
        ),
        ("Expect", more("Expect: 100-continue\r\n").into()),
        ("Content-Length: 0", more("Content-Length: 0\r\n").into()),
        ("bytes that are not UTF-8", latin),
    ];
    let mut wrong = String::new();
    for (name, request) in &rows {
        let answer = exchange(site.counter, request);
        let is = |header: &str, value: &str| answer.header(header) == Some(value);
        let fine = answer.status == 101
            && is("Upgrade", "websocket")
            && is("Connection", "Upgrade")
            && is("Sec-WebSocket-Accept", ACCEPT)
            // What is not agreed on must not be answered.
            && answer.header("Sec-WebSocket-Extensions").is_none()
            && answer.header("Sec-WebSocket-Protocol").is_none();
        if !fine {
            wrong += &format!("\n  {name}: {answer:?}");
        }
    }
    assert!(wrong.is_empty(), "legal, but not accepted:{wrong}");
}

#[test]
fn faulty_upgrades_get_their_status() {
    let site = site(&[]);
    // Of the counter alone: a path without a page.
    let plain = upgrade_request("/websocket2", "");
    let with = |from: &str, to: &str| {
        assert!(plain.contains(from), "{from}");
        plain.replace(from, to)
    };
    let connection = |value: &str| with("Connection: Upgrade", value);
    let version = |lines: &str| with("Sec-WebSocket-Version: 13\r\n", lines);
    let key = |lines: &str| with(&format!("Sec-WebSocket-Key: {}\r\n", raw::KEY), lines);
    let again = format!("Sec-WebSocket-Key: {}\r\n", raw::KEY);
    let key_of = |value: &str| key(&format!("Sec-WebSocket-Key: {value}\r\n"));
    expect(
        site.counter,
        &[
            row("no upgrade", get("/websocket2", ""), 426),
            row(
                "Connection: upgrade alone",
                get("/websocket2", "Connection: upgrade\r\n"),
                426,
            ),
            row("no Connection", with("Connection: Upgrade\r\n", ""), 426),
            row(
                "no upgrade in Connection",
                connection("Connection: keep-alive"),
                426,
            ),
            row("no Upgrade", with("Upgrade: websocket\r\n", ""), 426),
            row(
                "another protocol",
                with("Upgrade: websocket", "Upgrade: h2c"),
                426,
            ),
            row("HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), 426),
            row("HEAD", with("GET", "HEAD"), 426),
            row("POST", with("GET", "POST"), 405),
            row("no version", version(""), 426),
            row("version 8", version("Sec-WebSocket-Version: 8\r\n"), 426),
            row("version 12", version("Sec-WebSocket-Version: 12\r\n"), 426),
            row("version 14", version("Sec-WebSocket-Version: 14\r\n"), 426),
            row(
                "version 013",
                version("Sec-WebSocket-Version: 013\r\n"),
                426,
            ),
            row("a list", version("Sec-WebSocket-Version: 13, 8\r\n"), 426),
            row(
                "two versions",
                version("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n"),
                426,
            ),
            row("no key", key(""), 400),
            row("an empty key", key_of(""), 400),
            row("two keys", key(&again.repeat(2)), 400),
            row("a short key", key_of("zqx"), 400),
            row("a key of 15 bytes", key_of("zqxzqxzqxzqxzqxzqxzq"), 400),
            row("a key of 17 bytes", key_of("zqxzqxzqxzqxzqxzqxzqxzA="), 400),
            row("a key of 23 letters", key_of(&raw::KEY[..23]), 400),
            row(
                "a key of 25 letters",
                key_of(&format!("{}=", raw::KEY)),
                400,
            ),
            row("a key of 1000 letters", key_of(&"z".repeat(1000)), 400),
            row(
                "a key that is no base64",
                key_of("zqx!zqx!zqx!zqx!zqx!zA=="),
                400,
            ),
            row(
                "a key with a space in it",
                key_of("zqx zqx zqx zqx zqx zA=="),
                400,
            ),
        ],
    );
}

#[test]
fn a_proxy_that_speaks_http_1_0_is_told_so() {
    let site = site(&[]);
    let request = upgrade_request("/counter", "").replace("HTTP/1.1", "HTTP/1.0");
    let answer = exchange(site.counter, request);
    assert_eq!(answer.status, 426);
    assert!(answer.body.contains("HTTP/1.1"), "{answer:?}");
}
