//! Redirects: where they lead, how far, and what goes along.

use super::*;

/// Redirects to what `next` says of the connection's number, or opens the connection.
fn redirecting(next: impl Fn(usize) -> Option<String> + Send + 'static) -> Peer {
    Peer::new(move |caller, number| match next(number) {
        None => {
            caller.upgrade();
            caller.wait_end();
        }
        Some(location) => {
            caller.head();
            caller.say(format!(
                "HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n"
            ));
            caller.wait_end();
        }
    })
}

fn client() -> ClientBuilder {
    Client::builder().close_timeout(Duration::ZERO)
}

/// First lines of the requests.
fn paths(peer: &Peer) -> Vec<String> {
    let heads = peer.heads();
    let lines = heads.iter().map(|head| head.lines().next().unwrap());
    let strip = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    lines.map(strip).collect()
}

#[test]
fn each_status_of_a_redirect_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let peer = Peer::new(move |caller, number| {
            if number > 0 {
                return caller.upgrade();
            }
            caller.head();
            caller.say(format!("HTTP/1.1 {status} x\r\nlocation: /there\r\n\r\n"));
        });
        let ws = client().connect(&peer.url("/here")).expect("a redirect");
        assert_eq!(ws.request().target(), "/there");
        assert_eq!(paths(&peer), ["/here", "/there"], "{status}");
    }
}

#[test]
fn a_relative_redirect_stays_at_the_server_with_all_that_it_was_told() {
    let peer = redirecting(|number| (number == 0).then(|| "../c?d".to_owned()));
    let client = client().header("Cookie", "a=b").subprotocols(["chat"]);
    drop(
        client
            .connect(&peer.url("/a/b/x").replace("//", "//ada:1@"))
            .unwrap(),
    );
    assert_eq!(paths(&peer), ["/a/b/x", "/a/c?d"]);
    let heads = peer.heads();
    for name in ["Authorization", "Cookie", "Host", "Sec-WebSocket-Protocol"] {
        let values = [0, 1].map(|n: usize| header(&heads[n], name));
        assert!(
            values[0].is_some() && values[0] == values[1],
            "{name}: {values:?}"
        );
    }
    // RFC 6455, section 4.1: a key for each connection.
    let keys = [0, 1].map(|n: usize| header(&heads[n], "Sec-WebSocket-Key"));
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn ten_redirects_are_followed_and_the_eleventh_is_not() {
    let peer = redirecting(|number| (number < 10).then(|| format!("/{}", number + 1)));
    drop(client().connect(&peer.url("/0")).unwrap());
    assert_eq!(paths(&peer).len(), 11);

    let peer = redirecting(|number| Some(format!("/{}", number + 1)));
    let error = fails(client().connect(&peer.url("/0")));
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
    let text = format!(
        "more than 10 redirects, the last one to {}",
        peer.url("/11")
    );
    assert_eq!(error.to_string(), text);
    assert_eq!(paths(&peer).len(), 11);
}

#[test]
fn a_redirect_in_a_circle_comes_to_an_end() {
    let peer = redirecting(|_| Some("/".to_owned()));
    let error = fails(client().max_redirects(3).connect(&peer.url("/")));
    assert!(
        error.to_string().contains("more than 3 redirects"),
        "{error}"
    );
    assert_eq!(paths(&peer).len(), 4);
}

#[test]
fn with_no_redirects_allowed_one_is_a_refusal() {
    let peer = redirecting(|_| Some("/".to_owned()));
    match fails(client().max_redirects(0).connect(&peer.url("/"))) {
        Error::Refused(refused) => assert_eq!(refused.status, 302),
        error => panic!("{error}"),
    }
}

#[test]
fn credentials_do_not_go_along_to_another_server() {
    let there = redirecting(|number| (number == 0).then(|| "/2".to_owned()));
    let location = there.url("/1");
    let here = redirecting(move |_| Some(location.clone()));
    let told = [
        ("Authorization", "secret"),
        ("cookie", "secret"),
        ("Proxy-Authorization", "secret"),
        ("X-Other", "stays"),
    ];
    let with_headers = told
        .iter()
        .fold(client(), |c, (name, value)| c.header(*name, *value));
    drop(with_headers.connect(&here.url("/")).unwrap());
    let told_here = here.heads();
    assert!(
        told.iter()
            .all(|(name, value)| header(&told_here[0], name) == Some(value))
    );
    assert_eq!(paths(&there), ["/1", "/2"]);
    for head in there.heads() {
        assert!(!head.contains("secret"), "{head}");
        assert_eq!(header(&head, "X-Other"), Some("stays"));
    }
}

#[test]
fn a_login_does_not_go_along_and_does_not_come_back() {
    for by_call in [true, false] {
        // Here, there, and here again.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let back = format!("ws://{}/back", listener.local_addr().unwrap());
        let there = redirecting(move |_| Some(back.clone()));
        let location = there.url("/there");
        let here = Peer::at(listener, move |caller, number| {
            if number > 0 {
                return caller.upgrade();
            }
            caller.head();
            caller.say(format!("HTTP/1.1 307 x\r\nLocation: {location}\r\n\r\n"));
        });
        let (client, url) = match by_call {
            true => (client().basic_auth("ada", "1"), here.url("/")),
            false => (client(), here.url("/").replace("//", "//ada:1@")),
        };
        drop(client.connect(&url).unwrap());
        assert_eq!(
            header(&here.heads()[0], "Authorization"),
            Some("Basic YWRhOjE=")
        );
        for head in [&there.heads()[0], &here.heads()[1]] {
            assert_eq!(header(head, "Authorization"), None);
        }
    }
}

#[test]
fn a_login_in_the_location_is_used_there() {
    let there = redirecting(|_| None);
    let location = there.url("/").replace("//", "//bob:2@");
    let here = redirecting(move |_| Some(location.clone()));
    drop(
        client()
            .basic_auth("ada", "1")
            .connect(&here.url("/"))
            .unwrap(),
    );
    assert_eq!(
        header(&there.heads()[0], "Authorization"),
        Some("Basic Ym9iOjI=")
    );
}

#[test]
fn the_body_of_a_redirect_is_not_waited_for() {
    let peer = Peer::new(|caller, number| {
        if number > 0 {
            return caller.upgrade();
        }
        caller.head();
        caller.say("HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 999999999\r\n\r\n");
        while caller.say([0; 1000]) {}
    });
    drop(client().connect(&peer.url("/")).unwrap());
}

#[test]
fn a_redirect_that_cannot_be_followed_says_where_it_leads() {
    for location in ["ftp://h/", "https://", "/a b"] {
        let peer = redirecting(move |_| Some(location.to_owned()));
        let error = fails(client().connect(&peer.url("/")));
        assert!(matches!(error, Error::Handshake { .. }), "{error}");
        let told = format!("redirects to '{location}'");
        assert!(error.to_string().contains(&told), "{error}");
    }
}

#[test]
fn all_redirects_together_have_one_deadline() {
    let peer = Peer::new(|caller, _| {
        caller.head();
        // Each takes a while, and none too long.
        caller.is_gone_within(Duration::from_millis(100));
        caller.say("HTTP/1.1 302 x\r\nLocation: /\r\n\r\n");
    });
    let client = client()
        .open_timeout(Duration::from_millis(500))
        .max_redirects(1000);
    let start = Instant::now();
    let error = fails(client.connect(&peer.url("/")));
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}
