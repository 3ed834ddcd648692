//! What the client logs of an opening handshake, and that it holds no secret.

use super::*;
use crate::support::logs;

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
    let note = "Set-Cookie: secret\r\nX-Note: \x1b[31m\u{e9}";
    let there = Peer::saying(upgrade_with(note));
    let location = there.url("/logged?2").replace("//", "//bob:secret@");
    let location = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\n\r\n");
    let proxy = Peer::answering(move |number| {
        let behind = [&location, UPGRADE][number];
        ["HTTP/1.1 200 OK\r\n\r\n".to_owned(), behind.to_owned()]
    });
    let url = format!("http://ada:secret@{}", proxy.address);
    let client = client().proxy(&*url).header("Cookie", "secret");
    let client = client.basic_auth("ada", "secret");
    drop(client.connect("ws://server.invalid/logged?1").unwrap());
    let mut lines = lines("/logged?1");
    let is_key = |line: &String| line.contains("Sec-WebSocket-") || line.contains("Basic ");
    lines.retain(|line| !is_key(line));
    let (proxy, there) = (proxy.address, there.address);
    let expected = format!(
        "through the proxy http://{proxy}
> CONNECT server.invalid:80 HTTP/1.1
> Host: server.invalid:80
> Proxy-Authorization: ...
< HTTP/1.1 200 OK
> GET /logged?1 HTTP/1.1
> Host: server.invalid
> Upgrade: websocket
> Connection: Upgrade
> Cookie: ...
> Authorization: ...
< HTTP/1.1 302 Found
< location: ws://...@{there}/logged?2
redirected to ws://{there}/logged?2
through the proxy http://{proxy}
> CONNECT {there} HTTP/1.1
> Host: {there}
> Proxy-Authorization: ...
< HTTP/1.1 200 OK
> GET /logged?2 HTTP/1.1
> Host: {there}
> Upgrade: websocket
> Connection: Upgrade
> Authorization: ...
< HTTP/1.1 101 Switching Protocols
< Upgrade: websocket
< Connection: Upgrade"
    );
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
}
