//! In a pipe.

use super::*;

fn hello(ws: &Connection) -> plainws::Result<()> {
    let name = ws.recv()?;
    ws.send(format!("Hello {name}!"))
}

#[test]
fn each_line_is_a_message_and_each_message_a_line() {
    let server = start(hello);
    printed(run(&[&uri(&server)], "Rust\n"), "Hello Rust!");
    // Our own goodbye and the server's race each other.
    let args = [&*uri(&server), "--one", "--message", "Rust"];
    (0..30).for_each(|_| printed(run(&args, ""), "Hello Rust!"));
    // Line ends are no part of it, and there are no commands.
    let server = start(echo);
    let uri = uri(&server);
    let (code, lines, errors) = run(&[&uri, "--wait=300ms"], "a\r\n\n/ping\nno end");
    assert_eq!(lines, ["a", "", "/ping", "no end"], "{errors:?}");
    assert_eq!(code, 0);
    // With --one, all of them are one message.
    let one = [&*uri, "--one"];
    printed(
        run(&[&one[..], &["--message", "a\nb"]].concat(), "not read"),
        r"a\nb",
    );
    printed(run(&one, "c\n"), "c");
    printed(run(&one, "d\ne\n"), r"d\ne");
}

#[test]
fn it_goes_on_receiving_after_the_end_of_the_input() {
    let peer = Peer::new();
    let mut pipe = Pipe::new(&[&peer.uri()]);
    let ws = peer.next();
    pipe.write("first\n");
    pipe.end();
    assert_eq!(message(&ws), "first");
    ws.send("a\tb\nc\r\x1b[31m\u{85}\u{2028}").unwrap();
    // Each line is there as soon as it has come.
    let line = pipe.daemon.wait_line("a\tb");
    assert_eq!(line, "a\tb\\nc\\r\\x1b[31m\\x85\\u{2028}");
    assert!(pipe.daemon.is_running());
    ws.send(vec![7; 1000]).unwrap();
    ws.close(CloseCode::NORMAL, "").unwrap();
    let (code, lines, errors) = pipe.result();
    assert_eq!((code, lines.len(), errors.len()), (0, 2, 0));
    assert_eq!(lines[1].matches(" 07").count(), 1000, "nothing is cut");
}

