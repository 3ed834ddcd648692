//! In a pseudo-terminal.

use super::*;

/// Connected, with the prompt drawn.
#[track_caller]
fn open(peer: &Peer, more: &[&str]) -> (Terminal, Connection) {
    let uri = peer.uri();
    let mut args = vec![uri.as_str()];
    args.extend(more);
    let terminal = Terminal::spawn(&connect(&args));
    let ws = peer.next();
    terminal.wait(&format!("Connected to {uri}.\r\n"));
    terminal.wait("> ");
    (terminal, ws)
}

#[test]
fn lines_are_messages_and_messages_are_lines() {
    let peer = Peer::new();
    let (mut terminal, ws) = open(&peer, &[]);
    terminal.keys("Grüße 🦀\r");
    assert_eq!(message(&ws), "Grüße 🦀");
    ws.send("Hello Rüst 🦀!").unwrap();
    terminal.wait("< Hello Rüst 🦀!\r\n");
    terminal.keys("\r");
    assert_eq!(message(&ws), "");
    terminal.keys(CTRL_D);
    assert_eq!(received_code(&ws), 1000);
    assert_eq!(terminal.exit_code(), Some(0));
    let drawn = terminal.drawn();
    assert!(
        drawn.ends_with("Connection closed: 1000 (OK).\r\n"),
        "{drawn:?}"
    );
}

#[test]
fn a_line_being_typed_survives_what_arrives() {
    let peer = Peer::new();
    let (terminal, ws) = open(&peer, &[]);
    terminal.keys("half a");
    terminal.wait("half a");
    for n in 0..20 {
        ws.send(format!("message {n}")).unwrap();
    }
    let end = terminal.wait("< message 19\r\n");
    // Drawn again below it, whole.
    terminal.wait_from(end, "> half a");
    terminal.keys(" line\r");
    assert_eq!(message(&ws), "half a line");
}

#[test]
fn many_messages_arrive_whole_and_in_order_while_lines_are_entered() {
    let peer = Peer::new();
    let (mut terminal, ws) = open(&peer, &[]);
    let sender = ws.clone();
    let sending = std::thread::spawn(move || {
        for n in 0..2000 {
            sender.send(format!("[{n}]")).unwrap();
        }
    });
    for n in 0..30 {
        terminal.keys(&format!("line {n}\r"));
        assert_eq!(message(&ws), format!("line {n}").as_str());
    }
    sending.join().unwrap();
    // Nothing of what came before the end is lost by it.
    let _ = ws.close(CloseCode::NORMAL, "");
    assert_eq!(terminal.exit_code(), Some(0));
    terminal.wait("Connection closed: 1000 (OK).\r\n");
    let drawn = terminal.drawn();
    let numbers: Vec<u32> = drawn
        .split("< [")
        .skip(1)
        .map(|rest| rest.split(']').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..2000).collect::<Vec<u32>>());
}

#[test]
fn lines_typed_ahead_are_all_sent() {
    let peer = Peer::new();
    let (terminal, ws) = open(&peer, &[]);
    terminal.keys("one\rtwo\rthree\r");
    for line in ["one", "two", "three"] {
        assert_eq!(message(&ws), line);
    }
}

#[test]
fn arrow_keys_edit_and_bring_back_lines() {
    let peer = Peer::new();
    let (terminal, ws) = open(&peer, &[]);
    terminal.keys("first\r");
    assert_eq!(message(&ws), "first");
    terminal.keys("second\r");
    assert_eq!(message(&ws), "second");
    terminal.keys(&format!("{UP}{UP}\r"));
    assert_eq!(message(&ws), "first");
    terminal.keys(&format!("ac{LEFT}b\r"));
    assert_eq!(message(&ws), "abc");
}

#[test]
fn ctrl_c_closes_and_waits_for_the_answer() {
    let peer = Peer::new();
    let (mut terminal, ws) = open(&peer, &[]);
    terminal.keys("not sent");
    terminal.wait("not sent");
    terminal.keys(CTRL_C);
    assert_eq!(received_code(&ws), 1000);
    assert_eq!(terminal.exit_code(), Some(0));
    terminal.wait("Connection closed: 1000 (OK).\r\n");
}

