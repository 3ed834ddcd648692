//! In a pseudo-terminal.

use super::*;

/// Connected, with the prompt drawn. Drop the server last.
#[track_caller]
fn open(more: &[&str]) -> (Peer, Terminal, Connection) {
    let peer = Peer::new();
    let uri = peer.uri();
    let terminal = Terminal::spawn(&connect(&[&[&*uri], more].concat()));
    let ws = peer.next();
    terminal.wait(&format!("Connected to {uri}.\r\n"));
    terminal.wait("> ");
    (peer, terminal, ws)
}

/// The same with a server that never answers a close.
#[track_caller]
fn open_silent() -> (Terminal, TcpStream) {
    let (listener, uri) = listener();
    let terminal = Terminal::spawn(&connect(&[&uri]));
    let (stream, _) = accept(&listener);
    terminal.wait("> ");
    (terminal, stream)
}

/// Types this, and waits to see it.
#[track_caller]
fn typed(terminal: &Terminal, text: &str) {
    terminal.keys(text);
    terminal.wait(text);
}

/// Waits for the end with this code; all that was drawn.
#[track_caller]
fn exits(terminal: &mut Terminal, code: i32) -> String {
    assert_eq!(terminal.exit_code(), Some(code), "{:?}", terminal.drawn());
    terminal.drawn()
}

#[test]
fn lines_are_messages_and_messages_are_lines() {
    let (_peer, mut terminal, ws) = open(&[]);
    // Typed ahead; the arrows edit lines and bring them back.
    terminal.keys("Grüße 🦀\r\rtwo\r");
    let again = format!("{UP}{UP}{UP}\r");
    for (keys, sent) in [
        ("", "Grüße 🦀"),
        ("", ""),
        ("", "two"),
        ("first\r", "first"),
        ("second\r", "second"),
        (&again, "two"),
        (&format!("ac{LEFT}b\r"), "abc"),
    ] {
        terminal.keys(keys);
        assert_eq!(message(&ws), sent);
    }
    ws.send("Hello Rüst 🦀!").unwrap();
    terminal.wait("< Hello Rüst 🦀!\r\n");
    terminal.keys(CTRL_D);
    assert_eq!(received_code(&ws), 1000);
    let drawn = exits(&mut terminal, 0);
    let last = "Connection closed: 1000 (OK).\r\n";
    assert!(drawn.ends_with(last), "{drawn:?}");
}

#[test]
fn a_line_being_typed_survives_what_arrives() {
    let (_peer, terminal, ws) = open(&[]);
    typed(&terminal, "half a");
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
    let (_peer, mut terminal, ws) = open(&[]);
    let sender = ws.clone();
    let sending = std::thread::spawn(move || {
        (0..2000).for_each(|n| sender.send(format!("[{n}]")).unwrap());
    });
    for n in 0..30 {
        terminal.keys(&format!("line {n}\r"));
        assert_eq!(message(&ws), format!("line {n}").as_str());
    }
    sending.join().unwrap();
    // Nothing of what came before the end is lost by it.
    let _ = ws.close(CloseCode::NORMAL, "");
    let drawn = exits(&mut terminal, 0);
    assert!(drawn.contains("Connection closed: 1000 (OK).\r\n"));
    let number = |rest: &str| rest.split(']').next().unwrap().parse().unwrap();
    let numbers: Vec<u32> = drawn.split("< [").skip(1).map(number).collect();
    assert_eq!(numbers, (0..2000).collect::<Vec<u32>>());
}

#[test]
fn ctrl_c_and_sigterm_close_and_leave_the_terminal_as_it_was() {
    for by_key in [true, false] {
        let (_peer, mut terminal, ws) = open(&[]);
        typed(&terminal, "not sent");
        match by_key {
            true => terminal.keys(CTRL_C),
            false => terminal.signal("TERM"),
        }
        assert_eq!(received_code(&ws), 1000, "by a key: {by_key}");
        let drawn = exits(&mut terminal, 0);
        assert!(drawn.contains("Connection closed: 1000 (OK).\r\n"));
    }
}

#[test]
fn a_second_one_ends_at_once_and_leaves_the_terminal_as_it_was() {
    for (by_key, code) in [(true, 130), (false, 143)] {
        let (mut terminal, mut stream) = open_silent();
        assert!(terminal.is_raw());
        let stop = || match by_key {
            true => terminal.keys(CTRL_C),
            false => terminal.signal("TERM"),
        };
        let start = Instant::now();
        stop();
        wait_closing(&mut stream);
        stop();
        exits(&mut terminal, code);
        // The close timeout is 5 s.
        assert!(start.elapsed() < Duration::from_secs(4), "{code}");
    }
}

#[test]
fn between_two_lines_the_kernel_takes_no_key_for_itself() {
    let (_peer, terminal, ws) = open(&[]);
    for n in 0..30 {
        terminal.keys(&format!("{n}\r"));
        // Until the message is here: the editor has left its raw mode and entered it again, or will.
        while ws.try_recv().unwrap().is_none() {
            assert!(terminal.is_raw(), "after line {n}");
        }
    }
}

