//! SOCKS 5 proxies.

use super::*;

fn through(proxy: &Peer, login: &str) -> ClientBuilder {
    client().proxy(&*format!("socks5h://{login}{}", proxy.address))
}

/// A proxy that resolves names: the greeting it awaits, its answer, and so on up to the address it has
/// bound. Then it is the server.
fn socks(talk: Vec<(Vec<u8>, Vec<u8>)>) -> Peer {
    Peer::new(move |caller, _| {
        for (expected, answer) in &talk {
            let mut asked = vec![0; expected.len()];
            caller.stream.read_exact(&mut asked).unwrap();
            assert_eq!(asked, *expected);
            caller.say(answer);
        }
        caller.upgrade();
        caller.wait_end();
    })
}

const BOUND: &[u8] = b"\x05\0\0\x01\x7f\0\0\x01\0\x50";

#[test]
fn a_server_is_reached_through_a_socks_proxy_that_resolves_its_name() {
    let (name, v6) = (
        b"\x05\0\0\x03\x04name\0\x50",
        [&[5, 0, 0, 4][..], &[0; 18]].concat(),
    );
    for bound in [BOUND, &name[..], &v6] {
        let asked = b"\x05\x01\0\x03\x0eserver.invalid\0\x51";
        let proxy = socks(vec![
            (vec![5, 1, 0], vec![5, 0]),
            (asked.into(), bound.into()),
        ]);
        let ws = through(&proxy, "").connect("ws://server.invalid:81/a");
        assert_eq!(
            ws.unwrap().peer_addr().to_string(),
            proxy.address.to_string()
        );
        assert_eq!(header(&proxy.heads()[0], "Host"), Some("server.invalid:81"));
    }
    // It is told name and password if it wants them.
    for wanted in [true, false] {
        let mut talk = vec![(vec![5, 2, 0, 2], vec![5, 2 * u8::from(wanted)])];
        if wanted {
            talk.push((b"\x01\x03bob\x05p@ss:".into(), vec![1, 0]));
        }
        talk.push((b"\x05\x01\0\x03\x01h\0\x50".into(), BOUND.into()));
        let proxy = socks(talk);
        let client = through(&proxy, "bob:p%40ss%3a@");
        drop(client.connect("ws://h/").unwrap());
    }
}

/// A proxy with these answers, one after each message of ours.
type Answers = &'static [&'static [u8]];

#[test]
fn a_socks_proxy_that_refuses_or_lies_is_told_in_words() {
    const LOGIN: &str = "ada:secret@";
    // Which of them may pass is told by the kind: what is not connected may be tried again.
    let rows: [(&str, Answers, &str, &str); 16] = [
        ("", &[&[5, 0], &[5, 1, 0, 1]], "Io", "general failure"),
        (
            "",
            &[&[5, 0], &[5, 2, 0, 1]],
            "Handshake",
            "rules forbid it",
        ),
        ("", &[&[5, 0], &[5, 3, 0, 1]], "Io", "network unreachable"),
        ("", &[&[5, 0], &[5, 4, 0, 1]], "Io", "host unreachable, or"),
        ("", &[&[5, 0], &[5, 5, 0, 1]], "Io", "connection refused"),
        ("", &[&[5, 0], &[5, 6, 0, 1]], "Io", "too many hops"),
        ("", &[&[5, 0], &[5, 7, 0, 1]], "Handshake", "the command"),
        ("", &[&[5, 0], &[5, 8, 0, 1]], "Io", "this kind of address"),
        ("", &[&[5, 0], &[5, 99, 0, 1]], "Handshake", "code 99"),
        ("", &[&[5, 0xff]], "Handshake", "password into its URL"),
        (LOGIN, &[&[5, 0xff]], "Handshake", "another kind of login"),
        (LOGIN, &[&[5, 2], &[1, 1]], "Handshake", "does not accept"),
        ("", &[&[5, 2]], "Handshake", "was not offered"),
        ("", &[&[4, 0]], "Handshake", "not SOCKS 5"),
        (
            "",
            &[b"HTTP/1.1 400 x\r\n\r\n"],
            "Handshake",
            "write http://",
        ),
        ("", &[&[5, 0], &[5, 0, 0, 9]], "Handshake", "of no kind"),
    ];
    for (login, answers, kind, why) in rows {
        let proxy = Peer::new(move |caller, _| {
            for answer in answers {
                // A message at a time, whatever it says.
                assert_ne!(caller.stream.read(&mut [0; 512]).unwrap(), 0);
                caller.say(answer);
            }
            caller.wait_end();
        });
        let text = failure(through(&proxy, login).connect("ws://h/"));
        let named = text.contains(&format!("the proxy socks5h://{}", proxy.address));
        let refused =
            answers.len() == 1 || text.contains("h:80") || login == LOGIN || why == "of no kind";
        let expected = text.starts_with(&format!("{kind}: ")) && text.contains(why);
        let secret = text.contains("secret");
        assert!(
            named && refused && expected && !secret,
            "{text}, not: {kind}, {why}"
        );
    }
}

#[test]
fn a_socks_proxy_that_hangs_or_goes_is_named() {
    // In the middle of an answer.
    let silent = Peer::new(|caller, _| {
        caller.say([5]);
        caller.wait_end();
    });
    let soon = through(&silent, "").open_timeout(Duration::from_millis(700));
    let name = format!("the proxy socks5h://{}", silent.address);
    let text = failure(soon.connect("ws://h/"));
    assert_eq!(
        text,
        format!("TimedOut: no answer from {name} within 700ms")
    );
    let gone = Peer::new(|caller, _| assert_eq!(caller.take(), [5, 1, 0]));
    told(&failure(through(&gone, "").connect("ws://h/")), "Io: ", "");
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
        caller.say(BOUND);
        caller.upgrade();
        caller.wait_end();
    });
    let client = client().proxy(&*format!("socks5://{}", proxy.address));
    drop(client.connect("ws://localhost/").unwrap());
    let text = failure(client.connect("ws://name.invalid/"));
    told(&text, "Io: cannot resolve name.invalid: ", "");
}