#[test]
fn between_two_lines_the_kernel_takes_no_key_for_itself() {
    let peer = Peer::new();
    let (terminal, ws) = open(&peer, &[]);
    for n in 0..30 {
        terminal.keys(&format!("{n}\r"));
        // Until the message is here: the editor has left its raw mode and entered it again, or will.
        while ws.try_recv().unwrap().is_none() {
            assert!(terminal.is_raw(), "after line {n}");
        }
    }
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    // It never answers a close.
    let (listener, uri) = listener();
    let mut terminal = Terminal::spawn(&connect(&[&uri]));
    let (_silent, _) = accept(&listener);
    terminal.wait("> ");
    let (start, end) = (Instant::now(), terminal.drawn().len());
    terminal.keys(CTRL_C);
    // The prompt is taken away.
    terminal.wait_from(end, "\x1b[J");
    terminal.keys(CTRL_C);
    assert_eq!(terminal.exit_code(), Some(130));
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "the close timeout is 5 s"
    );
}

#[test]
fn sigterm_closes_and_leaves_the_terminal_as_it_was() {
    let peer = Peer::new();
    let (mut terminal, ws) = open(&peer, &[]);
    terminal.signal("TERM");
    assert_eq!(received_code(&ws), 1000);
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_at_once_and_leaves_the_terminal_as_it_was() {
    let (listener, uri) = listener();
    let mut terminal = Terminal::spawn(&connect(&[&uri]));
    let (mut stream, _) = accept(&listener);
    terminal.wait("> ");
    assert!(terminal.is_raw());
    terminal.signal("TERM");
    // Its close frame: it will not be answered.
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [0x88]);
    let start = Instant::now();
    wait_until("time between the two", PATIENCE, || {
        (start.elapsed() > Duration::from_millis(50)).then_some(())
    });
    terminal.signal("TERM");
    assert_eq!(terminal.exit_code(), Some(143));
}

#[test]
fn a_server_that_closes_ends_the_typing() {
    let peer = Peer::new();
    let (mut terminal, ws) = open(&peer, &[]);
    terminal.keys("half a");
    terminal.wait("half a");
    assert!(terminal.is_raw());
    ws.close(CloseCode(4000), "bye\x1b[2J").unwrap();
    assert_eq!(terminal.exit_code(), Some(3));
    let drawn = terminal.drawn();
    let last = "Connection closed: 4000 (private use) bye\\x1b[2J.\r\n";
    assert!(drawn.ends_with(last), "{drawn:?}");
}

#[test]
fn a_prompt_is_taken_away_but_not_half_of_a_long_line() {
    let peer = Peer::new();
    for (typed, erased) in [("short".to_owned(), true), ("long ".repeat(30), false)] {
        let (mut terminal, ws) = open(&peer, &[]);
        terminal.keys(&typed);
        let end = terminal.wait(typed.trim_end().rsplit(' ').next().unwrap());
        terminal.keys("!");
        terminal.wait_from(end, "!");
        ws.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(terminal.exit_code(), Some(0));
        let drawn = terminal.drawn();
        let last = "\x1b[JConnection closed: 1000 (OK).\r\n";
        assert_eq!(drawn.ends_with(last), erased, "{drawn:?}");
    }
}

