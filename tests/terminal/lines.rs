//! In a pipe.

use super::*;

fn hello() -> Server {
    let handler = |ws: &Connection| {
        let name = ws.recv()?;
        ws.send(format!("Hello {name}!"))
    };
    let server = Server::builder(handler).listen("127.0.0.1:0");
    server.start().expect("a server")
}

#[test]
fn each_line_is_a_message_and_each_message_a_line() {
    let server = hello();
    let result = run(&[&uri(&server)], "Rust\n");
    assert_eq!(result, (0, vec!["Hello Rust!".to_owned()], vec![]));
}

#[test]
fn line_ends_are_no_part_of_a_message() {
    let server = echo();
    let (code, lines, errors) = run(&[&uri(&server), "--wait", "300ms"], "a\r\n\n/ping\nno end");
    assert_eq!(lines, ["a", "", "/ping", "no end"], "{errors:?}");
    assert_eq!(code, 0);
}

#[test]
fn it_goes_on_receiving_after_the_end_of_the_input() {
    let peer = Peer::new();
    let mut pipe = Pipe::new(&[&peer.uri()]);
    let ws = peer.next();
    pipe.write("first\n");
    pipe.end();
    assert_eq!(message(&ws), "first");
    ws.send("second").unwrap();
    // Each line is there as soon as it has come.
    pipe.daemon.wait_line("second");
    assert!(pipe.daemon.is_running());
    ws.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(pipe.result(), (0, vec!["second".to_owned()], vec![]));
}

#[test]
fn it_waits_as_long_as_it_is_told() {
    let peer = Peer::new();
    for (wait, least) in [("0", 0), ("300ms", 300), ("1", 1000)] {
        let uri = peer.uri();
        let start = Instant::now();
        let mut pipe = Pipe::new(&[&uri, "--wait", wait]);
        pipe.end();
        let ws = peer.next();
        assert_eq!(received_code(&ws), 1000);
        assert!(start.elapsed() >= Duration::from_millis(least), "{wait}");
        assert_eq!(pipe.result(), (0, vec![], vec![]));
    }
}