#[test]
fn it_waits_as_long_as_it_is_told() {
    let peer = Peer::new();
    for (wait, least) in [("0", 0), ("300ms", 300), ("1", 1000)] {
        let start = Instant::now();
        let mut pipe = Pipe::new(&[&peer.uri(), "--wait", wait]);
        pipe.end();
        assert_eq!(received_code(&peer.next()), 1000);
        assert!(start.elapsed() >= Duration::from_millis(least), "{wait}");
        assert_eq!(pipe.result(), (0, vec![], vec![]));
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let peer = Peer::new();
    let folder = tempfile::tempdir().unwrap();
    // Nothing more comes after the first line: nobody would notice by writing.
    let script = r#"{ "$@"; echo $? > "$STATUS"; } | head -n 1; exit "$(cat "$STATUS")""#;
    let client = connect(&[&peer.uri()]);
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(client.get_program());
    shell.args(client.get_args());
    shell.env("STATUS", folder.path().join("status"));
    let pipe = Pipe::spawn(shell);
    let ws = peer.next();
    ws.send("one").unwrap();
    assert_eq!(received_code(&ws), 1000);
    printed(pipe.result(), "one");
}

#[test]
fn input_that_is_no_text_is_told_by_its_line() {
    let peer = Peer::new();
    let mut pipe = Pipe::new(&[&peer.uri()]);
    pipe.write(b"fine\nna\xefve\nnever\n");
    let ws = peer.next();
    assert_eq!(message(&ws), "fine");
    assert_eq!(received_code(&ws), 1000);
    let why = "line 2 of the input is no UTF-8 text; it was not sent";
    failed(pipe.result(), 2, why);
}

#[test]
fn a_signal_closes_with_1000_and_a_second_one_ends_at_once() {
    let peer = Peer::new();
    for signal in ["INT", "TERM"] {
        let pipe = Pipe::new(&[&peer.uri()]);
        let ws = peer.next();
        // The client knows, too, that it is connected.
        ws.send("open").unwrap();
        pipe.daemon.wait_line("open");
        pipe.daemon.signal(signal);
        assert_eq!(received_code(&ws), 1000, "{signal}");
        printed(pipe.result(), "open");
    }
    let (listener, uri) = listener();
    let pipe = Pipe::new(&[&uri]);
    let (mut stream, _) = accept(&listener);
    stream.write_all(b"\x81\x04open").unwrap();
    pipe.daemon.wait_line("open");
    pipe.daemon.signal("TERM");
    wait_closing(&mut stream);
    pipe.daemon.signal("TERM");
    assert_eq!(pipe.result().0, 143);
}

#[test]
fn json_is_one_object_an_event() {
    let server = start(|ws| {
        ws.send("Hello \"Rust\"\n\x1b")?;
        ws.send(&[0, 255])?;
        ws.close(CloseCode(4000), "bye")
    });
    let uri = uri(&server);
    let with_password = uri.replace("://", "://me:secret@");
    let (code, lines, errors) = run(&[&with_password, "--json"], "");
    assert_eq!(code, 3);
    assert_eq!(errors, ["Connection closed: 4000 (private use) bye."]);
    let event = |line: &String| serde_json::from_str(line).unwrap();
    let events: Vec<Value> = lines.iter().map(event).collect();
    let uri = uri.replace("://", "://me@");
    let expected = [
        serde_json::json!({"event": "open", "uri": uri, "subprotocol": null}),
        serde_json::json!({"event": "message", "type": "text", "data": "Hello \"Rust\"\n\u{1b}"}),
        serde_json::json!({"event": "message", "type": "binary", "data": "AP8="}),
        serde_json::json!({"event": "close", "code": 4000, "reason": "bye", "clean": true, "lost": null}),
    ];
    assert_eq!(events, expected);
}

#[test]
fn an_empty_input_sends_nothing_and_awaits_an_answer_all_the_same() {
    let peer = Peer::new();
    let mut pipe = Pipe::new(&[&peer.uri(), "--one"]);
    pipe.end();
    let ws = peer.next();
    let nothing = ws.recv_timeout(Duration::from_millis(100)).unwrap();
    assert_eq!(nothing, None);
    ws.send("hello").unwrap();
    ws.send("not this one").unwrap();
    assert_eq!(received_code(&ws), 1000);
    printed(pipe.result(), "hello");
}

#[test]
fn no_answer_is_a_failure() {
    let peer = Peer::new();
    let uri = peer.uri();
    let one = |more: &[&str]| {
        let pipe = Pipe::new(&[&[&*uri, "--one", "--message", "x"], more].concat());
        let ws = peer.next();
        assert_eq!(message(&ws), "x");
        (pipe, ws)
    };
    let (pipe, ws) = one(&["--wait", "200ms"]);
    assert_eq!(received_code(&ws), 1000);
    failed(pipe.result(), 3, "no answer within 200ms");
    let (pipe, ws) = one(&[]);
    ws.close(CloseCode::NORMAL, "").unwrap();
    let sentence = "no answer came. Connection closed: 1000 (OK).";
    failed(pipe.result(), 3, sentence);
    // A greeting is none.
    let server = start(|ws| {
        ws.send("welcome")?;
        let asked = ws.recv()?;
        ws.send(format!("you said {asked}"))?;
        // Stays until the client leaves.
        ws.recv().map(drop)
    });
    for _ in 0..10 {
        let (code, lines, errors) = run(&[&super::uri(&server), "--one", "--message=x"], "");
        // One that comes with our own message on its way may be taken for the answer.
        assert!(lines == ["you said x"] || lines == ["welcome"], "{lines:?}");
        assert_eq!((code, errors), (0, vec![]));
    }
}

#[test]
fn exit_codes_tell_how_it_ended() {
    let ended = |uri: &str| run(&[uri], "");
    failed(ended(&nobody()), 1, "cannot connect to 127.0.0.1:");
    failed(ended(&uri(&refusing())), 1, "server answered HTTP 403: ");
    let login = |_: &plainws::Request| Some(plainws::Response::text(401, "who?").into());
    let server = start_with(Server::builder(echo).route(login));
    let sentence = "server answered HTTP 401: who? (log in with --user NAME)";
    failed(ended(&uri(&server)), 1, sentence);
    let server = start(|ws| ws.close(CloseCode::POLICY, "not you"));
    let sentence = "Connection closed: 1008 (policy violation) not you.";
    failed(ended(&uri(&server)), 3, sentence);
    let (listener, uri) = listener();
    let pipe = Pipe::new(&[&uri]);
    drop(accept(&listener));
    let sentence = "Connection closed: 1006 (connection lost): ";
    failed(pipe.result(), 3, sentence);
}