#[test]
fn a_server_that_shuts_down_is_a_normal_end() {
    let peer = Peer::new();
    let (mut terminal, ws) = open(&peer, &[]);
    drop(ws);
    peer.server.shutdown(Duration::from_secs(1));
    terminal.wait("Connection closed: 1001 (going away)");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn a_connection_that_is_lost_says_so() {
    let (listener, uri) = listener();
    let mut terminal = Terminal::spawn(&connect(&[&uri]));
    let (stream, _) = accept(&listener);
    terminal.wait("> ");
    drop(stream);
    terminal.wait("Connection closed: 1006 (connection lost): ");
    assert_eq!(terminal.exit_code(), Some(3));
}

#[test]
fn what_a_server_sends_moves_no_cursor() {
    let peer = Peer::new();
    let (terminal, ws) = open(&peer, &[]);
    ws.send("esc:\x1b[31m bell:\x07 csi:\u{9b}2J bidi:\u{202e} nl:\r\nx tab:\t.")
        .unwrap();
    let shown = r"< esc:\x1b[31m bell:\x07 csi:\x9b2J bidi:\u{202e} nl:\r\nx tab:\t.";
    terminal.wait(&format!("{shown}\r\n"));
}

#[test]
fn binary_messages_are_shown_with_their_size() {
    let peer = Peer::new();
    let (terminal, ws) = open(&peer, &[]);
    ws.send(&[0, 1, 255]).unwrap();
    terminal.wait("< (binary) 00 01 ff [3 bytes]\r\n");
    ws.send(vec![7; 300]).unwrap();
    terminal.wait(" 07 ... [300 bytes]\r\n");
    ws.send(Vec::new()).unwrap();
    terminal.wait("< (binary) [0 bytes]\r\n");
    terminal.keys("/binary 00 fF\r");
    assert_eq!(message(&ws), plainws::Message::from(&[0, 255]));
}

#[test]
fn commands_do_what_help_says() {
    let peer = Peer::new();
    let (mut terminal, ws) = open(&peer, &[]);
    terminal.keys("/help\r");
    terminal.wait("/binary HEX");
    terminal.keys("/pong\r");
    terminal.wait("/pong is no command, nothing was sent");
    terminal.keys("/binary f\r");
    terminal.wait("pairs of hexadecimal digits");
    terminal.keys("/close 999\r");
    terminal.wait("close code 999 may not be sent");
    terminal.keys("//pong\r");
    // The first message: nothing of the above was one.
    assert_eq!(message(&ws), "/pong");
    terminal.keys("/ping\r");
    // Answered by whoever receives.
    assert!(
        ws.recv_timeout(Duration::from_millis(300))
            .unwrap()
            .is_none()
    );
    let end = terminal.wait("pong after ");
    terminal.wait_from(end, " ms\r\n");
    terminal.keys("/close 4001 so long\r");
    assert_eq!(received_code(&ws), 4001);
    terminal.wait("Connection closed: 4001 (private use) so long.\r\n");
    assert_eq!(terminal.exit_code(), Some(0), "it was asked for");
}

#[test]
fn verbose_lines_are_drawn_above_the_prompt() {
    let peer = Peer::new();
    let (terminal, ws) = open(&peer, &["-vv"]);
    terminal.wait("< HTTP/1.1 101 Switching Protocols\r\n");
    terminal.keys("half");
    terminal.wait("half");
    ws.send("hello").unwrap();
    let end = terminal.wait("< TEXT \"hello\" [5 bytes]\r\n");
    terminal.wait_from(end, "> half");
}

#[test]
fn a_refusal_is_a_sentence_without_a_prompt() {
    let server = Server::builder(|_| Ok(())).listen("127.0.0.1:0");
    let server = server.hosts(["app.example"]).start().unwrap();
    let mut terminal = Terminal::spawn(&connect(&[&uri(&server)]));
    terminal.wait("server answered HTTP 403: ");
    assert_eq!(terminal.exit_code(), Some(1));
    assert!(!terminal.drawn().contains("> "), "{:?}", terminal.drawn());
}

#[test]
fn ctrl_c_stops_an_attempt_to_connect() {
    // It accepts and never answers.
    let (listener, uri) = listener();
    let mut terminal = Terminal::spawn(&connect(&[&uri]));
    let _stream = listener.accept().unwrap();
    let start = Instant::now();
    terminal.keys(CTRL_C);
    assert_eq!(terminal.exit_code(), Some(1));
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "the limit is 10 s"
    );
}

#[test]
fn a_password_is_asked_for_without_echo() {
    let peer = Peer::new();
    let uri = peer.uri();
    let terminal = Terminal::spawn(&connect(&[&uri, "--user", "me"]));
    terminal.wait("Password of me: ");
    wait_until("no echo", PATIENCE, || (!terminal.echoes()).then_some(()));
    terminal.keys("secret\r");
    let ws = peer.next();
    // me:secret in Base64.
    let header = ws.request().header("Authorization").map(str::to_owned);
    assert_eq!(header.as_deref(), Some("Basic bWU6c2VjcmV0"));
    terminal.wait("> ");
    assert!(
        !terminal.drawn().contains("secret"),
        "{:?}",
        terminal.drawn()
    );
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    let peer = Peer::new();
    let mut command = connect(&[&peer.uri()]);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::spawn(&command);
    let ws = peer.next();
    terminal.keys("hello\n");
    assert_eq!(message(&ws), "hello");
    ws.send("world").unwrap();
    terminal.wait("world\r\n");
    terminal.keys(CTRL_C);
    assert_eq!(received_code(&ws), 1000);
    assert_eq!(terminal.exit_code(), Some(0));
    assert!(!terminal.drawn().contains('\x1b'), "{:?}", terminal.drawn());
}
