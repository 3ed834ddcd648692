//! HTTP proxies, and which proxy the environment names.

use std::process::Command;

use super::*;

const CONNECTED: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// A client of this proxy, with `NAME:PASSWORD@` or without.
fn through(proxy: &Peer, login: &str) -> ClientBuilder {
    client().proxy(&*format!("http://{login}{}", proxy.address))
}

/// A proxy that answers like this, and is the server behind itself.
fn proxy(answer: &'static str) -> Peer {
    Peer::answering(move |_| [answer, UPGRADE])
}

#[test]
fn a_server_is_reached_through_an_http_proxy() {
    // Names and addresses that only the proxy knows.
    let rows = [
        ("200 Connection established\r\n", "server.invalid", ""),
        ("200 OK\r\nProxy-Agent: x\r\n", "server.invalid:81", ""),
        ("204 x\r\nContent-Length: 5\r\n", "[2001:db8::1]:81", ""),
        ("200 OK\r\n", "h", "b%6Fb:p%40ss@"),
    ];
    for ((answer, host, login), version) in rows.into_iter().zip([1, 0, 1, 1]) {
        let answer = format!("HTTP/1.{version} {answer}\r\n");
        let proxy = Peer::answering(move |_| [answer.clone(), UPGRADE.to_owned()]);
        let client = through(&proxy, login);
        let ws = client.connect(&format!("ws://ada:1@{host}/a?b")).unwrap();
        assert_eq!(ws.peer_addr().to_string(), proxy.address.to_string());
        let at = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let mut connect = format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n");
        if !login.is_empty() {
            connect += "Proxy-Authorization: Basic Ym9iOnBAc3M=\r\n";
        }
        let heads = proxy.heads();
        assert_eq!(heads[0], connect + "\r\n");
        told(
            &heads[1],
            &format!("GET /a?b HTTP/1.1\r\nHost: {host}\r\n"),
            "",
        );
        assert_eq!(header(&heads[1], "Authorization"), Some("Basic YWRhOjE="));
        assert_eq!(header(&heads[1], "Proxy-Authorization"), None);
    }
}

#[test]
fn a_proxy_that_refuses_is_told_apart_from_the_server() {
    let login = "407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno";
    let wanted = "put NAME:PASSWORD@ into its URL): no";
    // A redirect is not followed: a proxy must not lead anywhere else.
    for (name, answer, end) in [
        ("", login, wanted),
        ("ada:secret@", login, wanted),
        ("", "503 x\r\nContent-Length: 3\r\n\r\nbad", " 503: bad"),
        ("", &redirect("/")[9..], "HTTP 302"),
    ] {
        let proxy = Peer::saying(format!("HTTP/1.0 {answer}"));
        let url = format!("http://{}", proxy.address);
        let error = through(&proxy, name).connect("ws://h/").unwrap_err();
        let text = error.to_string();
        told(&text, &format!("the proxy {url} answered HTTP "), end);
        assert!(!text.contains("secret"), "{text}");
        let Error::Refused(refused) = error else {
            panic!("{text}")
        };
        assert_eq!(refused.status.to_string(), answer[..3]);
        assert_eq!(refused.proxy, Some(url));
        let heads = proxy.heads();
        let sent = header(&heads[0], "Proxy-Authorization").is_some();
        assert_eq!((heads.len(), sent), (1, !name.is_empty()), "{text}");
    }
}

#[test]
fn a_proxy_that_lies_hangs_or_goes_is_named() {
    let more = format!("{CONNECTED}HTTP/1.1 101 x");
    let endless = Peer::new(|caller, _| {
        caller.answer("HTTP/1.1 200 OK\r\n");
        while caller.say("X: y\r\n".repeat(100)) {}
    });
    for (proxy, kind, why) in [
        (Peer::saying(more), "Handshake", "sent more than an answer"),
        (Peer::saying(status(101)), "Refused", "answered HTTP 101"),
        (Peer::saying("\x05\0"), "Handshake", "is not HTTP/1.1"),
        (Peer::saying("\x15\x03\x01"), "Handshake", "or https://"),
        (endless, "Handshake", "limit of"),
        (Peer::silent(), "TimedOut", " within 700ms"),
        (
            Peer::new(|caller, _| drop(caller.head())),
            "Io",
            "no answer from",
        ),
    ] {
        let client = through(&proxy, "").open_timeout(match kind {
            "TimedOut" => Duration::from_millis(700),
            _ => PATIENCE,
        });
        let text = failure(client.connect("ws://h/"));
        let named = text.contains(&format!("the proxy http://{}", proxy.address));
        let expected = text.starts_with(&format!("{kind}: ")) && text.contains(why);
        assert!(named && expected, "{text:.300}, not: {kind}, {why}");
    }
    // The server behind it has what is left of the time.
    let proxy = Peer::saying(CONNECTED);
    let soon = through(&proxy, "").open_timeout(Duration::from_millis(700));
    let text = failure(soon.connect("ws://h/"));
    assert_eq!(text, "TimedOut: no answer from h:80 within 700ms");
}

#[test]
fn a_proxy_that_cannot_be_found_is_named_without_its_login() {
    for (scheme, start) in [
        ("http", "Io: cannot resolve proxy.invalid: "),
        (
            "ftp",
            "Invalid: 'ftp://...@proxy.invalid:3128' is no URL of a proxy",
        ),
    ] {
        let proxy = format!("{scheme}://ada:secret@proxy.invalid:3128");
        told(
            &failure(client().proxy(&*proxy).connect("ws://h/")),
            start,
            "",
        );
    }
    // None is the direct way.
    let peer = Peer::saying(UPGRADE);
    let client = client().proxy("http://proxy.invalid").proxy(None);
    drop(client.connect(&peer.url("/")).unwrap());
}

/// Set where this test runs as a child of itself, with an environment of its own; it connects to
/// these, each through what the environment says.
const CHILD: &str = "PLAINWS_TEST_CONNECT";

#[test]
fn the_environment_names_a_proxy_when_it_is_asked() {
    if let Ok(urls) = std::env::var(CHILD) {
        let client = client().proxy_from_env();
        return urls
            .split(' ')
            .for_each(|url| drop(client.connect(url).expect(url)));
    }
    // The redirect leads to where no proxy is wanted.
    let direct = Peer::saying(UPGRADE);
    let location = redirect(&direct.url("/direct"));
    let redirecting = Peer::answering(move |_| [CONNECTED.to_owned(), location.clone()]);
    for proxy in [&proxy(CONNECTED), &redirecting] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let name = "client::proxies::the_environment_names_a_proxy_when_it_is_asked";
        child.args(["--exact", name]);
        child.env(CHILD, format!("ws://server.invalid/ {}", direct.url("/")));
        for name in ["ws", "WS", "http", "https", "NO"] {
            let suffix = if name == name.to_lowercase() {
                "_proxy"
            } else {
                "_PROXY"
            };
            child.env_remove(name.to_owned() + suffix);
        }
        child.env_remove("REQUEST_METHOD");
        child.env("HTTP_PROXY", format!("http://{}", proxy.address));
        child.env("no_proxy", "example.com,127.0.0.0/8");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert_eq!(proxy.heads().len(), 2, "{:?}", proxy.heads());
    }
    let asked = direct.heads();
    let asked: Vec<_> = asked
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(asked, ["/", "/direct", "/"]);
}
