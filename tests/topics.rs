//! Topics and streams of the daemon, by HTTP, sockets and event streams.

use plainws::Connection;
use serde_json::Value;

use crate::http::{hosted, is_raw};
use crate::support::process::{Daemon, plainws, url_port};
use crate::support::raw::{Answer, Raw, exchange};
use crate::support::talk::{connect, end, text};
use crate::support::tools::{PATIENCE, wait_until};

/// A daemon with a listener of no application.
fn site(more: &[&str]) -> (Daemon, u16) {
    let daemon = plainws(&[&["serve", "-v", "--listen=127.0.0.1:0"], more].concat());
    let port = url_port(&daemon.wait_line("index at "));
    (daemon, port)
}

/// A request with these lines, separated by `|`, and this body.
#[track_caller]
fn ask(port: u16, line: &str, lines: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let length = match line.starts_with("GET") || line.starts_with("HEAD") {
        true => String::new(),
        false => format!("|Content-Length: {}", body.len()),
    };
    let head = hosted(&format!("{line} HTTP/1.1{length}{lines}"));
    exchange(port, [head.as_bytes(), body].concat())
}

#[track_caller]
fn put(port: u16, path: &str, body: &str) -> Answer {
    ask(port, &format!("PUT {path}"), "", body)
}

#[track_caller]
fn get(port: u16, path: &str) -> Answer {
    ask(port, &format!("GET {path}"), "", "")
}

#[track_caller]
fn json(ws: &Connection) -> Value {
    serde_json::from_str(&text(ws)).expect("JSON")
}

/// The next object of this type.
#[track_caller]
fn object(ws: &Connection, kind: &str) -> Value {
    std::iter::repeat_with(|| json(ws))
        .find(|object| object["type"] == kind)
        .unwrap()
}

/// An event stream behind its head.
#[track_caller]
fn events(port: u16, path: &str, lines: &str) -> Raw {
    let mut raw = Raw::connect(port);
    let line = format!("GET {path} HTTP/1.1|Accept: text/event-stream{lines}");
    raw.send(hosted(&line).as_bytes());
    let head = raw.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    raw
}