#[test]
fn a_message_stays_one_line() {
    let peer = Peer::new();
    let pipe = Pipe::new(&[&peer.uri()]);
    let ws = peer.next();
    ws.send("a\tb\nc\r\x1b[31m\u{85}\u{2028}").unwrap();
    ws.send(vec![7; 1000]).unwrap();
    ws.close(CloseCode::NORMAL, "").unwrap();
    let (code, lines, _) = pipe.result();
    assert_eq!(code, 0);
    assert_eq!(lines[0], "a\tb\\nc\\r\\x1b[31m\\x85\\u{2028}");
    assert_eq!(lines[1].matches(" 07").count(), 1000, "nothing is cut");
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let peer = Peer::new();
    let uri = peer.uri();
    let mut shell = Command::new("sh");
    // Nothing more comes after the first line: nobody would notice by writing.
    let script = r#""$@" | head -n 1; exit "$(cat "$STATUS")""#;
    let directory = tempfile::tempdir().unwrap();
    let status = directory.path().join("status");
    let script = script.replace(r#""$@""#, r#"{ "$@"; echo $? > "$STATUS"; }"#);
    let client = connect(&[&uri]);
    shell.args(["-c", &script, "sh"]).arg(client.get_program());
    shell.args(client.get_args()).env("STATUS", &status);
    let pipe = Pipe::spawn(shell);
    let ws = peer.next();
    ws.send("one").unwrap();
    assert_eq!(received_code(&ws), 1000);
    assert_eq!(pipe.result(), (0, vec!["one".to_owned()], vec![]));
}

#[test]
fn input_that_is_no_text_is_told_by_its_line() {
    let peer = Peer::new();
    let mut pipe = Pipe::new(&[&peer.uri()]);
    pipe.write(b"fine\nna\xefve\nnever\n");
    let ws = peer.next();
    assert_eq!(message(&ws), "fine");
    assert_eq!(received_code(&ws), 1000);
    let (code, lines, errors) = pipe.result();
    assert_eq!((code, lines.len()), (2, 0));
    assert_eq!(
        errors,
        ["line 2 of the input is no UTF-8 text; it was not sent"]
    );
}

#[test]
fn signals_close_with_1000() {
    let peer = Peer::new();
    for signal in ["INT", "TERM"] {
        let pipe = Pipe::new(&[&peer.uri()]);
        let ws = peer.next();
        // The client knows, too, that it is connected.
        ws.send("open").unwrap();
        pipe.daemon.wait_line("open");
        pipe.daemon.signal(signal);
        assert_eq!(received_code(&ws), 1000);
        assert_eq!(pipe.result(), (0, vec!["open".to_owned()], vec![]));
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let (listener, uri) = listener();
    let pipe = Pipe::new(&[&uri]);
    let (mut stream, _) = accept(&listener);
    // The client knows, too, that it is connected.
    stream.write_all(b"\x81\x04open").unwrap();
    pipe.daemon.wait_line("open");
    pipe.daemon.signal("TERM");
    // Its close frame: it will not be answered.
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [0x88]);
    wait_until("time between the two", PATIENCE, {
        let start = Instant::now();
        move || (start.elapsed() > Duration::from_millis(50)).then_some(())
    });
    pipe.daemon.signal("TERM");
    assert_eq!(pipe.result().0, 143);
}

#[test]
fn json_is_one_object_an_event() {
    let server = Server::builder(|ws: &Connection| {
        ws.send("Hello \"Rust\"\n\x1b")?;
        ws.send(&[0, 255])?;
        ws.close(CloseCode(4000), "bye")
    });
    let server = server.listen("127.0.0.1:0").start().unwrap();
    let uri = uri(&server);
    let with_password = uri.replace("://", "://me:secret@");
    let (code, lines, errors) = run(&[&with_password, "--json"], "");
    assert_eq!(code, 3);
    assert_eq!(errors, ["Connection closed: 4000 (private use) bye."]);
    let events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = [
        serde_json::json!({"event": "open", "uri": uri.replace("://", "://me@"), "subprotocol": null}),
        serde_json::json!({"event": "message", "type": "text", "data": "Hello \"Rust\"\n\u{1b}"}),
        serde_json::json!({"event": "message", "type": "binary", "data": "AP8="}),
        serde_json::json!({"event": "close", "code": 4000, "reason": "bye", "clean": true, "lost": null}),
    ];
    assert_eq!(events, expected);
}

#[test]
fn an_answer_and_a_goodbye_that_come_together_are_a_normal_end() {
    // Our own goodbye and the server's race each other.
    let server = hello();
    let args = [&*uri(&server), "--one", "--message", "Rust"];
    for _ in 0..30 {
        let result = run(&args, "");
        assert_eq!(result, (0, vec!["Hello Rust!".to_owned()], vec![]));
    }
}

#[test]
fn a_unix_socket_that_takes_nobody_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let listener = listener.unwrap();
    listener
        .bind(&socket2::SockAddr::unix(&path).unwrap())
        .unwrap();
    listener.listen(0).unwrap();
    // One fits into its queue.
    let _queued = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let unix = path.to_str().unwrap();
    let (code, lines, errors) = run(
        &["ws://localhost/", "--unix", unix, "--open-timeout=300ms"],
        "",
    );
    assert_eq!((code, lines), (1, vec![]));
    assert!(errors[0].contains("cannot connect to unix:"), "{errors:?}");
}

#[test]
fn one_message_gets_one_answer() {
    let server = echo();
    let uri = uri(&server);
    let one = |lines: &str| (0, vec![lines.to_owned()], vec![]);
    let result = run(&[&uri, "--one", "--message", "a\nb"], "not read");
    assert_eq!(result, one(r"a\nb"));
    assert_eq!(run(&[&uri, "--one"], "c\n"), one("c"));
    assert_eq!(run(&[&uri, "--one"], "d\ne\n"), one(r"d\ne"));
}

