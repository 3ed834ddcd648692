//! Certificates and keys in files, as people have them and as they must not be.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::*;

/// An issuer, one that it has made, and a certificate of the latter.
struct Chain {
    root: Certificate,
    issuer: Certificate,
    leaf: Certificate,
}

impl Chain {
    fn new() -> Chain {
        let root = Certificate::new(&Wish {
            names: &["Test Root"],
            is_issuer: true,
            ..Wish::default()
        });
        let issuer = Certificate::new(&Wish {
            names: &["Test Issuer"],
            is_issuer: true,
            issuer: Some(&root),
            ..Wish::default()
        });
        let leaf = Certificate::new(&Wish {
            issuer: Some(&issuer),
            ..Wish::default()
        });
        Chain { root, issuer, leaf }
    }
}

fn rsa() -> Certificate {
    Certificate::new(&Wish {
        rsa: true,
        ..Wish::default()
    })
}

fn expired() -> Certificate {
    Certificate::new(&Wish {
        days: -1,
        ..Wish::default()
    })
}

/// Serves by the identity: a client that trusts `ca` alone gets through.
#[track_caller]
fn works(identity: plainws::Result<Identity>, ca: &Certificate, what: &str) {
    let identity = identity.unwrap_or_else(|why| panic!("{what} is refused: {why}"));
    let tls = Tls::new(&identity).unwrap_or_else(|why| panic!("{what} cannot be used: {why}"));
    let server = Server::builder(|ws| ws.send("hi")).listen_tls("127.0.0.1:0", &tls);
    let server = server.start().expect("the server starts");
    let port = server.local_addr().port().expect("a port");
    let client = Client::builder().ca(ca.pem());
    let ws = client.connect(&format!("wss://localhost:{port}/"));
    let ws = ws.unwrap_or_else(|why| panic!("no client trusts {what}: {why}"));
    assert_eq!(next(&ws), Message::from("hi"), "{what}");
}

/// Why it is refused: one line that names the file, or what is given for it.
#[track_caller]
fn refused(identity: plainws::Result<Identity>, name: &str, what: &str) -> String {
    let why = match identity {
        Ok(identity) => panic!("{what} is taken as {identity}"),
        Err(Error::Tls { what: why }) => why,
        Err(other) => panic!("{what} is an error of another kind: {other}"),
    };
    assert!(!why.contains('\n'), "{what}: more than one line: {why:?}");
    assert!(why.contains(name), "{what}: {name} is not named: {why}");
    why
}

/// As [`refused`], from one file with this content.
#[track_caller]
fn refused_file(content: impl AsRef<[u8]>, what: &str) -> String {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", content);
    refused(Identity::from_pem_file(&file), arg(&file), what)
}

#[test]
fn a_file_may_have_certificate_and_key_in_any_order_and_form() {
    let (ec, rsa) = (&*LOCALHOST, rsa());
    let text = "Bag Attributes\n    friendlyName: localhost\nsubject=CN = localhost\n\n";
    let all = [
        ("certificate, key", ec, ec.pem() + &ec.key_pem()),
        ("key, certificate", ec, ec.key_pem() + &ec.pem()),
        ("SEC1 behind", ec, ec.pem() + &ec.sec1_pem()),
        ("SEC1 in front", ec, ec.sec1_pem() + &ec.pem()),
        (
            "SEC1 with its parameters behind",
            ec,
            ec.pem() + EC_PARAMETERS + &ec.sec1_pem(),
        ),
        (
            "SEC1 with its parameters in front",
            ec,
            EC_PARAMETERS.to_owned() + &ec.sec1_pem() + &ec.pem(),
        ),
        ("RSA in PKCS#8", &rsa, rsa.key_pem() + &rsa.pem()),
        ("RSA in PKCS#1", &rsa, rsa.pkcs1_pem() + &rsa.pem()),
        ("RSA in PKCS#1 behind", &rsa, rsa.pem() + &rsa.pkcs1_pem()),
        ("lines of Windows", ec, ec.combined().replace('\n', "\r\n")),
        (
            "text between",
            ec,
            [text, &ec.key_pem(), text, &ec.pem(), text].concat(),
        ),
        (
            "no newline at the end",
            ec,
            ec.combined().trim_end().to_owned(),
        ),
    ];
    let folder = Folder::new();
    for (what, certificate, content) in all {
        let file = folder.write("localhost.pem", content);
        works(Identity::from_pem_file(&file), certificate, what);
    }
}

