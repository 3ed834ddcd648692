//! What the client logs of an opening handshake, and that it holds no secret.

use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};

use super::*;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the client's own lines; those of frames are not even made.
struct Kept;

impl Log for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "plainws::client"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The lines of the connection that asked for this path, without their name.
fn lines(path: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let first = lines.iter().find(|line| line.contains(path));
    let name = first.and_then(|line| line.split(' ').next()).unwrap();
    assert!(name.starts_with("ws-client-"), "{name}");
    let name = format!("{name} ");
    let own = lines.iter().filter_map(|line| line.strip_prefix(&name));
    own.map(str::to_owned).collect()
}

#[test]
fn heads_redirects_and_proxies_are_logged_without_secrets() {
    static START: Once = Once::new();
    START.call_once(|| {
        log::set_logger(&Kept).expect("no other logger");
        log::set_max_level(LevelFilter::Debug);
    });
    let there = Peer::saying(format!(
        "{UPGRADE}Set-Cookie: secret\r\nX-Note: \x1b[31m\u{e9}\r\n\r\n"
    ));
    let location = there.url("/logged?2").replace("//", "//bob:secret@");
    let proxy = Peer::new(move |caller, number| {
        caller.head();
        caller.say("HTTP/1.1 200 OK\r\n\r\n");
        if number == 0 {
            caller.head();
            caller.say(format!(
                "HTTP/1.1 302 Found\r\nlocation: {location}\r\n\r\n"
            ));
        } else {
            caller.upgrade();
        }
        caller.wait_end();
    });
    let url = format!("http://ada:secret@{}", proxy.address);
    let client = Client::builder().close_timeout(Duration::ZERO).proxy(&*url);
    let client = client
        .header("Cookie", "secret")
        .basic_auth("ada", "secret");
    let error = client.connect("ws://server.invalid/logged?1");
    drop(error.unwrap());
    let mut lines = lines("/logged?1");
    let is_key = |line: &String| line.contains("Sec-WebSocket-") || line.contains("Basic ");
    lines.retain(|line| !is_key(line));
    let (proxy, there) = (proxy.address, there.address);
    let expected = [
        format!("through the proxy http://{proxy}"),
        "> CONNECT server.invalid:80 HTTP/1.1".to_owned(),
        "> Host: server.invalid:80".to_owned(),
        "> Proxy-Authorization: ...".to_owned(),
        "< HTTP/1.1 200 OK".to_owned(),
        "> GET /logged?1 HTTP/1.1".to_owned(),
        "> Host: server.invalid".to_owned(),
        "> Upgrade: websocket".to_owned(),
        "> Connection: Upgrade".to_owned(),
        "> Cookie: ...".to_owned(),
        "> Authorization: ...".to_owned(),
        "< HTTP/1.1 302 Found".to_owned(),
        format!("< location: ws://...@{there}/logged?2"),
        format!("redirected to ws://{there}/logged?2"),
        format!("through the proxy http://{proxy}"),
        format!("> CONNECT {there} HTTP/1.1"),
        format!("> Host: {there}"),
        "> Proxy-Authorization: ...".to_owned(),
        "< HTTP/1.1 200 OK".to_owned(),
        "> GET /logged?2 HTTP/1.1".to_owned(),
        format!("> Host: {there}"),
        "> Upgrade: websocket".to_owned(),
        "> Connection: Upgrade".to_owned(),
        "> Authorization: ...".to_owned(),
        "< HTTP/1.1 101 Switching Protocols".to_owned(),
        "< Upgrade: websocket".to_owned(),
        "< Connection: Upgrade".to_owned(),
    ];
    assert_eq!(lines, expected);
}
