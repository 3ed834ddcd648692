//! Redirects: how far they are followed, and what goes along. Where a location leads is tested in
//! `target.rs`.

use super::*;

/// Redirects to what `next` says of the connection's number, or opens the connection.
fn redirecting(next: impl Fn(usize) -> Option<String> + Send + 'static) -> Peer {
    let answer = move |number| next(number).map_or(UPGRADE.into(), |to| redirect(&to));
    Peer::answering(move |number| [answer(number)])
}

fn always(location: &str) -> Peer {
    let location = location.to_owned();
    redirecting(move |_| Some(location.clone()))
}

/// The targets of the requests.
fn paths(peer: &Peer) -> Vec<String> {
    let heads = peer.heads();
    let target = |head: &String| head.split(' ').nth(1).unwrap().to_owned();
    heads.iter().map(target).collect()
}

#[test]
fn each_status_of_a_redirect_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} x\r\nlocation: /there\r\n\r\n");
        let peer = Peer::answering(move |number| [[&answer, UPGRADE][number].to_owned()]);
        let ws = client().connect(&peer.url("/here")).expect("a redirect");
        assert_eq!(ws.request().target(), "/there");
        assert_eq!(paths(&peer), ["/here", "/there"], "{status}");
    }
}

#[test]
fn a_relative_redirect_stays_at_the_server_with_all_that_it_was_told() {
    let peer = redirecting(|number| (number == 0).then(|| "../c?d".to_owned()));
    let client = client().header("Cookie", "a=b").subprotocols(["chat"]);
    let url = peer.url("/a/b/x").replace("//", "//ada:1@");
    drop(client.connect(&url).unwrap());
    assert_eq!(paths(&peer), ["/a/b/x", "/a/c?d"]);
    let heads = peer.heads();
    let both = |name| [0, 1].map(|number: usize| header(&heads[number], name));
    for name in ["Authorization", "Cookie", "Host", "Sec-WebSocket-Protocol"] {
        let [first, second] = both(name);
        assert!(first.is_some() && first == second, "{name}: {second:?}");
    }
    // RFC 6455, section 4.1: a key for each connection.
    let [first, second] = both("Sec-WebSocket-Key");
    assert_ne!(first, second);
}

#[test]
fn as_many_redirects_are_followed_as_the_limit_says() {
    let next = |number: usize| format!("/{}", number + 1);
    let peer = redirecting(move |number| (number < 10).then(|| next(number)));
    drop(client().connect(&peer.url("/0")).unwrap());
    assert_eq!(paths(&peer).len(), 11);
    for (limit, requests) in [(None, 11), (Some(3), 4)] {
        let peer = redirecting(move |number| Some(next(number)));
        let set = limit
            .into_iter()
            .fold(client(), ClientBuilder::max_redirects);
        let (most, last) = (requests - 1, peer.url(&format!("/{requests}")));
        let expected = format!("Handshake: more than {most} redirects, the last one to {last}");
        fails(set.connect(&peer.url("/0")), &expected);
        assert_eq!(paths(&peer).len(), requests);
    }
    let none = client().max_redirects(0);
    fails(none.connect(&always("/").url("/")), "Refused: *HTTP 302");
}

#[test]
fn credentials_do_not_go_along_to_another_server() {
    let there = redirecting(|number| (number == 0).then(|| "/2".to_owned()));
    let here = always(&there.url("/1"));
    let secret = ["Authorization", "cookie", "Proxy-Authorization"];
    let mut client = client().header("X-Other", "stays");
    for name in secret {
        client = client.header(name, "secret");
    }
    drop(client.connect(&here.url("/")).unwrap());
    let first = &here.heads()[0];
    assert_eq!(secret.map(|name| header(first, name)), [Some("secret"); 3]);
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
        let there = always(&format!("ws://{}/back", listener.local_addr().unwrap()));
        let answers = [redirect(&there.url("/there")), UPGRADE.to_owned()];
        let here = Peer::at(listener, move |caller, number| {
            caller.answer(&answers[number]);
        });
        let (client, url) = match by_call {
            true => (client().basic_auth("ada", "1"), here.url("/")),
            false => (client(), here.url("/").replace("//", "//ada:1@")),
        };
        drop(client.connect(&url).unwrap());
        let heads = [&here.heads()[0], &there.heads()[0], &here.heads()[1]];
        let logins = heads.map(|head| header(head, "Authorization"));
        let expected = [Some("Basic YWRhOjE="), None, None];
        assert_eq!(logins, expected, "by a call: {by_call}");
    }
}

#[test]
fn the_body_of_a_redirect_is_not_waited_for() {
    let peer = Peer::new(|caller, number| {
        if number > 0 {
            return caller.upgrade();
        }
        caller.answer("HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 999999999\r\n\r\n");
        while caller.say([0; 1000]) {}
    });
    drop(client().connect(&peer.url("/")).unwrap());
}

#[test]
fn all_redirects_together_have_one_deadline() {
    let peer = Peer::new(|caller, _| {
        caller.head();
        // Each takes a while, and none too long.
        caller.0.ends_within(Duration::from_millis(100));
        caller.say(redirect("/"));
    });
    let start = Instant::now();
    let result = impatient().max_redirects(1000).connect(&peer.url("/"));
    took_less_than(20, start);
    fails(result, "TimedOut: *");
}