#[test]
fn certificate_and_key_may_be_two_files() {
    let (ec, rsa) = (&*LOCALHOST, rsa());
    let folder = Folder::new();
    for (what, certificate, key) in [
        ("PKCS#8", ec, ec.key_pem()),
        ("SEC1", ec, ec.sec1_pem()),
        (
            "SEC1 with parameters",
            ec,
            EC_PARAMETERS.to_owned() + &ec.sec1_pem(),
        ),
        ("RSA in PKCS#8", &rsa, rsa.key_pem()),
        ("RSA in PKCS#1", &rsa, rsa.pkcs1_pem()),
        // As openssl req writes both in one with -keyout and -out the same.
        ("a key's file with the certificate too", ec, ec.combined()),
    ] {
        let chain = folder.write("fullchain.pem", certificate.pem());
        let key = folder.write("privkey.pem", key);
        works(Identity::from_pem_files(&chain, &key), certificate, what);
    }
    works(
        Identity::from_pem(ec.pem().as_bytes(), ec.sec1_pem().as_bytes()),
        ec,
        "memory",
    );
}

#[test]
fn a_chain_is_shown_whole_wherever_the_leaf_stands() {
    let chain = Chain::new();
    let Chain { root, issuer, leaf } = &chain;
    let (l, i, k) = (leaf.pem(), issuer.pem(), leaf.key_pem());
    let folder = Folder::new();
    for (what, parts) in [
        ("leaf, issuer, key", [&l, &i, &k]),
        ("key, leaf, issuer", [&k, &l, &i]),
        ("issuer, leaf, key", [&i, &l, &k]),
        ("issuer, key, leaf", [&i, &k, &l]),
    ] {
        let file = folder.write("chain.pem", parts.map(String::as_str).concat());
        // Who knows the root alone needs the issuer from the server.
        works(Identity::from_pem_file(&file), root, what);
    }
    let full = folder.write("fullchain.pem", root.pem() + &i + &l);
    let key = folder.write("privkey.pem", k);
    works(
        Identity::from_pem_files(&full, &key),
        root,
        "the root in front, in two files",
    );
}

#[test]
fn pkcs12_is_read_with_its_password() {
    let Chain { root, issuer, leaf } = &Chain::new();
    let folder = Folder::new();
    for password in ["secret", "", "Zoë 世界", "with space and 'quotes'"] {
        let file = folder.write("localhost.p12", leaf.pkcs12(password, &[issuer]));
        let identity = Identity::from_pkcs12_file(&file, password);
        works(identity, root, &format!("password {password:?}"));
    }
}

#[test]
fn pkcs12_with_a_wrong_password_is_told_as_such() {
    let folder = Folder::new();
    for (right, wrong) in [("secret", "Secret"), ("secret", ""), ("", "secret")] {
        let file = folder.write("localhost.p12", LOCALHOST.pkcs12(right, &[]));
        let identity = Identity::from_pkcs12_file(&file, wrong);
        let what = format!("{wrong:?} instead of {right:?}");
        let why = refused(identity, arg(&file), &what);
        assert!(why.contains("password"), "{why}");
        assert!(why.contains("--tls-password-file"), "the remedy: {why}");
        assert!(!why.contains("ecret"), "no password is told: {why}");
    }
}

#[test]
fn pkcs12_that_is_damaged_expired_or_something_else_is_refused() {
    let folder = Folder::new();
    let whole = LOCALHOST.pkcs12("secret", &[]);
    let pem = LOCALHOST.combined().into_bytes();
    let all = [
        ("cut short", &whole[..whole.len() / 2], "damaged"),
        ("its first byte", &whole[..1], "damaged"),
        ("PEM", &pem, "no PKCS#12"),
        ("expired", &expired().pkcs12("secret", &[]), "expired on"),
    ];
    for (what, content, expected) in all {
        let file = folder.write("localhost.p12", content);
        let identity = Identity::from_pkcs12_file(&file, "secret");
        let why = refused(identity, arg(&file), what);
        assert!(why.contains(expected), "{what}: {why}");
    }
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let other = Certificate::localhost();
    let folder = Folder::new();
    for (what, key) in [
        ("another of the same kind", other.key_pem()),
        ("RSA", rsa().key_pem()),
    ] {
        let both = refused_file(LOCALHOST.pem() + &key, what);
        assert!(
            both.contains("does not belong to the certificate"),
            "{both}"
        );
        let certificate = folder.write("fullchain.pem", LOCALHOST.pem());
        let key = folder.write("privkey.pem", key);
        let identity = Identity::from_pem_files(&certificate, &key);
        let why = refused(identity, arg(&key), what);
        assert!(why.contains(arg(&certificate)), "both are named: {why}");
        assert!(why.contains("made together"), "the remedy: {why}");
    }
}

