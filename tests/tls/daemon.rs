//! The daemon: arguments and variables for TLS, and SIGHUP.

use super::*;

/// Adds variables to a command of the daemon.
fn with_env(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = plainws_command(args);
    command.envs(variables.iter().copied());
    command
}

/// Greets over TLS; the client trusts `ca` alone.
#[track_caller]
fn greets(port: u16, ca: &Certificate) {
    let ws = Client::builder().ca(ca.pem());
    let ws = ws.connect(&format!("wss://localhost:{port}/"));
    let ws = ws.unwrap_or_else(|why| panic!("no client gets through: {why}"));
    ws.send("Rust").expect("the connection is open");
    assert_eq!(next(&ws), Message::from("Hello Rust!"));
}

/// The daemon cannot start: its one line.
#[track_caller]
fn refused(command: Command) -> String {
    let (code, lines) = end_of(command);
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(lines[0].contains("[ERROR]"), "{lines:#?}");
    lines.concat()
}

const LISTEN: &str = "--listen=hello=127.0.0.1:0";

#[test]
fn certificate_key_and_password_come_from_arguments() {
    let folder = Folder::new();
    let combined = folder.write("localhost.pem", LOCALHOST.combined());
    let chain = folder.write("fullchain.pem", LOCALHOST.pem());
    let key = folder.write("privkey.pem", LOCALHOST.sec1_pem());
    let secret = folder.write("secret.p12", LOCALHOST.pkcs12("sec ret", &[]));
    let open = folder.write("open.PFX", LOCALHOST.pkcs12("", &[]));
    let unnamed = folder.write("unnamed", LOCALHOST.pkcs12("sec ret", &[]));
    // As openssl -passin file: reads it, the first line.
    let password = folder.write("password", "sec ret\r\nsomething else\n");
    for args in [
        vec!["--tls-cert", arg(&combined)],
        vec!["--tls-cert", arg(&chain), "--tls-key", arg(&key)],
        vec!["--tls-key", arg(&key), "--tls-cert", arg(&combined)],
        vec![
            "--tls-cert",
            arg(&secret),
            "--tls-password-file",
            arg(&password),
        ],
        vec![
            "--tls-cert",
            arg(&unnamed),
            "--tls-password-file",
            arg(&password),
        ],
        vec!["--tls-cert", arg(&open)],
    ] {
        let daemon = plainws(&[&["serve", LISTEN], &args[..]].concat());
        let line = daemon.wait_line("certificate ");
        assert!(
            line.contains(args[args.iter().position(|a| *a == "--tls-cert").unwrap() + 1]),
            "{line}"
        );
        assert!(line.contains("localhost, valid until "), "{line}");
        let port = url_port(&daemon.wait_line("hello at https://127.0.0.1:"));
        greets(port, &LOCALHOST);
    }
}

#[test]
fn certificate_key_and_password_come_from_variables() {
    let folder = Folder::new();
    let chain = folder.write("fullchain.pem", LOCALHOST.pem());
    let key = folder.write("privkey.pem", LOCALHOST.key_pem());
    let archive = folder.write("localhost.p12", LOCALHOST.pkcs12("secret", &[]));
    let password = folder.write("password", "secret\n");
    for variables in [
        [
            ("PLAINWS_TLS_CERT", arg(&chain)),
            ("PLAINWS_TLS_KEY", arg(&key)),
        ],
        [
            ("PLAINWS_TLS_CERT", arg(&archive)),
            ("PLAINWS_TLS_PASSWORD_FILE", arg(&password)),
        ],
    ] {
        let daemon = Daemon::spawn(with_env(&["serve", LISTEN], &variables));
        let port = url_port(&daemon.wait_line("hello at https://"));
        greets(port, &LOCALHOST);
    }
    // An argument goes before a variable.
    let other = Certificate::localhost();
    let file = folder.write("other.pem", other.combined());
    let args = ["serve", LISTEN, "--tls-cert", arg(&file)];
    let daemon = Daemon::spawn(with_env(&args, &[("PLAINWS_TLS_CERT", arg(&chain))]));
    let port = url_port(&daemon.wait_line("hello at https://"));
    greets(port, &other);
}

#[test]
fn arguments_that_need_each_other_are_told_with_exit_code_2() {
    for args in [
        &["--tls-key", "privkey.pem"][..],
        &["--tls-password-file", "password"],
        &[
            "--tls-cert",
            "a",
            "--tls-key",
            "b",
            "--tls-password-file",
            "c",
        ],
        &["--tls-cert"],
    ] {
        let (code, lines) = end_of(plainws_command(&[&["serve", LISTEN], args].concat()));
        assert_eq!(code, 2, "{args:?}: {lines:#?}");
        assert!(lines.concat().contains("--tls-"), "{args:?}: {lines:#?}");
    }
}