#[test]
fn a_server_that_closes_ends_the_typing() {
    // What was typed is taken away, but not half of a long line.
    let long = "long ".repeat(30);
    for (typed, code, reason, exit, last) in [
        ("short", 1000, "", 0, "\x1b[JConnection closed: 1000 (OK)"),
        (&long, 1000, "", 0, ""),
        ("half a", 4000, "\x1b[2J", 3, "4000 (private use) \\x1b[2J"),
    ] {
        let (_peer, mut terminal, ws) = open(&[]);
        assert!(terminal.is_raw());
        terminal.keys(typed);
        let end = terminal.wait(typed.trim_end().rsplit(' ').next().unwrap());
        terminal.keys("!");
        terminal.wait_from(end, "!");
        ws.close(CloseCode(code), reason).unwrap();
        let drawn = exits(&mut terminal, exit);
        assert!(drawn.ends_with(&format!("{last}.\r\n")), "{drawn:?}");
        let erased = drawn.ends_with("\x1b[JConnection closed: 1000 (OK).\r\n");
        assert!(erased || typed != "short", "{drawn:?}");
        assert!(!erased || typed != long, "{drawn:?}");
    }
    let (peer, mut terminal, ws) = open(&[]);
    drop(ws);
    peer.server.shutdown(Duration::from_secs(1));
    let drawn = exits(&mut terminal, 0);
    let away = "Connection closed: 1001 (going away)";
    assert!(drawn.contains(away), "{drawn:?}");
    let (mut terminal, stream) = open_silent();
    drop(stream);
    let drawn = exits(&mut terminal, 3);
    let lost = "Connection closed: 1006 (connection lost): ";
    assert!(drawn.contains(lost), "{drawn:?}");
}

#[test]
fn what_a_server_sends_moves_no_cursor_and_binary_has_its_size() {
    let (_peer, terminal, ws) = open(&[]);
    ws.send("esc:\x1b[31m bell:\x07 csi:\u{9b}2J bidi:\u{202e} nl:\r\nx tab:\t.")
        .unwrap();
    let shown = r"< esc:\x1b[31m bell:\x07 csi:\x9b2J bidi:\u{202e} nl:\r\nx tab:\t.";
    terminal.wait(&format!("{shown}\r\n"));
    for (bytes, shown) in [
        (vec![0, 1, 255], "< (binary) 00 01 ff [3 bytes]\r\n"),
        (vec![7; 300], " 07 ... [300 bytes]\r\n"),
        (Vec::new(), "< (binary) [0 bytes]\r\n"),
    ] {
        ws.send(bytes).unwrap();
        terminal.wait(shown);
    }
}

#[test]
fn commands_do_what_help_says() {
    let (_peer, mut terminal, ws) = open(&[]);
    for (line, said) in [
        ("/help", "/binary HEX"),
        ("/pong", "/pong is no command, nothing was sent"),
        ("/binary f", "pairs of hexadecimal digits"),
        ("/close 999", "close code 999 may not be sent"),
    ] {
        terminal.keys(&format!("{line}\r"));
        terminal.wait(said);
    }
    // The first messages: nothing of the above was one.
    terminal.keys("//pong\r/binary 00 fF\r");
    assert_eq!(message(&ws), "/pong");
    assert_eq!(message(&ws), plainws::Message::from(&[0, 255]));
    terminal.keys("/ping\r");
    // Answered by whoever receives.
    let nothing = ws.recv_timeout(Duration::from_millis(300)).unwrap();
    assert_eq!(nothing, None);
    let end = terminal.wait("pong after ");
    terminal.wait_from(end, " ms\r\n");
    terminal.keys("/close 4001 so long\r");
    assert_eq!(received_code(&ws), 4001);
    // It was asked for.
    let drawn = exits(&mut terminal, 0);
    assert!(drawn.contains("Connection closed: 4001 (private use) so long.\r\n"));
}

#[test]
fn verbose_lines_are_drawn_above_the_prompt() {
    let (_peer, terminal, ws) = open(&["-vv"]);
    terminal.wait("< HTTP/1.1 101 Switching Protocols\r\n");
    typed(&terminal, "half");
    ws.send("hello").unwrap();
    let end = terminal.wait("< TEXT \"hello\" [5 bytes]\r\n");
    terminal.wait_from(end, "> half");
}

#[test]
fn a_refusal_is_a_sentence_without_a_prompt() {
    let server = refusing();
    let mut terminal = Terminal::spawn(&connect(&[&uri(&server)]));
    let drawn = exits(&mut terminal, 1);
    assert!(drawn.contains("server answered HTTP 403: "), "{drawn:?}");
    assert!(!drawn.contains("> "), "{drawn:?}");
}

#[test]
fn ctrl_c_stops_an_attempt_to_connect() {
    // It accepts and never answers.
    let (listener, uri) = listener();
    let mut terminal = Terminal::spawn(&connect(&[&uri]));
    let _stream = listener.accept().unwrap();
    let start = Instant::now();
    terminal.keys(CTRL_C);
    exits(&mut terminal, 1);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}; the limit is 10 s");
}

#[test]
fn a_password_is_asked_for_without_echo() {
    let peer = Peer::new();
    let terminal = Terminal::spawn(&connect(&[&peer.uri(), "--user", "me"]));
    terminal.wait("Password of me: ");
    wait_until("no echo", PATIENCE, || (!terminal.echoes()).then_some(()));
    terminal.keys("secret\r");
    // me:secret in Base64.
    let ws = peer.next();
    let login = ws.request().header("Authorization");
    assert_eq!(login, Some("Basic bWU6c2VjcmV0"));
    terminal.wait("> ");
    let drawn = terminal.drawn();
    assert!(!drawn.contains("secret"), "{drawn:?}");
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
    let drawn = exits(&mut terminal, 0);
    assert!(!drawn.contains('\x1b'), "{drawn:?}");
}
