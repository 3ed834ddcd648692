//! The daemon: arguments and variables for TLS, and SIGHUP.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;

use super::*;

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
fn certificate_key_and_password_come_from_arguments_and_variables() {
    let folder = Folder::new();
    let write = |name: &str, content: &[u8]| folder.write(name, content).display().to_string();
    let pem = write("localhost.pem", LOCALHOST.combined().as_bytes());
    let chain = write("fullchain.pem", LOCALHOST.pem().as_bytes());
    let key = write("privkey.pem", LOCALHOST.sec1_pem().as_bytes());
    let secret = write("secret.p12", &LOCALHOST.pkcs12("sec ret", &[]));
    let unnamed = write("unnamed", &LOCALHOST.pkcs12("sec ret", &[]));
    let open = write("open.PFX", &LOCALHOST.pkcs12("", &[]));
    // As openssl -passin file: reads it, the first line.
    let password = write("password", b"sec ret\r\nsomething else\n");
    for (cert, more, file) in [
        (&pem, "", ""),
        (&chain, "key", &*key),
        (&pem, "key", &key),
        (&secret, "password-file", &password),
        (&unnamed, "password-file", &password),
        (&open, "", ""),
    ] {
        let mut by_arguments = plainws_command(&["serve", LISTEN, "--tls-cert", cert]);
        let mut by_variables = plainws_command(&["serve", LISTEN]);
        by_variables.env("PLAINWS_TLS_CERT", cert);
        if !more.is_empty() {
            by_arguments.args([&format!("--tls-{more}"), file]);
            let name = more.to_uppercase().replace('-', "_");
            by_variables.env(format!("PLAINWS_TLS_{name}"), file);
        }
        // An argument goes before a variable.
        by_arguments.env("PLAINWS_TLS_CERT", "/no/such/file");
        for command in [by_arguments, by_variables] {
            let daemon = Daemon::spawn(command);
            let line = daemon.wait_line("certificate ");
            assert!(line.contains(cert), "{line}");
            assert!(line.contains("localhost, valid until "), "{line}");
            let port = url_port(&daemon.wait_line("hello at https://127.0.0.1:"));
            greets(port, &LOCALHOST);
        }
    }
}

