//! What the client logs of an opening handshake, and that it holds no secret.

use super::*;
use crate::support::logs;
use crate::support::tools::wait_until;

/// The lines of the connection that asked for this path, without their name.
fn lines(path: &str) -> Vec<String> {
    let mut lines = logs::lines();
    lines.retain(|line| line.target == "plainws::client");
    let first = lines.iter().find(|line| line.text.contains(path));
    let name = first.and_then(|line| line.text.split(' ').next()).unwrap();
    assert!(name.starts_with("ws-client-"), "{name}");
    let name = format!("{name} ");
    let own = lines
        .iter()
        .filter_map(|line| line.text.strip_prefix(&name));
    own.map(str::to_owned).collect()
}

#[test]
fn heads_redirects_and_proxies_are_logged_without_secrets() {
    logs::keep();
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
    drop(client.connect("ws://server.invalid/logged?1").unwrap());
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

#[test]
fn pings_and_pongs_are_logged_apart_from_other_frames() {
    logs::keep();
    let handler = |ws: &Connection| ws.recv().map(drop);
    let server = plainws::Server::builder(handler).listen("127.0.0.1:0");
    let server = server.start().unwrap();
    let ws = plainws::connect(&format!("ws://{}/", server.local_addr())).unwrap();
    ws.ping().unwrap();
    let name = format!("ws-client-{} ", ws.id());
    let directions = wait_until("a ping and a pong in the log", PATIENCE, || {
        // Receiving is what sees the answer.
        assert_eq!(ws.recv_timeout(Duration::from_millis(10)).unwrap(), None);
        let mut lines = logs::lines();
        lines.retain(|line| line.target == "plainws::keepalive");
        let own = lines
            .iter()
            .filter_map(|line| line.text.strip_prefix(&name));
        let own: Vec<String> = own.map(|text| text[..6].to_owned()).collect();
        (own.len() >= 2).then_some(own)
    });
    assert_eq!(directions, ["> PING", "< PONG"]);
}