#[test]
fn an_empty_input_sends_nothing_and_awaits_an_answer_all_the_same() {
    let peer = Peer::new();
    let mut pipe = Pipe::new(&[&peer.uri(), "--one"]);
    pipe.end();
    let ws = peer.next();
    assert!(
        ws.recv_timeout(Duration::from_millis(100))
            .unwrap()
            .is_none()
    );
    ws.send("hello").unwrap();
    ws.send("not this one").unwrap();
    assert_eq!(received_code(&ws), 1000);
    assert_eq!(pipe.result(), (0, vec!["hello".to_owned()], vec![]));
}

#[test]
fn no_answer_is_a_failure() {
    let peer = Peer::new();
    let pipe = Pipe::new(&[&peer.uri(), "--one", "--message", "x", "--wait", "200ms"]);
    let ws = peer.next();
    assert_eq!(message(&ws), "x");
    assert_eq!(received_code(&ws), 1000);
    let sentence = "no answer within 200ms".to_owned();
    assert_eq!(pipe.result(), (3, vec![], vec![sentence]));

    let pipe = Pipe::new(&[&peer.uri(), "--one", "--message", "x"]);
    let ws = peer.next();
    assert_eq!(message(&ws), "x");
    ws.close(CloseCode::NORMAL, "").unwrap();
    let sentence = "no answer came. Connection closed: 1000 (OK).".to_owned();
    assert_eq!(pipe.result(), (3, vec![], vec![sentence]));
}

#[test]
fn exit_codes_tell_how_it_ended() {
    // Nobody listens there any more.
    let (listener, nobody) = listener();
    drop(listener);
    let (code, lines, errors) = run(&[&nobody], "");
    assert_eq!((code, lines.len()), (1, 0));
    assert!(
        errors[0].starts_with("cannot connect to 127.0.0.1:"),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 1, "{errors:?}");

    let server = Server::builder(|_| Ok(())).listen("127.0.0.1:0");
    let server = server.hosts(["app.example"]).start().unwrap();
    let (code, _, errors) = run(&[&uri(&server)], "");
    assert_eq!(code, 1);
    assert!(
        errors[0].starts_with("server answered HTTP 403: "),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 1, "{errors:?}");

    let server = Server::builder(|ws: &Connection| ws.close(CloseCode::POLICY, "not you"));
    let server = server.listen("127.0.0.1:0").start().unwrap();
    let (code, _, errors) = run(&[&uri(&server)], "");
    let sentence = "Connection closed: 1008 (policy violation) not you.";
    assert_eq!((code, errors), (3, vec![sentence.to_owned()]));

    let (listener, uri) = super::listener();
    let pipe = Pipe::new(&[&uri]);
    drop(accept(&listener));
    let (code, _, errors) = pipe.result();
    assert_eq!(code, 3);
    assert!(
        errors[0].starts_with("Connection closed: 1006 (connection lost): "),
        "{errors:?}"
    );
}

#[test]
fn a_greeting_is_no_answer() {
    let greets = |ws: &Connection| {
        ws.send("welcome")?;
        let asked = ws.recv()?;
        ws.send(format!("you said {asked}"))?;
        // Stays until the client leaves.
        ws.recv().map(drop)
    };
    let server = Server::builder(greets).listen("127.0.0.1:0");
    let server = server.start().expect("a server");
    for _ in 0..10 {
        let (code, lines, errors) = run(&[&uri(&server), "--one", "--message", "x"], "");
        // One that comes with our own message on its way may be taken for the answer.
        assert!(lines == ["you said x"] || lines == ["welcome"], "{lines:?}");
        assert_eq!((code, errors), (0, vec![]));
    }
    drop(server);
}
