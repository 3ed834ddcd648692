//! `--reconnect`.

use super::*;

#[test]
fn it_connects_again_after_an_end_that_is_no_goodbye() {
    let peer = Peer::new();
    let mut pipe = Pipe::new(&[&peer.uri(), "--reconnect"]);
    let first = peer.next();
    pipe.write("one\n");
    assert_eq!(message(&first), "one");
    first.close(CloseCode::GOING_AWAY, "restart").unwrap();
    let line = pipe.daemon.wait_line("trying again in ");
    let told = "connection closed: 1001 (going away) restart; trying again in ";
    assert!(line.starts_with(told), "{line}");
    // Not lost: it waits for the next connection.
    pipe.write("two\n");
    let second = peer.next();
    assert_eq!(message(&second), "two");
    second.send("hello").unwrap();
    second.close(CloseCode::NORMAL, "").unwrap();
    let (code, lines, _) = pipe.result();
    assert_eq!((code, lines), (0, vec!["hello".to_owned()]));
}

#[test]
fn it_gives_up_after_so_many_failures() {
    let (listener, uri) = listener();
    drop(listener);
    let (code, lines, errors) = run(&[&uri, "--reconnect=2"], "");
    assert_eq!((code, lines.len()), (1, 0));
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("; trying again in "), "{errors:?}");
    assert!(errors[1].starts_with("cannot connect to "), "{errors:?}");
    assert!(!errors[1].contains("trying"), "{errors:?}");
}

#[test]
fn a_refusal_that_will_not_pass_is_not_tried_again() {
    let server = Server::builder(|_| Ok(())).listen("127.0.0.1:0");
    let server = server.hosts(["app.example"]).start().unwrap();
    let (code, _, errors) = run(&[&uri(&server), "--reconnect"], "");
    assert_eq!(code, 1);
    assert!(
        errors[0].starts_with("server answered HTTP 403: "),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn a_signal_stops_it_while_it_waits() {
    let (listener, uri) = listener();
    drop(listener);
    let pipe = Pipe::new(&[&uri, "--reconnect=1000"]);
    pipe.daemon.wait_line("trying again in ");
    pipe.daemon.signal("INT");
    let (code, lines, _) = pipe.result();
    assert_eq!((code, lines.len()), (1, 0));
}

#[test]
fn at_a_terminal_it_says_when_there_is_no_connection() {
    let peer = Peer::new();
    let mut terminal = Terminal::spawn(&connect(&[&peer.uri(), "--reconnect"]));
    let ws = peer.next();
    terminal.wait("> ");
    // As a server that is restarted; nobody listens there any more.
    drop(ws);
    peer.server.shutdown(PATIENCE);
    drop(peer);
    let end = terminal.wait("; trying again");
    terminal.keys("lost\r");
    terminal.wait_from(end, "not sent: there is no connection");
    terminal.keys(CTRL_C);
    assert_eq!(terminal.exit_code(), Some(1));
}

#[test]
fn at_a_terminal_the_next_connection_is_told() {
    let peer = Peer::new();
    let mut terminal = Terminal::spawn(&connect(&[&peer.uri(), "--reconnect"]));
    let first = peer.next();
    let end = terminal.wait("> ");
    first.close(CloseCode(4000), "again").unwrap();
    let told = "connection closed: 4000 (private use) again; trying again in ";
    let end = terminal.wait_from(end, told);
    let second = peer.next();
    terminal.wait_from(end, "Connected to ");
    terminal.keys("hello\r");
    assert_eq!(message(&second), "hello");
    terminal.keys(CTRL_D);
    assert_eq!(received_code(&second), 1000);
    assert_eq!(terminal.exit_code(), Some(0));
}