#[test]
fn a_password_that_is_wrong_or_not_there_is_one_line() {
    let folder = Folder::new();
    let archive = folder.write("localhost.p12", LOCALHOST.pkcs12("secret", &[]));
    let wrong = folder.write("wrong", "Secret\n");
    let binary = folder.write("binary", b"\xff\xfe\n");
    let missing = folder.path("missing");
    let directory = folder.path("");
    let args = ["serve", LISTEN, "--tls-cert", arg(&archive)];
    let line = refused(plainws_command(&args));
    assert!(line.contains("--tls-password-file"), "{line}");
    for (file, named) in [
        (&wrong, &archive),
        (&binary, &binary),
        (&missing, &missing),
        (&directory, &directory),
    ] {
        let more = ["--tls-password-file", arg(file)];
        let line = refused(plainws_command(&[&args[..], &more].concat()));
        assert!(line.contains(arg(named)), "{line}");
        assert!(!line.contains("Secret"), "{line}");
    }
}

#[test]
fn plain_listeners_stand_beside_those_with_tls() {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let daemon = plainws(&[
        "serve",
        "--tls-cert",
        arg(&file),
        "--listen=hello=127.0.0.1:0",
        "--listen=plain+counter=127.0.0.1:0",
        "--listen=tls+clock=127.0.0.1:0",
        "--listen=plain+127.0.0.1:0",
    ]);
    let hello = url_port(&daemon.wait_line("hello at https://"));
    let counter = url_port(&daemon.wait_line("counter at http://"));
    let clock = url_port(&daemon.wait_line("clock at https://"));
    let index = url_port(&daemon.wait_line("index at http://"));
    greets(hello, &LOCALHOST);
    assert_eq!(exchange(counter, get("/", "")).status, 200);
    let mut plain = Raw::upgrade(counter, "/");
    assert!(plain.message().text().contains("users"));
    let mut clock_client = Secure::upgrade(clock, "/");
    assert!(!clock_client.message().text().is_empty());
    // One counter for those who come in by TLS, and those who do not.
    let mut secure = Secure::upgrade(hello, "/counter");
    secure.send(&text(PLUS));
    while !plain.message().text().contains(r#""value":1"#) {}
    assert_eq!(exchange(index, get("/", "")).status, 200);
    // The wrong way round at each.
    assert_eq!(exchange(hello, get("/", "")).status, 400);
    assert_eq!(exchange(clock, get("/", "")).status, 400);
}

#[test]
fn a_unix_socket_may_have_tls_or_not() {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let (plain, secure) = (folder.path("plain"), folder.path("secure"));
    let daemon = plainws(&[
        "serve",
        "--tls-cert",
        arg(&file),
        &format!("--listen=plain+unix:{}", plain.display()),
        &format!("--listen=unix:{}", secure.display()),
    ]);
    daemon.wait_line(&format!("index at unix:{}, with TLS", secure.display()));
    for (path, status) in [(&plain, "200"), (&secure, "400")] {
        let mut stream = std::os::unix::net::UnixStream::connect(path).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.write_all(get("/", "").as_bytes()).expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[test]
fn tls_without_a_certificate_is_refused_and_plain_is_not() {
    let args = ["serve", "--listen=tls+hello=127.0.0.1:0"];
    let line = refused(plainws_command(&args));
    assert!(line.contains("127.0.0.1:0"), "which listener: {line}");
    assert!(line.contains("--tls-cert"), "the remedy: {line}");
    let daemon = plainws(&["serve", "--listen=plain+hello=127.0.0.1:0"]);
    let port = url_port(&daemon.wait_line("hello at http://"));
    assert_eq!(exchange(port, get("/", "")).status, 200);
}

#[test]
fn what_is_wrong_with_the_files_is_told_before_anything_listens() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("an address");
    let args = [
        "serve",
        &format!("--listen=hello={address}"),
        "--tls-cert=/no/such/file.pem",
    ];
    let line = refused(plainws_command(&args));
    assert!(line.contains("/no/such/file.pem"), "{line}");
    assert!(line.contains("plainws cert"), "the remedy: {line}");
}

// ---- SIGHUP -----------------------------------------------------------------------------------

/// The lines of a level so far.
fn lines_of(daemon: &Daemon, level: &str) -> Vec<String> {
    let mut lines = daemon.lines();
    lines.retain(|line| line.contains(level));
    lines
}

/// Waits until new handshakes show this serial number; how long it took.
#[track_caller]
fn wait_serial(port: u16, serial: &str) -> Duration {
    let start = Instant::now();
    wait_until("the new certificate to be shown", PATIENCE, || {
        (Secure::connect(port).serial() == serial).then_some(())
    });
    start.elapsed()
}

#[test]
fn sighup_shows_the_new_certificate_within_a_second_and_cuts_nobody() {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let listen = ["--listen=tls+counter=127.0.0.1:0"];
    let (daemon, port) = serve("hello", &file, &listen);
    let second = url_port(&daemon.wait_line("counter at https://"));
    assert_eq!(Secure::connect(port).serial(), LOCALHOST.serial());
    let client = Client::builder().ca(LOCALHOST.pem());
    let old = client
        .connect(&format!("wss://localhost:{second}/"))
        .expect("a client");
    next(&old);
    // In the middle of its handshake: it goes on with what it has begun.
    let waiting = Raw::connect(port);

    // The best of some, as a machine may be busy just now.
    let best = (0..3).map(|_| {
        let renewed = Certificate::localhost();
        folder.write("localhost.pem", renewed.combined());
        daemon.signal("HUP");
        let took = wait_serial(port, &renewed.serial());
        assert_eq!(
            Secure::connect(second).serial(),
            renewed.serial(),
            "at each listener"
        );
        greets(port, &renewed);
        took
    });
    let best = best.min().expect("three");
    assert!(best < Duration::from_secs(1), "shown after {best:?}");

    old.send(PLUS).expect("the old connection is open");
    while !next(&old).to_string().contains(r#""value":1"#) {}
    let mut late = Secure::over(waiting).open("/hello");
    late.send(&text("Rust"));
    assert_eq!(late.message().text(), "Hello Rust!");
    assert!(
        lines_of(&daemon, "[ERROR]").is_empty(),
        "{}",
        daemon.report()
    );
    let told = lines_of(&daemon, "SIGHUP: new clients see the certificate");
    assert_eq!(told.len(), 3, "{}", daemon.report());
    assert!(told[0].contains("valid until"), "{told:?}");
}

#[test]
fn sighup_with_bad_files_changes_nothing_and_is_one_error() {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let (daemon, port) = serve("hello", &file, &[]);
    let expired = Certificate::new(&Wish {
        days: -1,
        ..Wish::default()
    });
    let other = Certificate::localhost();
    let renewed = other.combined();
    let half = &renewed[..renewed.len() / 2];
    let mut errors = 0;
    for (what, content, expected) in [
        ("empty", String::new(), "is empty"),
        (
            "garbage",
            "\u{0}\u{1}garbage\n".repeat(500),
            "no certificate",
        ),
        (
            "another's key",
            LOCALHOST.pem() + &other.key_pem(),
            "does not belong",
        ),
        (
            "encrypted",
            other.pem() + &other.encrypted_pem("x"),
            "is encrypted",
        ),
        (
            "encrypted as of old",
            other.pem() + &other.old_encrypted_pem("x"),
            "is encrypted",
        ),
        ("expired", expired.combined(), "expired on"),
        ("half of it", half.to_owned(), "damaged"),
        (
            "the last line missing",
            renewed.trim_end()[..renewed.len() - 20].to_owned(),
            "damaged",
        ),
        ("no key", other.pem(), "no private key"),
        ("no certificate", other.key_pem(), "no certificate"),
        ("too large", "\n".repeat(2 << 20), "larger than"),
    ] {
        folder.write("localhost.pem", content);
        daemon.signal("HUP");
        errors += 1;
        wait_until(&format!("an error about {what}"), PATIENCE, || {
            (lines_of(&daemon, "[ERROR]").len() == errors).then_some(())
        });
        let line = lines_of(&daemon, "[ERROR]").pop().expect("counted");
        assert!(line.contains(expected), "{what}: {line}");
        assert!(line.contains(arg(&file)), "{what}: {line}");
        assert!(line.contains("the old certificate stays"), "{what}: {line}");
        greets(port, &LOCALHOST);
    }
    fs::remove_file(&file).expect("the file can be removed");
    daemon.signal("HUP");
    let line = daemon.wait_line("SIGHUP: the old certificate stays in force: cannot read ");
    assert!(line.contains(arg(&file)), "{line}");
    greets(port, &LOCALHOST);
    fs::create_dir(&file).expect("a folder in its place");
    daemon.signal("HUP");
    daemon.wait_line("is no file");
    greets(port, &LOCALHOST);
    fs::remove_dir(&file).expect("the folder can be removed");
    // Each was one line, and the way back is open.
    folder.write("localhost.pem", &renewed);
    daemon.signal("HUP");
    wait_serial(port, &other.serial());
    greets(port, &other);
    let all = lines_of(&daemon, "[ERROR]");
    assert_eq!(all.len(), errors + 2, "{all:#?}");
}

#[test]
fn sighup_reads_key_and_password_files_again_too() {
    let folder = Folder::new();
    let chain = folder.write("fullchain.pem", LOCALHOST.pem());
    let key = folder.write("privkey.pem", LOCALHOST.key_pem());
    let (daemon, port) = serve("hello", &chain, &["--tls-key", arg(&key)]);
    let renewed = Certificate::localhost();
    // Between the two writes of a renewal the pair does not fit.
    folder.write("fullchain.pem", renewed.pem());
    daemon.signal("HUP");
    daemon.wait_line("does not belong to the certificate");
    greets(port, &LOCALHOST);
    folder.write("privkey.pem", renewed.key_pem());
    daemon.signal("HUP");
    wait_serial(port, &renewed.serial());

    let archive = folder.write("localhost.p12", LOCALHOST.pkcs12("old", &[]));
    let password = folder.write("password", "old\n");
    let args = ["--tls-password-file", arg(&password)];
    let (daemon, port) = serve("hello", &archive, &args);
    folder.write("localhost.p12", renewed.pkcs12("new", &[]));
    daemon.signal("HUP");
    daemon.wait_line("the password is wrong");
    greets(port, &LOCALHOST);
    folder.write("password", "new\n");
    daemon.signal("HUP");
    wait_serial(port, &renewed.serial());
}

/// As certbot does it: a link in one folder to a file in another, replaced at once.
#[test]
fn sighup_follows_a_link_to_where_it_leads_now() {
    let folder = Folder::new();
    let renewed = Certificate::localhost();
    let old = folder.write("localhost1.pem", LOCALHOST.combined());
    let new = folder.write("localhost2.pem", renewed.combined());
    let link = folder.path("live.pem");
    std::os::unix::fs::symlink(&old, &link).expect("a link");
    let (daemon, port) = serve("hello", &link, &[]);
    assert_eq!(Secure::connect(port).serial(), LOCALHOST.serial());
    let next = folder.path("next.pem");
    std::os::unix::fs::symlink(&new, &next).expect("a link");
    fs::rename(&next, &link).expect("a link can be replaced");
    daemon.signal("HUP");
    wait_serial(port, &renewed.serial());
}

#[test]
fn many_sighups_under_load_leave_nothing_behind() {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let (daemon, port) = serve("hello", &file, &[]);
    greets(port, &LOCALHOST);
    let gone = || (daemon.clients() == 0).then_some(());
    wait_until("the threads of clients to end", PATIENCE, gone);
    let descriptors = daemon.descriptors();
    for _ in 0..30 {
        daemon.signal("HUP");
        greets(port, &LOCALHOST);
    }
    wait_until("the threads of clients to end", PATIENCE, gone);
    wait_until("the descriptors to be closed", PATIENCE, || {
        (daemon.descriptors() <= descriptors).then_some(())
    });
    assert!(
        lines_of(&daemon, "[ERROR]").is_empty(),
        "{}",
        daemon.report()
    );
}

#[test]
fn sighup_without_tls_does_not_end_the_daemon() {
    let (daemon, port) = raw::serve("hello", &[]);
    for _ in 0..2 {
        daemon.signal("HUP");
    }
    daemon.wait_line("SIGHUP: there is no certificate to read again");
    let ws = plainws::connect(&format!("ws://127.0.0.1:{port}/")).expect("it serves on");
    ws.send("Rust").expect("the connection is open");
    assert_eq!(next(&ws), Message::from("Hello Rust!"));
}

#[test]
fn sighup_while_it_ends_does_no_harm() {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let (mut daemon, port) = serve("counter", &file, &["--close-timeout", "2s"]);
    let mut silent = Secure::upgrade(port, "/");
    silent.message();
    daemon.signal("TERM");
    daemon.wait_line("SIGTERM: closing 1 connection");
    daemon.signal("HUP");
    assert_eq!(
        daemon.wait_exit(PATIENCE).code(),
        Some(0),
        "{}",
        daemon.report()
    );
}

#[test]
fn a_password_file_that_nobody_writes_does_not_keep_it_from_ending() {
    let folder = Folder::new();
    let archive = folder.write("localhost.p12", LOCALHOST.pkcs12("secret", &[]));
    let fifo = folder.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    let args = [
        "serve",
        LISTEN,
        "--tls-cert",
        arg(&archive),
        "--tls-password-file",
        arg(&fifo),
    ];
    let line = refused(plainws_command(&args));
    assert!(line.contains(arg(&fifo)), "{line}");
}