#[test]
fn a_value_is_set_and_read_by_http() {
    let (daemon, port) = site(&["--max-size=1KiB"]);
    let path = "/topic/kitchen/temperature";
    assert_eq!(get(port, path).status, 404);
    let form = "|Content-Type: application/x-www-form-urlencoded";
    let set = ask(port, &format!("POST {path}"), form, "21.5");
    assert_eq!((set.status, set.header("ETag")), (204, Some("\"1\"")));
    let read = get(port, path);
    assert_eq!((read.status, &*read.body), (200, "21.5"));
    assert_eq!(
        read.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(read.header("Plainws-Access"), Some("read,write"));
    assert_eq!(put(port, path, "22").header("ETag"), Some("\"2\""));
    let (write, patch) = (format!("PUT {path}"), format!("PATCH {path}"));
    let (read, delete) = (format!("GET {path}"), format!("DELETE {path}"));
    let merge = "|Content-Type: application/merge-patch+json";
    let large = "x".repeat(1025);
    let rows = [
        (&read, "|If-None-Match: \"2\"", "", 304),
        (&read, "|If-None-Match: \"1\"", "", 200),
        (&write, "|If-Match: \"1\"", "no", 412),
        (&write, "|If-None-Match: *", "no", 412),
        (&write, "|If-Match: \"2\"", "23", 204),
        (&write, "|If-Match: *", "{\"a\":1}", 204),
        (&patch, "|Content-Type: text/plain", "{}", 415),
        (&patch, merge, "{", 400),
        (&patch, merge, "{\"b\":[2]}", 204),
        (&write, "", &large, 413),
        (&write, "|Origin: https://foreign.example", "no", 403),
        (&write, "|Sec-Fetch-Site: cross-site", "no", 403),
        (&delete, "|If-Match: \"1\"", "", 412),
        (&delete, "", "", 204),
        (&delete, "", "", 404),
        (&read, "", "", 404),
        // No version comes again.
        (&write, "|If-None-Match: *", "new", 204),
    ];
    for (line, lines, body, status) in rows {
        let answer = ask(port, line, lines, body);
        assert_eq!(answer.status, status, "{line}{lines}: {answer:?}");
        if status == 412 && line == &write {
            assert_eq!(answer.header("ETag"), Some("\"2\""), "{lines}");
        }
    }
    assert_eq!(get(port, path).header("ETag"), Some("\"6\""));
    let bytes = ask(
        port,
        "PUT /topic/picture",
        "|Content-Type: image/png",
        b"\x89PNG",
    );
    assert_eq!(bytes.status, 204);
    let line = daemon.wait_line("PUT of topic picture");
    assert!(line.contains("4 bytes") && !is_raw(&line), "{line}");
    ask(
        port,
        "PUT /topic/page",
        "|Content-Type: text/html",
        "<script>alert(1)</script>",
    );
    let page = get(port, "/topic/page?raw");
    assert_eq!(page.header("Content-Type"), Some("text/html"));
    assert!(
        page.header("Content-Security-Policy")
            .unwrap()
            .contains("; sandbox")
    );
    let listed: Value = serde_json::from_str(&get(port, "/topics").body).unwrap();
    assert_eq!(listed["topics"][2]["type"], "image/png");
    assert_eq!(listed["topics"][0]["name"], "kitchen/temperature");
    for name in [
        "a%2fb",
        "a%00",
        "..",
        "a/../b",
        "é",
        "",
        "a//b",
        "1/2/3/4/5/6/7/8/9",
    ] {
        let answer = ask(port, &format!("PUT /topic/{name}"), "", "x");
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
    }
    for line in [
        "PUT /stream/x",
        "PATCH /stream/x",
        "FOO /topic/x",
        "PUT /topics",
        "PUT /topic/a/*",
    ] {
        assert_eq!(ask(port, line, "", "x").status, 405, "{line}");
    }
}

#[test]
fn who_looks_gets_the_value_at_once_and_each_newer_one() {
    let (_daemon, port) = site(&[]);
    put(port, "/topic/a/x", "1");
    let plain = connect(port, "/topic/a/x");
    assert_eq!(text(&plain), "1");
    let object_ws = connect(port, "/topic/a/x?format=json");
    let state = json(&object_ws);
    assert_eq!(
        (&state["type"], &state["version"], &state["value"]),
        (&"state".into(), &1.into(), &1.into())
    );
    assert_eq!(object(&object_ws, "users")["count"], 2);
    let below = connect(port, "/topic/a/*");
    assert_eq!(object(&below, "state")["topic"], "a/x");
    let mut stream = events(port, "/topic/a/x", "");
    assert_eq!(stream.until("\n\n"), "id: 1\ndata: 1\n\n");
    assert_eq!(object(&object_ws, "users")["count"], 3);

    // Byte for byte, by whatever way it came.
    plain.send("{\"n\":\n 2.50}").unwrap();
    assert_eq!(text(&plain), "{\"n\":\n 2.50}");
    assert_eq!(object(&object_ws, "state")["value"]["n"], 2.5);
    assert_eq!(object(&below, "state")["version"], 2);
    assert_eq!(
        stream.until("\n\n"),
        "id: 2\ndata: {\"n\":\ndata:  2.50}\n\n"
    );
    plain.send(vec![0, 255]).unwrap();
    assert_eq!(object(&object_ws, "state")["base64"], "AP8=");
    assert_eq!(plain.recv().unwrap().as_bytes(), [0, 255]);
    assert_eq!(stream.until("\n\n"), "id: 3\nevent: base64\ndata: AP8=\n\n");

    // Everything below a prefix on one socket, also what is new there, and nothing beside it.
    put(port, "/topic/b", "no");
    below.send(r#"{"topic":"a/new","value":"text"}"#).unwrap();
    assert_eq!(object(&below, "state")["base64"], "AP8=");
    assert_eq!(object(&below, "state")["value"], "text");
    assert_eq!(get(port, "/topic/a/new").body, "text");
    for wrong in [
        r#"{"topic":"b","value":1}"#,
        r#"{"topic":"a/.."}"#,
        "x",
        r#"{"topic":"a/x"}"#,
    ] {
        below.send(wrong).unwrap();
        assert!(object(&below, "error")["message"].is_string(), "{wrong}");
    }
    assert_eq!(ask(port, "DELETE /topic/a/x", "", "").status, 204);
    assert_eq!(object(&object_ws, "deleted")["topic"], "a/x");
    assert_eq!(object(&below, "deleted")["topic"], "a/x");
    assert_eq!(stream.until("\n\n"), "event: deleted\ndata: \n\n");
    let history = get(port, "/topic/a/new?history").body;
    assert_eq!(history.lines().count(), 1);
    drop(plain);
    assert_eq!(object(&object_ws, "users")["count"], 2);
}

#[test]
fn two_editors_lose_nothing_of_each_other() {
    let (_daemon, port) = site(&[]);
    let path = "/topic/doc?patch&format=json";
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            scope.spawn(move || {
                let ws = connect(port, path);
                for n in 0..500 {
                    ws.send(format!(r#"{{"{name}{n}":{n}}}"#)).unwrap();
                }
                let own = format!("{name}499");
                while object(&ws, "state")["value"][&own].is_null() {}
            });
        }
    });
    let value: Value = serde_json::from_str(&get(port, "/topic/doc").body).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 1000);
    let ws = connect(port, path);
    ws.send("{").unwrap();
    assert!(
        object(&ws, "error")["message"]
            .as_str()
            .unwrap()
            .contains("JSON")
    );
    let plain = connect(port, "/topic/doc?patch");
    plain.send("{").unwrap();
    assert_eq!(end(&plain).received.unwrap().code.0, 1007);
}

