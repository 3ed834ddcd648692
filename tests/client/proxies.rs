//! HTTP proxies, and which proxy the environment names.

use std::process::Command;

use super::*;

fn client(proxy: &Peer) -> ClientBuilder {
    let url = format!("http://{}", proxy.address);
    Client::builder().close_timeout(Duration::ZERO).proxy(&*url)
}

/// A proxy that answers like this, and is the server behind itself.
fn proxy(answer: &'static str) -> Peer {
    Peer::new(move |caller, _| {
        caller.head();
        caller.say(answer);
        caller.upgrade();
        caller.wait_end();
    })
}

/// A proxy that does not connect.
fn refusing(answer: &'static str) -> Peer {
    Peer::new(move |caller, _| {
        caller.head();
        caller.say(answer);
        caller.wait_end();
    })
}

#[test]
fn a_server_is_reached_through_an_http_proxy() {
    for answer in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
        "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n",
    ] {
        let proxy = proxy(answer);
        // A name that only the proxy knows.
        let ws = client(&proxy)
            .connect("ws://ada:1@server.invalid/a?b")
            .unwrap();
        assert_eq!(ws.peer_addr().to_string(), proxy.address.to_string());
        let heads = proxy.heads();
        let connect = "CONNECT server.invalid:80 HTTP/1.1\r\nHost: server.invalid:80\r\n\r\n";
        assert_eq!(heads[0], connect);
        assert!(heads[1].starts_with("GET /a?b HTTP/1.1\r\nHost: server.invalid\r\n"));
        assert_eq!(header(&heads[1], "Authorization"), Some("Basic YWRhOjE="));
    }
}

#[test]
fn an_ipv6_address_keeps_its_brackets_in_what_a_proxy_is_told() {
    let proxy = proxy("HTTP/1.1 200 OK\r\n\r\n");
    drop(client(&proxy).connect("ws://[2001:db8::1]:81/").unwrap());
    assert!(proxy.heads()[0].starts_with("CONNECT [2001:db8::1]:81 HTTP/1.1\r\n"));
}

#[test]
fn a_proxy_is_told_its_login_and_the_server_is_not() {
    let proxy = proxy("HTTP/1.1 200 OK\r\n\r\n");
    let url = format!("http://b%6Fb:p%40ss@{}/", proxy.address);
    drop(client(&proxy).proxy(&*url).connect("ws://h/").unwrap());
    let heads = proxy.heads();
    let basic = Some("Basic Ym9iOnBAc3M=");
    assert_eq!(header(&heads[0], "Proxy-Authorization"), basic);
    assert!(!heads[1].contains("Authorization"), "{}", heads[1]);
}

#[test]
fn a_proxy_that_refuses_is_told_apart_from_the_server() {
    let wants_login = "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno";
    for (login, answer, status, more) in [
        ("", wants_login, 407, "put NAME:PASSWORD@ into its URL): no"),
        (
            "ada:secret@",
            wants_login,
            407,
            "put NAME:PASSWORD@ into its URL): no",
        ),
        (
            "",
            "HTTP/1.0 503 x\r\nContent-Length: 3\r\n\r\nbad",
            503,
            "HTTP 503: bad",
        ),
        // Not to be followed: a proxy must not lead anywhere else.
        (
            "",
            "HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            302,
            "HTTP 302",
        ),
    ] {
        let proxy = refusing(answer);
        let url = format!("http://{login}{}", proxy.address);
        let error = fails(client(&proxy).proxy(&*url).connect("ws://h/"));
        let text = error.to_string();
        let start = format!("the proxy http://{} answered HTTP {status}", proxy.address);
        assert!(text.starts_with(&start) && text.ends_with(more), "{text}");
        assert!(!text.contains("secret"), "{text}");
        match error {
            Error::Refused(refused) => {
                let name = format!("http://{}", proxy.address);
                assert_eq!((refused.status, refused.proxy), (status, Some(name)));
            }
            error => panic!("{error}"),
        }
        let login_sent = header(&proxy.heads()[0], "Proxy-Authorization").is_some();
        assert_eq!(login_sent, !login.is_empty());
        assert_eq!(proxy.heads().len(), 1, "asked once");
    }
}

#[test]
fn a_proxy_that_lies_is_an_error() {
    for (answer, why) in [
        (
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 x",
            "sent more than an answer",
        ),
        ("HTTP/1.1 101 x\r\n\r\n", "answered HTTP 101"),
        ("\x05\x00", "is not HTTP/1.1"),
        ("\x15\x03\x01", "TLS; write wss:// or https://"),
    ] {
        let proxy = refusing(answer);
        let text = fails(client(&proxy).connect("ws://h/")).to_string();
        assert!(text.contains(why), "{text}");
        assert!(
            text.contains(&format!("the proxy http://{}", proxy.address)),
            "{text}"
        );
    }
}

