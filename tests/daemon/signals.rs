//! SIGTERM and SIGINT.

use super::*;

#[test]
fn a_signal_closes_everyone_with_1001_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let (mut daemon, port) = serve("counter", &["--listen", "127.0.0.1:0"]);
        let shared = url_port(&daemon.wait_line("index at "));
        let clients = [
            connect(port, "/"),
            connect(shared, "/clock"),
            connect(shared, "/hello"),
        ];
        // A client that only looks: it is in its handshake, and stays there.
        let _idle = Raw::connect(port);
        thread::scope(|scope| {
            let ends = clients.each_ref().map(|ws| scope.spawn(move || end(ws)));
            daemon.signal(signal);
            for end in ends {
                let closed = end.join().unwrap();
                assert_eq!(closed.code(), CloseCode::GOING_AWAY, "{closed}");
                assert!(closed.received_first && closed.is_normal(), "{closed}");
            }
        });
        assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
        let line = daemon.wait_line(&format!("SIG{signal}"));
        assert!(line.contains("closing 3 connections"), "{line}");
    }
}

#[test]
fn a_signal_without_clients_exits_with_0_at_once() {
    let (mut daemon, _port) = serve("clock", &["--close-timeout", "1m"]);
    daemon.signal("TERM");
    // Half the time limit would be too long already.
    assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
}

/// A client of the counter, of which the daemon has taken notice.
#[track_caller]
fn counting(port: u16) -> Raw {
    let mut raw = Raw::upgrade(port, "/");
    assert!(raw.message().text().contains("users"));
    raw
}

#[test]
fn a_client_that_does_not_answer_is_cut_within_the_close_timeout() {
    let (mut daemon, port) = serve("counter", &["--close-timeout", "1s"]);
    let mut silent = counting(port);
    let start = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(500),
        "cut after {took:?} already"
    );
    assert_eq!(silent.close_frame().0, 1001);
}

#[test]
fn a_second_signal_ends_at_once() {
    for (second, code) in [("TERM", 143), ("INT", 130)] {
        let directory = directory();
        let address = unix(&directory);
        let args = ["--close-timeout", "5m", "--listen", &address];
        let (mut daemon, port) = serve("counter", &args);
        let mut silent = counting(port);
        daemon.signal("TERM");
        assert_eq!(silent.close_frame().0, 1001);
        wait_until("the listener to be closed", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).err()
        });
        assert!(daemon.is_running(), "{}", daemon.report());
        // Again and again: what comes together with the first one is the first one.
        wait_until("the end after a second signal", PATIENCE, || {
            // Until it is known to have ended, its id is nobody else's.
            if daemon.is_running() {
                kill(second, &daemon.pid().to_string());
                return None;
            }
            Some(())
        });
        // As a shell tells of a program that a signal has ended.
        assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(code));
        assert!(
            !Path::new(&socket(&directory)).exists(),
            "the file is removed"
        );
    }
}

#[test]
fn signals_that_come_together_are_one() {
    // timeout(1) signals the process, and then its group. Not the same signal twice here, as the
    // system itself makes one of these. Again, as this shell may be stopped between the two.
    let one = || {
        let (mut daemon, port) = serve("counter", &["--close-timeout", "500ms"]);
        let _silent = counting(port);
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -s TERM $0; kill -s INT $0"]);
        let sent = shell.arg(daemon.pid().to_string()).status();
        assert!(sent.unwrap().success(), "{}", daemon.report());
        daemon.wait_exit(PATIENCE).code() == Some(0)
    };
    assert!(
        (0..10).any(|_| one()),
        "the second signal ended it each time"
    );
}

#[test]
fn the_port_is_free_again_for_the_next_daemon() {
    let (first, port) = serve("hello", &[]);
    let ws = connect(port, "/");
    ws.send("Rust").unwrap();
    assert_eq!(end(&ws).code(), CloseCode::NORMAL);
    stopped(first);
    let address = format!("hello=127.0.0.1:{port}");
    let next = plainws(&["serve", "--listen", &address]);
    next.wait_line("hello at ");
}