#[test]
fn what_is_wrong_is_one_line_before_anything_listens() {
    for line in [
        "--tls-key privkey.pem",
        "--tls-password-file password",
        "--tls-cert a --tls-key b --tls-password-file c",
        "--tls-cert",
    ] {
        let args: Vec<&str> = ["serve", LISTEN]
            .into_iter()
            .chain(line.split(' '))
            .collect();
        let (code, lines) = end_of(plainws_command(&args));
        assert_eq!(code, 2, "{line}: {lines:#?}");
        assert!(lines.concat().contains("--tls-"), "{line}: {lines:#?}");
    }
    let folder = Folder::new();
    folder.write("localhost.p12", LOCALHOST.pkcs12("secret", &[]));
    folder.write("wrong", "Secret\n");
    folder.write("binary", b"\xff\xfe\n");
    folder.fifo("fifo");
    let archive = folder.arg("localhost.p12");
    let args = ["serve", LISTEN, "--tls-cert", &archive];
    let line = refused(plainws_command(&args));
    assert!(line.contains("--tls-password-file"), "{line}");
    for file in ["wrong", "binary", "missing", "", "fifo"] {
        let given = folder.arg(file);
        let line = refused(plainws_command(
            &[&args[..], &["--tls-password-file", &given]].concat(),
        ));
        let named = if file == "wrong" { &archive } else { &given };
        assert!(line.contains(named) && !line.contains("Secret"), "{line}");
    }
    let line = refused(plainws_command(&[
        "serve",
        "--listen=tls+hello=127.0.0.1:0",
    ]));
    assert!(
        line.contains("127.0.0.1:0") && line.contains("--tls-cert"),
        "{line}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let listen = format!("--listen=hello={}", taken.local_addr().expect("an address"));
    let line = refused(plainws_command(&[
        "serve",
        &listen,
        "--tls-cert=/no/such/file.pem",
    ]));
    assert!(
        line.contains("/no/such/file.pem") && line.contains("plainws cert"),
        "{line}"
    );
}

#[test]
fn plain_listeners_stand_beside_those_with_tls() {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let (plain_path, secure_path) = (folder.arg("plain"), folder.arg("secure"));
    let daemon = plainws(&[
        "serve",
        "--tls-cert",
        arg(&file),
        LISTEN,
        "--listen=plain+counter=127.0.0.1:0",
        "--listen=tls+clock=127.0.0.1:0",
        "--listen=plain+127.0.0.1:0",
        &format!("--listen=plain+unix:{plain_path}"),
        &format!("--listen=unix:{secure_path}"),
    ]);
    let [hello, counter, clock, index] = [
        "hello at https",
        "counter at http",
        "clock at https",
        "index at http",
    ]
    .map(|place| url_port(&daemon.wait_line(&format!("{place}://"))));
    greets(hello, &LOCALHOST);
    assert!(!Secure::upgrade(clock, "/").message().text().is_empty());
    // One counter for those who come in by TLS, and those who do not.
    let mut plain = Raw::upgrade(counter, "/");
    let mut secure = Secure::upgrade(hello, "/counter");
    secure.send(&text(PLUS));
    while !plain.message().text().contains(r#""value":1"#) {}
    // The wrong way round at each.
    for (port, status) in [(counter, 200), (index, 200), (hello, 400), (clock, 400)] {
        assert_eq!(exchange(port, get("/", "")).status, status);
    }
    daemon.wait_line(&format!("index at unix:{secure_path}, with TLS"));
    for (path, status) in [(&plain_path, 200), (&secure_path, 400)] {
        let stream = UnixStream::connect(path).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut peer = raw::Peer::new(stream);
        peer.send(get("/", "").as_bytes());
        assert_eq!(peer.answer().status, status);
    }
}

// ---- SIGHUP -----------------------------------------------------------------------------------

/// How many lines of a level there are so far, and the last.
fn lines_of(daemon: &Daemon, level: &str) -> (usize, String) {
    let mut lines = daemon.lines();
    lines.retain(|line| line.contains(level));
    (lines.len(), lines.pop().unwrap_or_default())
}

/// Waits until new handshakes show this certificate; how long it took.
#[track_caller]
fn wait_shown(port: u16, certificate: &Certificate) -> Duration {
    let start = Instant::now();
    wait_until("the new certificate to be shown", PATIENCE, || {
        (Secure::connect(port).serial() == certificate.serial()).then_some(())
    });
    greets(port, certificate);
    start.elapsed()
}

#[test]
fn sighup_shows_the_new_certificate_within_a_second_and_cuts_nobody() {
    let folder = Folder::new();
    // As certbot does it: a link in one folder to a file in another, replaced at once.
    folder.write("0.pem", LOCALHOST.combined());
    let link = folder.path("live.pem");
    symlink(folder.path("0.pem"), &link).expect("a link");
    let (daemon, port) = serve("hello", &link, &["--listen=tls+counter=127.0.0.1:0"]);
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
    let best = (1..4).map(|number| {
        let renewed = Certificate::localhost();
        let file = folder.write(&format!("{number}.pem"), renewed.combined());
        symlink(file, folder.path("next.pem")).expect("a link");
        fs::rename(folder.path("next.pem"), &link).expect("a link can be replaced");
        daemon.signal("HUP");
        let took = wait_shown(port, &renewed);
        assert_eq!(
            Secure::connect(second).serial(),
            renewed.serial(),
            "at each listener"
        );
        took
    });
    let best = best.min().expect("three");
    assert!(best < Duration::from_secs(1), "shown after {best:?}");

    old.send(PLUS).expect("the old connection is open");
    while !next(&old).to_string().contains(r#""value":1"#) {}
    let mut late = Secure::over(waiting).open("/hello");
    late.send(&text("Rust"));
    assert_eq!(late.message().text(), "Hello Rust!");
    let (told, last) = lines_of(&daemon, "SIGHUP: new clients see the certificate");
    assert!(
        told == 3 && last.contains("valid until"),
        "{}",
        daemon.report()
    );
    // Many of them leave nothing behind.
    drop((old, late));
    daemon.wait_clients(0);
    let descriptors = daemon.descriptors();
    for _ in 0..30 {
        daemon.signal("HUP");
        drop(Secure::connect(port));
    }
    daemon.wait_clients(0);
    wait_until("the descriptors to be closed", PATIENCE, || {
        (daemon.descriptors() <= descriptors).then_some(())
    });
    assert_eq!(lines_of(&daemon, "[ERROR]").0, 0, "{}", daemon.report());
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
    let mut errors = 0;
    let mut fails = |expected: &str| {
        daemon.signal("HUP");
        errors += 1;
        wait_until(&format!("an error {expected:?}"), PATIENCE, || {
            (lines_of(&daemon, "[ERROR]").0 == errors).then_some(())
        });
        let (_, line) = lines_of(&daemon, "[ERROR]");
        for part in [expected, arg(&file), "the old certificate stays"] {
            assert!(line.contains(part), "{expected}: {line}");
        }
        greets(port, &LOCALHOST);
    };
    for (content, expected) in [
        ("", "is empty"),
        (&*"\u{0}\u{1}garbage\n".repeat(500), "no certificate"),
        (&(LOCALHOST.pem() + &other.key_pem()), "does not belong"),
        (&(other.pem() + &other.encrypted_pem("x")), "is encrypted"),
        (
            &(other.pem() + &other.old_encrypted_pem("x")),
            "is encrypted",
        ),
        (&expired.combined(), "expired on"),
        (&renewed[..renewed.len() / 2], "damaged"),
        (&renewed.trim_end()[..renewed.len() - 20], "damaged"),
        (&other.pem(), "no private key"),
        (&other.key_pem(), "no certificate"),
        (&"\n".repeat(2 << 20), "larger than"),
    ] {
        folder.write("localhost.pem", content);
        fails(expected);
    }
    fs::remove_file(&file).expect("the file can be removed");
    fails("cannot read ");
    fs::create_dir(&file).expect("a folder in its place");
    fails("is no file");
    fs::remove_dir(&file).expect("the folder can be removed");
    // The way back is open.
    folder.write("localhost.pem", &renewed);
    daemon.signal("HUP");
    wait_shown(port, &other);
}

#[test]
fn sighup_reads_key_and_password_files_again_too() {
    let folder = Folder::new();
    let renewed = Certificate::localhost();
    type Content = fn(&Certificate, &str) -> Vec<u8>;
    let rows: [(&str, &str, Content, &str); 2] = [
        (
            "fullchain.pem",
            "--tls-key",
            |of, _| of.pem().into(),
            "does not belong to the certificate",
        ),
        (
            "localhost.p12",
            "--tls-password-file",
            |of, password| of.pkcs12(password, &[]),
            "the password is wrong",
        ),
    ];
    for (name, option, content, between) in rows {
        let second = |of: &Certificate, password: &str| match option {
            "--tls-key" => of.key_pem(),
            _ => format!("{password}\n"),
        };
        let file = folder.write(name, content(&LOCALHOST, "old"));
        let other = folder.write("second", second(&LOCALHOST, "old"));
        let (daemon, port) = serve("hello", &file, &[option, arg(&other)]);
        // Between the two writes of a renewal they do not fit.
        folder.write(name, content(&renewed, "new"));
        daemon.signal("HUP");
        daemon.wait_line(between);
        greets(port, &LOCALHOST);
        folder.write("second", second(&renewed, "new"));
        daemon.signal("HUP");
        wait_shown(port, &renewed);
    }
}

#[test]
fn sighup_without_tls_or_while_it_ends_does_no_harm() {
    let (daemon, port) = raw::serve("hello", &[]);
    for _ in 0..2 {
        daemon.signal("HUP");
    }
    daemon.wait_line("SIGHUP: there is no certificate to read again");
    assert_eq!(exchange(port, get("/", "")).status, 200, "it serves on");

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
