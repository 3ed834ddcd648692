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
            caller.0.stream.read_exact(&mut asked).unwrap();
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
    let v6 = [&[5, 0, 0, 4][..], &[0; 18]].concat();
    for bound in [BOUND, b"\x05\0\0\x03\x04name\0\x50", &v6] {
        let asked = b"\x05\x01\0\x03\x0eserver.invalid\0\x51".to_vec();
        let proxy = socks(vec![(vec![5, 1, 0], vec![5, 0]), (asked, bound.to_vec())]);
        let ws = through(&proxy, "").connect("ws://server.invalid:81/a");
        let peer = ws.unwrap().peer_addr().to_string();
        assert_eq!(peer, proxy.address.to_string());
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

#[test]
fn a_socks_proxy_that_refuses_lies_hangs_or_goes_is_told_in_words() {
    // Who cannot connect just now is told as an error of the system, which may pass.
    let codes = [
        (1, "Io", "general failure"),
        (2, "Handshake", "its rules forbid it"),
        (3, "Io", "network unreachable"),
        (4, "Io", "host unreachable, or no such name"),
        (5, "Io", "connection refused"),
        (6, "Io", "too many hops"),
        (7, "Handshake", "does not know the command"),
        (8, "Io", "does not know this kind of address"),
        (99, "Handshake", "unknown code 99"),
    ];
    let codes = codes.map(|(code, kind, why)| {
        let pattern = format!("{kind}: *NAME does not connect to h:80*{why}*");
        ("", vec![vec![5, 0], vec![5, code, 0, 1]], pattern)
    });
    let ada = "ada:secret@";
    let lies = [
        ("", vec![vec![5, 0xff]], "put name and password into"),
        (ada, vec![vec![5, 0xff]], "another kind of login"),
        (ada, vec![vec![5, 2], vec![1, 1]], "does not accept this"),
        ("", vec![vec![5, 2]], "was not offered"),
        ("", vec![vec![5, 1]], "was not offered"),
        ("", vec![vec![4, 0]], "not SOCKS 5"),
        ("", vec![b"HTTP/1.1 400 x\r\n\r\n".into()], "write http://"),
        ("", vec![vec![5, 0], vec![5, 0, 0, 9]], "of no kind"),
    ];
    let lies =
        lies.map(|(login, answers, why)| (login, answers, format!("Handshake: *NAME*{why}*")));
    let half = "TimedOut: no answer from NAME within 700ms".to_owned();
    let slow = [
        ("", vec![vec![5]], half),
        ("", vec![], "Io: *NAME*".to_owned()),
    ];
    for (login, answers, pattern) in codes.into_iter().chain(lies).chain(slow) {
        let goes = answers.is_empty();
        let proxy = Peer::new(move |caller, _| {
            for answer in &answers {
                // A message at a time, whatever it says.
                assert_ne!(caller.0.stream.read(&mut [0; 512]).unwrap(), 0);
                caller.say(answer);
            }
            assert!(goes || caller.0.ends_within(PATIENCE));
        });
        let name = format!("the proxy socks5h://{}", proxy.address);
        let client = through(&proxy, login).open_timeout(match pattern.contains("700ms") {
            true => Duration::from_millis(700),
            false => PATIENCE,
        });
        fails(client.connect("ws://h/"), &pattern.replace("NAME", &name));
    }
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
    let result = client.connect("ws://name.invalid/");
    fails(result, "Io: cannot resolve name.invalid: *");
}