#[test]
fn an_encrypted_key_is_refused_with_the_command_that_decrypts_it() {
    let key = &*LOCALHOST;
    for (what, pem) in [
        ("PKCS#8", key.encrypted_pem("secret")),
        ("the old form", key.old_encrypted_pem("secret")),
        ("no password at all", key.encrypted_pem("")),
    ] {
        for content in [key.pem() + &pem, pem.clone() + &key.pem()] {
            let why = refused_file(content, what);
            assert!(why.contains("is encrypted"), "{what}: {why}");
            assert!(why.contains("openssl pkey -in"), "{what}: {why}");
        }
        let folder = Folder::new();
        let certificate = folder.write("fullchain.pem", key.pem());
        let file = folder.write("privkey.pem", pem);
        let why = refused(
            Identity::from_pem_files(&certificate, &file),
            arg(&file),
            what,
        );
        assert!(why.contains("is encrypted"), "{what}: {why}");
    }
}

/// The daemon's stdin stays open: one that asks for a password waits for ever.
#[test]
fn the_daemon_does_not_ask_for_the_password_of_an_encrypted_key() {
    let folder = Folder::new();
    for pem in [
        LOCALHOST.encrypted_pem("secret"),
        LOCALHOST.old_encrypted_pem("secret"),
    ] {
        let file = folder.write("localhost.pem", LOCALHOST.pem() + &pem);
        let args = ["serve", "--listen=127.0.0.1:0", "--tls-cert", arg(&file)];
        // A terminal of its own, as the prompt goes there and not to stdin or stderr.
        let mut terminal = plainws_command(&[]);
        let program = terminal.get_program().to_owned();
        terminal = Command::new("script");
        let line = format!("{} {}", program.display(), args.join(" "));
        terminal.args(["-qec", &line, "/dev/null"]);
        let mut daemon = Daemon::spawn_group(terminal);
        let status = daemon.wait_exit(PATIENCE);
        let lines = daemon.stdout_lines();
        assert_eq!(status.code(), Some(1), "{lines:#?}");
        assert_eq!(lines.len(), 1, "one line and no question: {lines:#?}");
        assert!(lines[0].contains("is encrypted"), "{lines:#?}");
    }
}

#[test]
fn an_expired_certificate_is_refused_with_its_date() {
    let expired = expired();
    let why = refused_file(expired.combined(), "expired");
    let date = expired.x509.not_after().to_string();
    assert!(why.contains(&date), "{date}: {why}");
    assert!(why.contains("renew it"), "{why}");
    // An issuer that has expired is the business of who trusts it.
    let chain = LOCALHOST.pem() + &expired.pem() + &LOCALHOST.key_pem();
    works(
        Identity::from_pem(chain.as_bytes(), chain.as_bytes()),
        &LOCALHOST,
        "an expired one behind the leaf",
    );
}

/// Cut at every seventh byte, each kind of line included.
#[test]
fn a_file_that_is_cut_short_is_refused_wherever() {
    let (c, k) = (LOCALHOST.pem(), LOCALHOST.key_pem());
    let (sec1, rsa) = (LOCALHOST.sec1_pem(), rsa());
    for (what, whole) in [
        ("certificate, key", c.clone() + &k),
        ("key, certificate", k.clone() + &c),
        ("certificate, SEC1", c.clone() + &sec1),
        (
            "SEC1 with parameters, certificate",
            EC_PARAMETERS.to_owned() + &sec1 + &c,
        ),
        ("PKCS#1, certificate", rsa.pkcs1_pem() + &rsa.pem()),
    ] {
        let end = whole.trim_end().len();
        let last = end - 40..end;
        for at in (1..end).filter(|at| at % 7 == 0 || last.contains(at)) {
            let part = &whole.as_bytes()[..at];
            let what = format!("{what}, cut after {at} of {end} bytes");
            let why = refused(Identity::from_pem(part, part), "the ", &what);
            let remedies = ["copy it anew", "BEGIN PRIVATE KEY", "BEGIN CERTIFICATE"];
            assert!(remedies.iter().any(|r| why.contains(r)), "{what}: {why}");
        }
    }
}

/// With the issuers gone clients that know the root alone would find nobody to trust.
#[test]
fn a_chain_that_is_cut_short_is_refused() {
    let Chain { issuer, leaf, .. } = &Chain::new();
    let begun = leaf.key_pem() + &leaf.pem();
    let whole = begun.clone() + issuer.pem().trim_end();
    // From its whole first line on: less than that is no sign of anything.
    for at in begun.len() + "-----BEGIN CERTIFICATE-----".len()..whole.len() {
        let part = &whole.as_bytes()[..at];
        let what = format!("cut {} bytes into the issuer's", at - begun.len());
        refused(Identity::from_pem(part, part), "the ", &what);
    }
}

