//! HTTP proxies, and which proxy the environment names.

use std::process::Command;

use super::*;

const CONNECTED: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// A client of this proxy, with `NAME:PASSWORD@` or without.
fn through(proxy: &Peer, login: &str) -> ClientBuilder {
    client().proxy(&*format!("http://{login}{}", proxy.address))
}

#[test]
fn a_server_is_reached_through_an_http_proxy() {
    // Names and addresses that only the proxy knows.
    for (answer, host, login) in [
        ("1 200 Connection established\r\n", "name.invalid:80", ""),
        ("0 200 OK\r\nProxy-Agent: x\r\n", "name.invalid:81", ""),
        ("1 204 x\r\nContent-Length: 5\r\n", "[2001:db8::1]:81", ""),
        ("1 200 OK\r\n", "h:80", "b%6Fb:p%40ss@"),
    ] {
        let answer = format!("HTTP/1.{answer}\r\n");
        let proxy = Peer::answering(move |_| [answer.clone(), UPGRADE.to_owned()]);
        let client = through(&proxy, login);
        let ws = client.connect(&format!("ws://ada:1@{host}/a?b")).unwrap();
        assert_eq!(ws.peer_addr().to_string(), proxy.address.to_string());
        let mut connect = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n");
        if !login.is_empty() {
            connect += "Proxy-Authorization: Basic Ym9iOnBAc3M=\r\n";
        }
        let heads = proxy.heads();
        assert_eq!(heads[0], connect + "\r\n");
        let host = host.trim_end_matches(":80");
        let get = format!("GET /a?b HTTP/1.1\r\nHost: {host}\r\n");
        assert!(heads[1].starts_with(&get), "{}", heads[1]);
        assert_eq!(header(&heads[1], "Authorization"), Some("Basic YWRhOjE="));
        assert_eq!(header(&heads[1], "Proxy-Authorization"), None);
    }
}

#[test]
fn a_proxy_that_refuses_is_told_apart_from_the_server() {
    let login = "407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno";
    let wanted = "407*put NAME:PASSWORD@ into its URL): no";
    // A redirect is not followed: a proxy must not lead anywhere else.
    for (name, answer, told) in [
        ("", login, wanted),
        ("ada:secret@", login, wanted),
        ("", "503 x\r\nContent-Length: 3\r\n\r\nbad", "503: bad"),
        ("", &redirect("/")[9..], "302"),
    ] {
        let proxy = Peer::saying(format!("HTTP/1.0 {answer}"));
        let url = format!("http://{}", proxy.address);
        let result = through(&proxy, name).connect("ws://h/");
        let named = match &result {
            Err(Error::Refused(refused)) => refused.proxy.clone(),
            _ => None,
        };
        assert_eq!(named.as_ref(), Some(&url));
        let said = format!("Refused: the proxy {url} answered HTTP {told}");
        fails(result, &said);
        let heads = proxy.heads();
        let sent = header(&heads[0], "Proxy-Authorization").is_some();
        assert_eq!((heads.len(), sent), (1, !name.is_empty()), "{told}");
    }
}

#[test]
fn a_proxy_that_lies_hangs_or_goes_is_named() {
    let more = format!("{CONNECTED}HTTP/1.1 101 x");
    let silent = Peer::new(|caller, _| caller.wait_end());
    for (proxy, kind, why) in [
        (Peer::saying(more), "Handshake", "sent more than an answer"),
        (Peer::saying(status(101)), "Refused", "answered HTTP 101"),
        (Peer::saying("\x05\0"), "Handshake", "is not HTTP/1.1"),
        (Peer::saying("\x15\x03\x01"), "Handshake", "or https://"),
        (Peer::endless(), "Handshake", "limit of"),
        (Peer::gone(), "Io: no answer from", ""),
        (silent, "TimedOut", " within 700ms"),
    ] {
        let client = through(&proxy, "").open_timeout(match kind {
            "TimedOut" => Duration::from_millis(700),
            _ => PATIENCE,
        });
        let told = format!("{kind}*the proxy http://{}*{why}*", proxy.address);
        fails(client.connect("ws://h/"), &told);
    }
    // The server behind it has what is left of the time.
    let proxy = Peer::saying(CONNECTED);
    let soon = through(&proxy, "").open_timeout(Duration::from_millis(700));
    let told = "TimedOut: no answer from h:80 within 700ms";
    fails(soon.connect("ws://h/"), told);
}

#[test]
fn a_proxy_that_cannot_be_found_is_named_without_its_login() {
    for (url, told) in [
        ("http://P.invalid:1", "Io: cannot resolve p.invalid: *"),
        ("ftp://P", "Invalid: *'ftp://...@p' is no URL of a proxy*"),
    ] {
        let url = url.replace('P', "ada:secret@p");
        fails(client().proxy(&*url).connect("ws://h/"), told);
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
        for url in urls.split(' ') {
            drop(client.connect(url).expect(url));
        }
        return;
    }
    // The redirect leads to where no proxy is wanted.
    let direct = Peer::saying(UPGRADE);
    let location = redirect(&direct.url("/direct"));
    let redirecting = Peer::answering(move |_| [CONNECTED.to_owned(), location.clone()]);
    let proxy = Peer::answering(|_| [CONNECTED, UPGRADE]);
    for proxy in [&proxy, &redirecting] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let name = "client::proxies::the_environment_names_a_proxy_when_it_is_asked";
        child.args(["--exact", name]);
        child.env(CHILD, format!("ws://server.invalid/ {}", direct.url("/")));
        for scheme in ["ws", "http", "https", "no"] {
            child.env_remove(format!("{scheme}_proxy"));
            child.env_remove(format!("{scheme}_proxy").to_uppercase());
        }
        child.env_remove("REQUEST_METHOD");
        child.env("HTTP_PROXY", format!("http://{}", proxy.address));
        child.env("no_proxy", "example.com,127.0.0.0/8");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert_eq!(proxy.heads().len(), 2, "{:?}", proxy.heads());
    }
    let heads = direct.heads();
    let asked = heads.iter().map(|head| head.split(' ').nth(1).unwrap());
    assert_eq!(asked.collect::<Vec<_>>(), ["/", "/direct", "/"]);
}
