//! SOCKS 5 proxies.

use super::*;

fn client(proxy: &Peer, login: &str) -> ClientBuilder {
    let url = format!("socks5h://{login}{}", proxy.address);
    Client::builder().close_timeout(Duration::ZERO).proxy(&*url)
}

/// Takes the request for `name`, and answers with a code and an address.
fn request(caller: &mut Caller, name: &str, port: u16, answer: &[u8]) {
    let mut expected = vec![5, 1, 0, 3, name.len() as u8];
    expected.extend_from_slice(name.as_bytes());
    expected.extend_from_slice(&port.to_be_bytes());
    let mut asked = vec![0; expected.len()];
    caller.stream.read_exact(&mut asked).unwrap();
    assert_eq!(asked, expected);
    caller.say(answer);
}

const BOUND_V4: [u8; 10] = [5, 0, 0, 1, 127, 0, 0, 1, 0, 80];

#[test]
fn a_server_is_reached_through_a_socks_proxy_that_resolves_its_name() {
    let mut v6 = vec![5, 0, 0, 4];
    v6.extend_from_slice(&[0; 18]);
    for bound in [
        BOUND_V4.to_vec(),
        v6,
        b"\x05\0\0\x03\x04name\0\x50".to_vec(),
    ] {
        let proxy = Peer::new(move |caller, _| {
            assert_eq!(caller.take(), [5, 1, 0]);
            caller.say([5, 0]);
            request(caller, "server.invalid", 81, &bound);
            caller.upgrade();
            caller.wait_end();
        });
        let ws = client(&proxy, "")
            .connect("ws://server.invalid:81/a")
            .unwrap();
        assert_eq!(ws.peer_addr().to_string(), proxy.address.to_string());
        assert_eq!(header(&proxy.heads()[0], "Host"), Some("server.invalid:81"));
    }
}

#[test]
fn a_socks_proxy_is_told_name_and_password_if_it_wants_them() {
    for wants in [true, false] {
        let proxy = Peer::new(move |caller, _| {
            assert_eq!(caller.take(), [5, 2, 0, 2]);
            caller.say([5, if wants { 2 } else { 0 }]);
            if wants {
                assert_eq!(&caller.take::<11>(), b"\x01\x03bob\x05p@ss:");
                caller.say([1, 0]);
            }
            request(caller, "h", 80, &BOUND_V4);
            caller.upgrade();
            caller.wait_end();
        });
        drop(client(&proxy, "bob:p%40ss%3a@").connect("ws://h/").unwrap());
    }
}

/// The error that a proxy with these answers, one after each message of ours, leads to.
#[track_caller]
fn error(login: &str, answers: &'static [&'static [u8]]) -> Error {
    let proxy = Peer::new(move |caller, _| {
        for answer in answers {
            // A message at a time, whatever it says.
            let mut buffer = [0; 512];
            assert_ne!(caller.stream.read(&mut buffer).unwrap(), 0);
            caller.say(answer);
        }
        caller.wait_end();
    });
    let error = fails(client(&proxy, login).connect("ws://h/"));
    let name = format!("the proxy socks5h://{}", proxy.address);
    let text = error.to_string();
    assert!(text.contains(&name) && !text.contains("secret"), "{text}");
    error
}

#[test]
fn what_a_socks_proxy_refuses_is_told_in_words() {
    let codes: [(&'static [&'static [u8]], &str, bool); 9] = [
        (&[&[5, 0], &[5, 1, 0, 1]], "general failure", true),
        (&[&[5, 0], &[5, 2, 0, 1]], "its rules forbid it", false),
        (&[&[5, 0], &[5, 3, 0, 1]], "network unreachable", true),
        (
            &[&[5, 0], &[5, 4, 0, 1]],
            "host unreachable, or no such name",
            true,
        ),
        (&[&[5, 0], &[5, 5, 0, 1]], "connection refused", true),
        (&[&[5, 0], &[5, 6, 0, 1]], "too many hops", true),
        (
            &[&[5, 0], &[5, 7, 0, 1]],
            "does not know the command",
            false,
        ),
        (
            &[&[5, 0], &[5, 8, 0, 1]],
            "does not know this kind of address",
            true,
        ),
        (&[&[5, 0], &[5, 99, 0, 1]], "unknown code 99", false),
    ];
    for (answers, words, may_pass) in codes {
        let error = error("", answers);
        let text = error.to_string();
        assert!(
            text.contains(words) && text.contains("does not connect to h:80"),
            "{text}"
        );
        assert_eq!(matches!(error, Error::Io { .. }), may_pass, "{text}");
    }
}

#[test]
fn a_login_that_a_socks_proxy_does_not_take_is_told() {
    let cases: [(&str, &'static [&'static [u8]], &str); 4] = [
        ("", &[&[5, 0xff]], "put name and password into its URL"),
        ("ada:secret@", &[&[5, 0xff]], "another kind of login"),
        (
            "ada:secret@",
            &[&[5, 2], &[1, 1]],
            "does not accept this name and password",
        ),
        ("", &[&[5, 2]], "was not offered"),
    ];
    for (login, answers, why) in cases {
        let error = error(login, answers);
        assert!(matches!(error, Error::Handshake { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_socks_proxy_that_lies_is_an_error() {
    let cases: [(&'static [&'static [u8]], &str); 4] = [
        (&[&[4, 0]], "not SOCKS 5"),
        (
            &[b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            "HTTP; write http://",
        ),
        (&[&[5, 1]], "was not offered"),
        (&[&[5, 0], &[5, 0, 0, 9]], "an address of no kind"),
    ];
    for (answers, why) in cases {
        let error = error("", answers);
        assert!(matches!(error, Error::Handshake { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_socks_proxy_that_hangs_or_goes_is_named() {
    // In the middle of an answer.
    let silent = Peer::new(|caller, _| {
        caller.say([5]);
        caller.wait_end();
    });
    let soon = client(&silent, "").open_timeout(Duration::from_millis(500));
    let error = fails(soon.connect("ws://h/"));
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    let text = format!(
        "no answer from the proxy socks5h://{} within 500ms",
        silent.address
    );
    assert_eq!(error.to_string(), text);

    let gone = Peer::new(|caller, _| {
        let _ = caller.take::<3>();
    });
    let error = fails(client(&gone, "").connect("ws://h/"));
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn socks5_without_h_resolves_names_here_and_tries_each_address() {
    // Refuses all but the last address of localhost, which may have one or two.
    let addresses = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 80));
    let count = addresses.unwrap().count();
    let proxy = Peer::new(move |caller, number| {
        assert_eq!(caller.take(), [5, 1, 0]);
        caller.say([5, 0]);
        let [version, command, _, kind] = caller.take();
        assert_eq!((version, command), (5, 1));
        match kind {
            1 => assert_eq!(caller.take(), [127, 0, 0, 1, 0, 80]),
            4 => assert_eq!(caller.take::<18>()[15..], [1, 0, 80]),
            kind => panic!("an address of kind {kind}"),
        }
        if number + 1 < count {
            caller.say([5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
            return;
        }
        caller.say(BOUND_V4);
        caller.upgrade();
        caller.wait_end();
    });
    let url = format!("socks5://{}", proxy.address);
    let client = client(&proxy, "").proxy(&*url);
    drop(client.connect("ws://localhost/").unwrap());
    let text = fails(client.connect("ws://name.invalid/")).to_string();
    assert!(text.starts_with("cannot resolve name.invalid: "), "{text}");
}
