//! What a service manager and the daemon say to each other: notifications, sockets handed over,
//! limits. The manager is the test.

use std::os::unix::net::UnixDatagram;

use super::*;

/// The place of a service manager that is told how the daemon is.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let directory = directory();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, directory }
    }

    /// The daemon at a Unix socket of its own, with the counter.
    fn daemon(&self, watchdog: Option<Duration>) -> Daemon {
        let address = unix(&self.directory);
        let mut command = plainws_command(&["serve", "--listen", &address]);
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        if let Some(bites_after) = watchdog {
            command.env("WATCHDOG_USEC", bites_after.as_micros().to_string());
        }
        Daemon::spawn(command)
    }

    /// The next datagram's lines.
    #[track_caller]
    fn told(&self) -> Vec<String> {
        let mut bytes = [0; 1024];
        let n = self.socket.recv(&mut bytes).expect("a notification");
        let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
        text.lines().map(str::to_owned).collect()
    }

    /// Nothing is told within the time.
    #[track_caller]
    fn silent(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let got = self.socket.recv(&mut [0; 1024]);
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(got.is_err(), "{got:?} bytes were told");
    }
}

fn join(path: &str) -> Connection {
    let stream = UnixStream::connect(path).expect("the daemon listens");
    let client = Client::builder();
    let ws = client.connect_over("ws://localhost/counter", stream);
    ws.expect("the daemon takes a client")
}

#[test]
fn the_manager_is_told_what_happens() {
    let manager = Manager::new();
    let daemon = manager.daemon(None);
    assert_eq!(manager.told(), ["READY=1", "STATUS=clients: 0"]);
    let path = socket(&manager.directory);
    assert!(is_healthy(&path), "it is ready: at once, not soon");

    let first = join(&path);
    assert_eq!(manager.told(), ["STATUS=clients: 1"]);

    daemon.signal("HUP");
    let begin = manager.told();
    assert_eq!(begin[0], "RELOADING=1");
    let time = begin[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 0, "{begin:?}");
    assert_eq!(manager.told(), ["READY=1", "STATUS=clients: 1"]);

    daemon.signal("TERM");
    assert_eq!(end(&first).code(), CloseCode::GOING_AWAY);
    let stopping = manager.told();
    // The close timeout and some more, so that a long one does not end in a kill.
    assert_eq!(
        stopping,
        [
            "STOPPING=1",
            "EXTEND_TIMEOUT_USEC=10000000",
            "STATUS=closing 1 connections"
        ]
    );
}

#[test]
fn the_number_of_clients_is_told_when_it_changes_and_once_a_second() {
    let manager = Manager::new();
    let _daemon = manager.daemon(None);
    manager.told();
    let path = socket(&manager.directory);
    // Nothing changes, so nothing is said.
    manager.silent(Duration::from_millis(1200));
    let start = Instant::now();
    let clients: Vec<_> = (0..20).map(|_| join(&path)).collect();
    let mut told = vec![manager.told()];
    while told.last().unwrap() != &["STATUS=clients: 20"] {
        told.push(manager.told());
    }
    let seconds = start.elapsed().as_secs() as usize;
    assert!(told.len() <= seconds + 1, "{seconds} s: {told:?}");
    drop(clients);
}

#[test]
fn the_watchdog_is_fed_as_long_as_clients_are_accepted() {
    let manager = Manager::new();
    let daemon = manager.daemon(Some(Duration::from_millis(400)));
    assert_eq!(manager.told()[0], "READY=1");
    for _ in 0..5 {
        assert_eq!(manager.told(), ["WATCHDOG=1"]);
    }
    daemon.signal("STOP");
    let status = format!("/proc/{}/status", daemon.pid());
    wait_until("the daemon to stand still", PATIENCE, || {
        let status = fs::read_to_string(&status).unwrap();
        status.contains("State:\tT").then_some(())
    });
    // What was told before that is read first.
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    manager.silent(Duration::from_millis(600));
    daemon.signal("CONT");
    assert_eq!(manager.told(), ["WATCHDOG=1"]);
}

#[test]
fn a_manager_that_does_not_listen_is_none() {
    let mut command = plainws_command(&["serve", "--listen=127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", "/no/such/socket");
    let daemon = Daemon::spawn(command);
    daemon.wait_line("cannot notify the service manager");
    url_port(&daemon.wait_line("index at "));
    stopped(daemon);
}

#[test]
fn what_is_handed_over_and_is_no_listener_is_refused() {
    let mut shell = Command::new("sh");
    let line = r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" serve 3< /dev/null"#;
    shell.args(["-c", line, env!("CARGO_BIN_EXE_plainws")]);
    let (code, lines) = end_of(shell);
    assert_eq!(code, 1);
    assert!(lines[0].contains("LISTEN_FDS: 3, unknown: "), "{lines:?}");
    assert!(lines[0].contains("not a socket"), "{lines:?}");
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let mut command = plainws_command(&["serve", "--listen=127.0.0.1:0"]);
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let daemon = Daemon::spawn(command);
    url_port(&daemon.wait_line("index at "));
}

/// `plainws serve` below limits that a shell sets.
fn limited(ulimit: &str, args: &str) -> Command {
    let mut shell = Command::new("sh");
    let line = format!(r#"{ulimit}; exec "$0" serve --listen 127.0.0.1:0 {args}"#);
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_plainws")]);
    shell
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    let daemon = Daemon::spawn(limited(
        "ulimit -Sn 50; ulimit -Hn 500",
        "--max-connections 300",
    ));
    daemon.wait_line("index at ");
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let files = limits.lines().find(|l| l.starts_with("Max open files"));
    let words: Vec<&str> = files.unwrap().split_whitespace().collect();
    assert_eq!(words[3..5], ["500", "500"], "{limits}");
}

#[test]
fn more_connections_than_open_files_are_refused_with_both_numbers() {
    let (code, lines) = end_of(limited("ulimit -n 500", "--max-connections 400"));
    assert_eq!(code, 1);
    let said = &lines[0];
    for part in [
        "--max-connections 400 needs 563 open files",
        "the limit is 500",
    ] {
        assert!(said.contains(part), "{lines:?}");
    }
    // What it says would do, does.
    let fits = said
        .split("allow ")
        .nth(1)
        .and_then(|s| s.split(' ').next());
    let args = format!("--max-connections {}", fits.unwrap());
    let daemon = Daemon::spawn(limited("ulimit -n 500", &args));
    daemon.wait_line("index at ");
}