#[test]
fn a_file_without_one_of_the_two_says_which() {
    let lacks_key = refused_file(LOCALHOST.pem(), "no key");
    assert!(lacks_key.contains("no private key"), "{lacks_key}");
    assert!(lacks_key.contains("--tls-key"), "the remedy: {lacks_key}");
    let lacks_certificate = refused_file(LOCALHOST.key_pem(), "no certificate");
    assert!(
        lacks_certificate.contains("no certificate"),
        "{lacks_certificate}"
    );
    let folder = Folder::new();
    let certificate = folder.write("fullchain.pem", LOCALHOST.pem());
    let key = folder.write("privkey.pem", LOCALHOST.pem());
    let why = refused(
        Identity::from_pem_files(&certificate, &key),
        arg(&key),
        "two certificates",
    );
    assert!(why.contains("no private key"), "{why}");
    let swapped = Identity::from_pem_files(
        folder.write("a", LOCALHOST.key_pem()),
        folder.write("b", LOCALHOST.pem()),
    );
    refused(swapped, arg(&folder.path("a")), "swapped");
}

#[test]
fn what_is_no_pem_at_all_is_refused() {
    let der = LOCALHOST.x509.to_der().unwrap();
    let why = refused_file(&der, "DER");
    assert!(why.contains("openssl x509 -inform DER"), "{why}");
    let why = refused_file(LOCALHOST.pkcs12("", &[]), "PKCS#12 as PEM");
    assert!(why.contains("--tls-password-file"), "{why}");
    let random: Vec<u8> = (0..4000_u32).map(|i| (i * i % 251) as u8).collect();
    for (what, content) in [
        ("random", random),
        ("zeros", vec![0; 4000]),
        ("a page", b"<!doctype html><p>404".to_vec()),
        ("one newline", b"\n".to_vec()),
        (
            "UTF-16",
            LOCALHOST
                .combined()
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
        ),
        ("a public key", LOCALHOST.key.public_key_to_pem().unwrap()),
    ] {
        let why = refused_file(content, what);
        assert!(why.len() < 300, "{what}: a line to read: {why}");
    }
}

#[test]
fn what_is_no_file_of_that_size_is_refused_and_not_waited_for() {
    let folder = Folder::new();
    let missing = folder.path("missing.pem");
    let why = refused(Identity::from_pem_file(&missing), arg(&missing), "missing");
    assert!(why.contains("plainws cert"), "the remedy: {why}");

    let empty = folder.write("empty.pem", "");
    let why = refused(Identity::from_pem_file(&empty), arg(&empty), "empty");
    assert!(why.contains("is empty"), "{why}");

    let directory = folder.path("");
    let why = refused(
        Identity::from_pem_file(&directory),
        arg(&directory),
        "a folder",
    );
    assert!(why.contains("is no file"), "{why}");

    let socket = folder.path("socket");
    let _socket = UnixListener::bind(&socket).expect("a socket");
    refused(Identity::from_pem_file(&socket), arg(&socket), "a socket");

    let device = Path::new("/dev/zero");
    refused(Identity::from_pem_file(device), "/dev/zero", "a device");

    let large = folder.write("large.pem", LOCALHOST.combined() + &"\n".repeat(2 << 20));
    let why = refused(Identity::from_pem_file(&large), arg(&large), "2 MiB");
    assert!(why.contains("larger than 1048576 bytes"), "{why}");

    let fifo = folder.path("fifo.pem");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    // Nobody will ever write to it; in a thread, so that waiting for that fails.
    let file = fifo.clone();
    let reading = thread::spawn(move || Identity::from_pem_file(file));
    let read = || reading.is_finished().then_some(());
    wait_until("the refusal of a FIFO", PATIENCE, read);
    let why = refused(reading.join().expect("no panic"), arg(&fifo), "a FIFO");
    assert!(why.contains("is no file"), "{why}");

    // Each of these as the key of a certificate as it should be.
    let certificate = folder.write("fullchain.pem", LOCALHOST.pem());
    for key in [&missing, &empty, &directory, &socket, &large, &fifo] {
        let identity = Identity::from_pem_files(&certificate, key);
        refused(identity, arg(key), "in place of a key");
    }
}