#[test]
fn a_proxy_that_hangs_or_goes_is_named() {
    let silent = Peer::new(|caller, _| caller.wait_end());
    let soon = client(&silent).open_timeout(Duration::from_millis(1000));
    let error = fails(soon.connect("ws://h/"));
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    let text = format!(
        "no answer from the proxy http://{} within 1s",
        silent.address
    );
    assert_eq!(error.to_string(), text);

    let gone = Peer::new(|caller, _| drop(caller.head()));
    let error = fails(client(&gone).connect("ws://h/"));
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let text = format!("no answer from the proxy http://{}: ", gone.address);
    assert!(error.to_string().starts_with(&text), "{error}");

    let endless = Peer::new(|caller, _| {
        caller.head();
        caller.say("HTTP/1.1 200 OK\r\n");
        while caller.say("X: y\r\n".repeat(100)) {}
    });
    let error = fails(client(&endless).connect("ws://h/"));
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
    assert!(error.to_string().contains("limit of"), "{error}");
}

#[test]
fn the_server_behind_a_proxy_has_what_is_left_of_the_time() {
    let proxy = refusing("HTTP/1.1 200 OK\r\n\r\n");
    let soon = client(&proxy).open_timeout(Duration::from_millis(1000));
    let error = fails(soon.connect("ws://h/"));
    assert_eq!(error.to_string(), "no answer from h:80 within 1s");
}

#[test]
fn a_proxy_that_cannot_be_found_is_named_without_its_login() {
    let client = Client::builder().proxy("http://ada:secret@proxy.invalid:3128");
    let text = fails(client.connect("ws://h/")).to_string();
    assert!(text.starts_with("cannot resolve proxy.invalid: "), "{text}");
    let text = fails(
        Client::builder()
            .proxy("ftp://ada:secret@p")
            .connect("ws://h/"),
    )
    .to_string();
    assert!(
        text.contains("'ftp://...@p' is no URL of a proxy"),
        "{text}"
    );
}

#[test]
fn none_is_the_direct_way() {
    let peer = Peer::saying(format!("{UPGRADE}\r\n"));
    let client = Client::builder().proxy("http://proxy.invalid").proxy(None);
    drop(
        client
            .close_timeout(Duration::ZERO)
            .connect(&peer.url("/"))
            .unwrap(),
    );
}

/// Set where this test runs as a child of itself, with an environment of its own; it connects to
/// these, each through what the environment says.
const CHILD: &str = "PLAINWS_TEST_CONNECT";

#[test]
fn the_environment_names_a_proxy_when_it_is_asked() {
    if let Ok(urls) = std::env::var(CHILD) {
        let client = Client::builder().close_timeout(Duration::ZERO);
        let client = client.proxy_from_env();
        for url in urls.split(' ') {
            drop(client.connect(url).expect(url));
        }
        return;
    }
    let proxy = proxy("HTTP/1.1 200 OK\r\n\r\n");
    // The redirect leads to where no proxy is wanted.
    let direct = Peer::saying(format!("{UPGRADE}\r\n"));
    let location = direct.url("/direct");
    let redirecting = Peer::new(move |caller, _| {
        caller.head();
        caller.say("HTTP/1.1 200 OK\r\n\r\n");
        caller.head();
        caller.say(format!("HTTP/1.1 302 x\r\nLocation: {location}\r\n\r\n"));
    });
    for (first, proxied) in [
        ("ws://server.invalid/", &proxy),
        ("ws://other.invalid/", &redirecting),
    ] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "client::proxies::the_environment_names_a_proxy_when_it_is_asked",
        ]);
        child.env(CHILD, format!("{first} {}", direct.url("/")));
        for name in [
            "ws_proxy",
            "WS_PROXY",
            "http_proxy",
            "https_proxy",
            "NO_PROXY",
        ] {
            child.env_remove(name);
        }
        child.env("HTTP_PROXY", format!("http://{}", proxied.address));
        child
            .env_remove("REQUEST_METHOD")
            .env("no_proxy", "example.com,127.0.0.0/8");
        let output = child.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert_eq!(proxied.heads().len(), 2, "{:?}", proxied.heads());
    }
    let asked: Vec<_> = direct
        .heads()
        .iter()
        .map(|head| head.lines().next().unwrap().to_owned())
        .collect();
    let expected = ["GET / HTTP/1.1", "GET /direct HTTP/1.1", "GET / HTTP/1.1"];
    assert_eq!(asked, expected);
}