#[test]
fn a_stream_keeps_its_last_messages_and_none_is_left_out() {
    let (_daemon, port) = site(&["--keep=5"]);
    let reader = connect(port, "/stream/log");
    wait_until("it is there", PATIENCE, || {
        get(port, "/topics").body.contains("log").then_some(())
    });
    for n in 1..=8 {
        assert_eq!(
            ask(port, "POST /stream/log", "", format!("line {n}")).status,
            204
        );
    }
    for n in 1..=8 {
        assert_eq!(text(&reader), format!("line {n}"));
    }
    let last = connect(port, "/stream/log?last=2&format=json");
    let message = object(&last, "message");
    assert_eq!(
        (&message["id"], &message["data"]),
        (&7.into(), &"line 7".into())
    );
    assert_eq!(object(&last, "message")["id"], 8);
    assert_eq!(
        get(port, "/stream/log").body.lines().count(),
        5,
        "it keeps five"
    );
    assert_eq!(get(port, "/stream/log?last=x").status, 400);
    // Resumed where the client was, or told that some are gone.
    let mut resumed = events(port, "/stream/log", "|Last-Event-ID: 6");
    assert_eq!(resumed.until("\n\n"), "id: 7\ndata: line 7\n\n");
    for unknown in ["1", "99"] {
        let mut gone = events(port, "/stream/log", &format!("|Last-Event-ID: {unknown}"));
        assert!(gone.until("\n\n").starts_with("event: gone\n"), "{unknown}");
        assert_eq!(gone.until("\n\n"), "id: 4\ndata: line 4\n\n", "{unknown}");
    }
    let chat = connect(port, "/stream/log");
    chat.send("hello").unwrap();
    assert_eq!(text(&chat), "hello");
    assert_eq!(text(&reader), "hello");
}

#[test]
fn there_is_an_end_to_topics_and_to_memory_and_nothing_is_pushed_out() {
    let (_daemon, port) = site(&["--max-topics=3", "--topics-size=4KiB", "--max-size=2KiB"]);
    let looking = connect(port, "/topic/seen?format=json");
    object(&looking, "users");
    assert_eq!(put(port, "/topic/a", "kept").status, 204);
    assert_eq!(ask(port, "POST /stream/b", "", "kept").status, 204);
    let full = put(port, "/topic/c", "no");
    assert_eq!(full.status, 507, "{full:?}");
    assert!(full.body.contains("--max-topics"), "{full:?}");
    let one_more = connect(port, "/stream/d");
    let closed = end(&one_more).received.unwrap();
    assert_eq!(
        (closed.code.0, closed.reason.contains("--max-topics")),
        (1013, true)
    );
    // What nobody needs any more makes room.
    drop(looking);
    wait_until("room", PATIENCE, || {
        (put(port, "/topic/c", "yes").status == 204).then_some(())
    });
    // Its own past goes first; the others' does not.
    let value = "x".repeat(1500);
    for _ in 0..5 {
        assert_eq!(put(port, "/topic/c", &value).status, 204);
    }
    let large = "y".repeat(2000);
    assert_eq!(put(port, "/topic/a", &large).status, 507);
    assert_eq!(get(port, "/topic/a").body, "kept");
    assert_eq!(get(port, "/topic/c").body, value);
    let socket = connect(port, "/topic/a");
    socket.send(large).unwrap();
    assert_eq!(end(&socket).received.unwrap().code.0, 1013);
}

#[test]
fn a_browser_gets_the_page_and_everybody_else_the_value() {
    let (_daemon, port) = site(&[]);
    put(port, "/topic/a", "1");
    let browser = "|Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
    for path in ["/topic/a", "/topic/new", "/stream/b", "/topics"] {
        let page = ask(port, &format!("GET {path}"), browser, "");
        assert_eq!(
            page.header("Content-Type"),
            Some("text/html; charset=utf-8"),
            "{path}"
        );
        assert!(page.body.contains("plainws.js"), "{path}");
    }
    assert_eq!(ask(port, "GET /topic/a?raw", browser, "").body, "1");
    assert_eq!(
        ask(
            port,
            "GET /topic/a",
            "|Accept: application/json, text/html",
            ""
        )
        .body,
        "1"
    );
    let script = get(port, "/plainws.js");
    assert_eq!(
        script.header("Content-Type"),
        Some("text/javascript; charset=utf-8")
    );
    // Not by a link to a foreign place, nor to the counter's page.
    let depth = ask(port, "GET /topic/a/b/c", browser, "");
    assert!(
        depth.body.contains("src=\"../../../plainws.js\""),
        "{}",
        depth.body
    );
}