/// Runs the daemon as another user, `nobody`; none without root.
fn as_nobody(args: &[&str]) -> Option<Command> {
    let is_root = Command::new("id").arg("-u").output();
    if is_root.expect("id runs").stdout != b"0\n" {
        eprintln!("skipped: only root can become another user");
        return None;
    }
    let mut command = plainws_command(&[]);
    let program = command.get_program().to_owned();
    command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program).args(args);
    Some(command)
}

/// A folder that `nobody` can enter, with the daemon itself, whose own folder may be closed.
fn open_folder() -> Folder {
    let folder = Folder::new();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    open(folder.0.path()).expect("a folder for all");
    folder
}

#[test]
fn a_file_that_may_not_be_read_is_refused_with_a_way_out() {
    let folder = open_folder();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let args = ["serve", "--listen=127.0.0.1:0", "--tls-cert", arg(&file)];
    let Some(command) = as_nobody(&args) else {
        return;
    };
    let (code, lines) = end_of(command);
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(lines[0].contains("[ERROR]"), "{lines:#?}");
    assert!(lines[0].contains(arg(&file)), "{lines:#?}");
    assert!(lines[0].contains("run as its owner"), "{lines:#?}");
}

#[test]
fn a_key_that_everybody_may_read_is_a_warning_if_it_is_ours_or_roots() {
    let folder = open_folder();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let key = folder.write("privkey.pem", LOCALHOST.key_pem());
    let archive = folder.write("localhost.p12", LOCALHOST.pkcs12("", &[]));
    let certificate = folder.write("fullchain.pem", LOCALHOST.pem());
    for (exposed, args) in [
        (&file, vec!["--tls-cert", arg(&file)]),
        (
            &key,
            vec!["--tls-cert", arg(&certificate), "--tls-key", arg(&key)],
        ),
        (&archive, vec!["--tls-cert", arg(&archive)]),
    ] {
        let args = [&["serve", "--listen=hello=127.0.0.1:0"], &args[..]].concat();
        let commands = || [Some(plainws_command(&args)), as_nobody(&args)];
        set_mode(exposed, 0o644);
        set_mode(&certificate, 0o644);
        for command in commands().into_iter().flatten() {
            let daemon = Daemon::spawn(command);
            daemon.wait_line("hello at https://");
            let warnings: Vec<_> = daemon.lines();
            let warnings: Vec<_> = warnings.iter().filter(|l| l.contains("[WARN]")).collect();
            assert_eq!(warnings.len(), 1, "{}", daemon.report());
            assert!(warnings[0].contains(arg(exposed)), "{warnings:?}");
            assert!(warnings[0].contains("chmod o= "), "{warnings:?}");
        }
        // The group is fine: that is how a service gets a key of root's.
        set_mode(exposed, 0o640);
        let daemon = plainws(&args);
        daemon.wait_line("hello at https://");
        let lines = daemon.lines();
        assert!(!lines.iter().any(|l| l.contains("[WARN]")), "{lines:#?}");
    }
    // A certificate is for everybody to read.
    set_mode(&key, 0o600);
    set_mode(&certificate, 0o644);
    let args = ["--tls-key", arg(&key)];
    let (daemon, _) = serve("hello", &certificate, &args);
    assert!(
        !daemon.lines().iter().any(|l| l.contains("[WARN]")),
        "{}",
        daemon.report()
    );
}

#[test]
fn a_key_that_everybody_may_read_is_refused_if_it_is_somebody_elses() {
    let folder = open_folder();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let archive = folder.write("localhost.p12", LOCALHOST.pkcs12("", &[]));
    let key = folder.write("privkey.pem", LOCALHOST.key_pem());
    let certificate = folder.write("fullchain.pem", LOCALHOST.pem());
    for (exposed, args) in [
        (&file, vec!["--tls-cert", arg(&file)]),
        (&archive, vec!["--tls-cert", arg(&archive)]),
        (
            &key,
            vec!["--tls-cert", arg(&certificate), "--tls-key", arg(&key)],
        ),
    ] {
        set_mode(exposed, 0o644);
        set_mode(&certificate, 0o644);
        let args = [&["serve", "--listen=127.0.0.1:0"], &args[..]].concat();
        let Some(command) = as_nobody(&args) else {
            return;
        };
        // Of somebody who is neither root nor the one that the daemon runs as.
        std::os::unix::fs::chown(exposed, Some(12_345), None).expect("root may");
        for command in [command, plainws_command(&args)] {
            let (code, lines) = end_of(command);
            assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
            assert!(lines[0].contains("[ERROR]"), "{lines:#?}");
            assert!(lines[0].contains("everybody may read"), "{lines:#?}");
            let remedy = format!("chmod o= {}", exposed.display());
            assert!(lines[0].contains(&remedy), "{lines:#?}");
        }
    }
}
