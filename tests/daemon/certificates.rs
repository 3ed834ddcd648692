//! `plainws cert`: its two files, read by the `openssl` tool, and what it never does to others.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;

use super::*;
use crate::support::tools::require;

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

#[track_caller]
fn run(mut command: Command) -> Ended {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text on stdout"),
        stderr: String::from_utf8(output.stderr).expect("text on stderr"),
    }
}

/// Runs `plainws cert` in the directory, without a home.
#[track_caller]
fn cert(directory: &TempDir, args: &[&str]) -> Ended {
    let mut command = plainws_command(&["cert"]);
    command.args(args).current_dir(directory.path());
    command.env_remove("HOME");
    run(command)
}

/// The same, and it works.
#[track_caller]
fn made(directory: &TempDir, args: &[&str]) -> String {
    let ended = cert(directory, args);
    assert_eq!(ended.code, Some(0), "cert {args:?}: {ended:#?}");
    ended.stdout
}

/// The same, and it fails with `code` and a line that has `hint`, and leaves the directory alone.
#[track_caller]
fn refused(directory: &TempDir, args: &[&str], code: i32, hint: &str) {
    let before = contents(directory);
    let ended = cert(directory, args);
    assert_eq!(ended.code, Some(code), "cert {args:?}: {ended:#?}");
    let error = ended.stderr.lines().next().unwrap_or_default();
    assert!(
        error.starts_with("error: ") && error.contains(hint),
        "cert {args:?} should say {hint:?}: {ended:#?}"
    );
    assert_eq!(ended.stdout, "", "cert {args:?}");
    assert_eq!(contents(directory), before, "cert {args:?} touched a file");
}

/// What `openssl` prints, run in the directory; `None` when real peers are skipped.
#[track_caller]
fn openssl(directory: &TempDir, line: &str) -> Option<String> {
    let mut command = Command::new(require("openssl", "apt-get install openssl")?);
    command.args(line.split(' ')).current_dir(directory.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "openssl {line}: {ended:#?}");
    Some(ended.stdout)
}

/// Every file by name, with its mode, inode and bytes.
fn contents(directory: &TempDir) -> BTreeMap<String, (u32, u64, Vec<u8>)> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let entries = entries.map(|entry| {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let bytes = fs::read(entry.path()).unwrap_or_default();
        let name = entry.file_name().into_string().unwrap();
        (name, (meta.mode() & 0o7777, meta.ino(), bytes))
    });
    entries.collect()
}

fn names(directory: &TempDir) -> Vec<String> {
    contents(directory).into_keys().collect()
}

fn mode(directory: &TempDir, name: &str) -> u32 {
    contents(directory)[name].0
}

/// The lines of `openssl x509 -ext`, without its indentation.
fn extensions(directory: &TempDir, crt: &str) -> Option<Vec<String>> {
    let kinds = "basicConstraints,keyUsage,extendedKeyUsage,subjectAltName,subjectKeyIdentifier";
    let text = openssl(directory, &format!("x509 -in {crt} -noout -ext {kinds}"))?;
    let lines = text.lines().map(|line| line.trim().to_owned());
    Some(lines.collect())
}

fn alternatives(directory: &TempDir, crt: &str) -> Option<String> {
    let text = openssl(
        directory,
        &format!("x509 -in {crt} -noout -ext subjectAltName"),
    )?;
    Some(
        text.lines()
            .nth(1)
            .expect("a list of names")
            .trim()
            .to_owned(),
    )
}

#[test]
fn it_writes_the_pair_for_its_owner_and_the_certificate_for_all() {
    let directory = directory();
    made(&directory, &[]);
    assert_eq!(names(&directory), ["localhost.crt", "localhost.pem"]);
    assert_eq!(mode(&directory, "localhost.pem"), 0o600);
    assert_eq!(mode(&directory, "localhost.crt"), 0o644);

    let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
    let (pem, crt) = (read("localhost.pem"), read("localhost.crt"));
    let key = pem.strip_prefix(&crt).expect("the certificate comes first");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8");
    assert!(key.ends_with("-----END PRIVATE KEY-----\n"));
    assert!(!crt.contains("PRIVATE"));
}

#[test]
fn the_modes_are_the_same_under_every_umask() {
    for umask in ["000", "077", "777"] {
        let directory = directory();
        let mut command = Command::new("sh");
        let line = format!(r#"umask {umask}; exec "$0" cert"#);
        command.args(["-c", &line, env!("CARGO_BIN_EXE_plainws")]);
        command.current_dir(directory.path());
        let ended = run(command);
        assert_eq!(ended.code, Some(0), "umask {umask}: {ended:#?}");
        assert_eq!(mode(&directory, "localhost.pem"), 0o600, "umask {umask}");
        assert_eq!(mode(&directory, "localhost.crt"), 0o644, "umask {umask}");
    }
}

#[test]
fn openssl_finds_a_server_certificate_that_is_no_authority() {
    let directory = directory();
    made(&directory, &[]);
    let Some(text) = openssl(&directory, "x509 -in localhost.crt -noout -text") else {
        return;
    };
    // Later versions print names without the spaces.
    let text = text.replace(" = ", "=");
    for part in [
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Subject: O=plainws cert, CN=localhost",
        "NIST CURVE: P-256",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let extensions = extensions(&directory, "localhost.crt").unwrap();
    assert_eq!(extensions.len(), 10, "{extensions:#?}");
    assert_eq!(
        extensions[..8],
        [
            "X509v3 Basic Constraints: critical",
            "CA:FALSE",
            "X509v3 Key Usage: critical",
            "Digital Signature",
            "X509v3 Extended Key Usage:",
            "TLS Web Server Authentication",
            "X509v3 Subject Alternative Name:",
            "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
        ]
    );
}

#[test]
fn openssl_trusts_it_for_its_names_and_for_no_other() {
    let directory = directory();
    made(&directory, &[]);
    let verify = "verify -x509_strict -purpose sslserver -CAfile localhost.crt";
    for name in [
        "-verify_hostname localhost",
        "-verify_ip 127.0.0.1",
        "-verify_ip ::1",
    ] {
        let Some(said) = openssl(&directory, &format!("{verify} {name} localhost.pem")) else {
            return;
        };
        assert_eq!(said, "localhost.pem: OK\n");
    }
    let mut command = Command::new("openssl");
    let line = format!("{verify} -verify_hostname app.example localhost.pem");
    command.args(line.split(' ')).current_dir(directory.path());
    assert_ne!(run(command).code, Some(0));
}

#[test]
fn the_key_belongs_to_the_certificate() {
    let directory = directory();
    made(&directory, &[]);
    let of_key = openssl(&directory, "pkey -in localhost.pem -pubout");
    assert_eq!(
        of_key,
        openssl(&directory, "x509 -in localhost.crt -noout -pubkey")
    );
}

#[test]
fn no_two_have_the_same_number_or_key() {
    let directory = directory();
    made(&directory, &["--out", "a.pem"]);
    made(&directory, &["--out", "b.pem"]);
    for what in ["-serial", "-pubkey"] {
        let of = |crt| openssl(&directory, &format!("x509 -in {crt} -noout {what}"));
        let Some(a) = of("a.crt") else {
            return;
        };
        assert_ne!(Some(a), of("b.crt"), "{what}");
    }
}

#[test]
fn the_names_given_replace_localhost_and_name_the_files() {
    let directory = directory();
    let cases: &[(&[&str], &str, &str)] = &[
        (
            &["App.Example", "app.example"],
            "app.example",
            "DNS:app.example",
        ),
        (
            &["*.app.example", "10.0.0.7"],
            "_wildcard.app.example",
            "DNS:*.app.example, IP Address:10.0.0.7",
        ),
        (
            &["[2001:db8::7]"],
            "2001_db8__7",
            "IP Address:2001:DB8:0:0:0:0:0:7",
        ),
        (&["::1"], "__1", "IP Address:0:0:0:0:0:0:0:1"),
    ];
    for (given, file, expected) in cases {
        made(&directory, given);
        assert_eq!(mode(&directory, &format!("{file}.pem")), 0o600);
        if let Some(names) = alternatives(&directory, &format!("{file}.crt")) {
            assert_eq!(names, *expected);
        }
    }
}

#[test]
fn a_name_longer_than_a_common_name_can_be_is_only_an_alternative() {
    let directory = directory();
    let long = format!("{0}.{0}.example", "a".repeat(60));
    made(&directory, &["--out", "long.pem", &long]);
    if let Some(names) = alternatives(&directory, "long.crt") {
        assert_eq!(names, format!("DNS:{long}"));
    }
}

#[test]
fn bad_names_are_wrong_usage() {
    let directory = directory();
    for name in [
        "",
        "*",
        "a b",
        "a.*.example",
        "-.example",
        "https://localhost/",
        "localhost:8443",
        "[::1]:8443",
        "256.1.1.1",
        "bücher.example",
        "a,DNS:b",
        "fe80::1%lo",
    ] {
        refused(&directory, &["localhost", "--", name], 2, "invalid value");
    }
}

#[test]
fn a_wildcard_for_a_whole_top_level_domain_comes_with_a_warning() {
    let directory = directory();
    let ended = cert(&directory, &["*.example"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.starts_with("warning: "), "{ended:#?}");
}

#[test]
fn it_is_valid_for_the_days_asked_for_and_a_day_before() {
    let directory = directory();
    for (days, args) in [
        (397, &["--out", "default.pem"] as &[_]),
        (1, &["--out", "one.pem", "--days", "1"]),
        (3650, &["--out", "long.pem", "--days=3650"]),
    ] {
        made(&directory, args);
        let crt = args[1].replace("pem", "crt");
        let Some(dates) = openssl(&directory, &format!("x509 -in {crt} -noout -dates")) else {
            return;
        };
        let from_now = |line: &str| {
            let (_, date) = line.split_once('=').expect("a date");
            let date = chrono::NaiveDateTime::parse_from_str(date, "%b %e %H:%M:%S %Y GMT");
            (date.expect("as openssl prints it").and_utc() - Utc::now()).num_minutes()
        };
        let (begin, end) = dates.trim().split_once('\n').expect("two dates");
        let day = 24 * 60;
        // The tests may take a minute or two.
        assert!((-day - 5..=-day).contains(&from_now(begin)), "{dates}");
        assert!(
            (days * day - 5..=days * day).contains(&from_now(end)),
            "{dates}"
        );
    }
    for days in ["0", "3651", "-1", "many", ""] {
        refused(&directory, &[&format!("--days={days}")], 2, "--days");
    }
}

#[test]
fn it_prints_the_files_the_end_the_fingerprint_and_the_commands() {
    let directory = directory();
    let printed = made(&directory, &["--out", "certs.pem"]);
    let lines: Vec<&str> = printed.lines().map(str::trim).collect();
    assert!(lines[0].starts_with("certs.pem "), "{printed}");
    assert!(lines[1].starts_with("certs.crt "), "{printed}");
    for line in [
        "plainws serve --tls-cert certs.pem",
        "plainws connect --ca certs.crt wss://localhost:8765/",
    ] {
        assert!(lines.contains(&line), "{line} in {printed}");
    }
    for part in [
        "certutil -d",
        "Firefox",
        "security add-trusted-cert",
        "certutil -user",
        "mkcert",
    ] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    let told = |what: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(what));
        line.unwrap_or_else(|| panic!("{what} in {printed}")).trim()
    };
    let Some(said) = openssl(&directory, "x509 -in certs.crt -noout -fingerprint -sha256") else {
        return;
    };
    assert_eq!(said.trim().split_once('=').unwrap().1, told("SHA-256"));
    let until = told("valid until");
    let until = chrono::NaiveDateTime::parse_from_str(until, "%Y-%m-%d %H:%M UTC").unwrap();
    let said = openssl(&directory, "x509 -in certs.crt -noout -enddate").unwrap();
    assert_eq!(
        said.trim(),
        until.format("notAfter=%b %e %H:%M:").to_string() + &said.trim()[22..]
    );
}

#[test]
fn the_readme_of_the_folder_shows_the_commands_as_they_are_printed() {
    let directory = directory();
    fs::create_dir(directory.path().join("certs")).unwrap();
    let readme = include_str!("../../certs/README.md");
    let command = "plainws cert --out certs/localhost.pem";
    assert!(readme.contains(&format!("$ {command}\n")));
    let args: Vec<&str> = command.split(' ').skip(2).collect();
    let printed = made(&directory, &args);
    let commands = [
        "plainws serve ",
        "plainws connect ",
        "certutil -d ",
        "security ",
    ];
    for start in commands {
        let line = printed
            .lines()
            .find_map(|line| Some(&line[line.find(start)?..]));
        let line = line.unwrap_or_else(|| panic!("{start} in {printed}"));
        assert!(readme.contains(line), "certs/README.md has {line}");
    }
}

#[test]
fn paths_are_printed_as_words_of_a_shell() {
    let directory = directory();
    let printed = made(&directory, &["--out", "it's my $HOME.pem"]);
    let line = printed.lines().find(|line| line.contains("--tls-cert"));
    let (_, word) = line.expect("a command").split_once("--tls-cert ").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("test -f {word}")]);
    shell.current_dir(directory.path());
    assert_eq!(run(shell).code, Some(0), "{word}");
}

#[test]
fn it_replaces_neither_file_without_force() {
    for there in [
        &["localhost.pem"] as &[_],
        &["localhost.crt"],
        &["localhost.pem", "localhost.crt"],
    ] {
        let directory = directory();
        for name in there {
            fs::write(directory.path().join(name), "mine").unwrap();
        }
        refused(&directory, &[], 1, "exists: replace it with --force");
    }
}

#[test]
fn force_replaces_both_and_makes_the_key_private_again() {
    let directory = directory();
    made(&directory, &[]);
    let pem = directory.path().join("localhost.pem");
    fs::set_permissions(&pem, Permissions::from_mode(0o644)).unwrap();
    // Who opened the old one keeps the old one: it is not written into.
    let (old, before) = (fs::read(&pem).unwrap(), contents(&directory));
    let mut opened = fs::File::open(&pem).unwrap();

    made(&directory, &["--force"]);
    let after = contents(&directory);
    assert_eq!(names(&directory), ["localhost.crt", "localhost.pem"]);
    for name in ["localhost.pem", "localhost.crt"] {
        assert_ne!(before[name].2, after[name].2, "{name} is another");
    }
    assert_eq!(mode(&directory, "localhost.pem"), 0o600);
    let mut still = Vec::new();
    opened.read_to_end(&mut still).unwrap();
    assert_eq!(still, old);
}

#[test]
fn force_writes_through_no_link_and_into_no_folder() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("target"), "mine").unwrap();
    symlink("target", path("link.pem")).unwrap();
    symlink("nothing", path("dangling.pem")).unwrap();
    symlink("target", path("beside.crt")).unwrap();
    fs::create_dir(path("folder")).unwrap();
    fs::create_dir(path("other.crt")).unwrap();
    for (out, hint) in [
        ("link.pem", "link.pem is not a regular file"),
        ("dangling.pem", "dangling.pem is not a regular file"),
        ("beside.pem", "beside.crt is not a regular file"),
        ("folder", "folder is a folder"),
        ("other.pem", "other.crt is a folder"),
        ("/dev/null", "/dev/null is not a regular file"),
    ] {
        refused(&directory, &["--force", "--out", out], 1, hint);
        refused(&directory, &["--out", out], 1, hint);
    }
}

#[test]
fn a_name_that_is_no_file_is_wrong_usage() {
    let directory = directory();
    for out in ["", "-", "/", "..", "folder/", "localhost.crt"] {
        refused(&directory, &["--out", out], 2, "--out");
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let directory = directory();
    let out = ["--out", "certs/localhost.pem"];
    refused(&directory, &out, 1, "cannot write certs/localhost.pem");
    refused(&directory, &out, 1, "its folder has to exist");
}

#[test]
fn in_a_folder_that_may_not_be_written_it_says_so() {
    let directory = directory();
    // Root may write everywhere, so it is nobody who tries, and needs the program within reach. By a
    // process of its own, as other tests start theirs: each would hold a file open that is written
    // here, and what is open for writing cannot be started.
    let program = directory.path().join("plainws");
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_plainws")).arg(&program);
    assert_eq!(run(copy).code, Some(0), "the program was copied");
    let locked = directory.path().join("locked");
    fs::create_dir(&locked).unwrap();
    for path in [&locked, directory.path()] {
        fs::set_permissions(path, Permissions::from_mode(0o555)).unwrap();
    }
    let mut command = Command::new(&program);
    command.arg("cert").current_dir(&locked).env_clear();
    if fs::metadata(&locked).unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let ended = run(command);
    // Or it could not be removed.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let error = "error: cannot write localhost.pem: Permission denied (os error 13); \
                 choose another place with --out\n";
    assert_eq!(ended.stderr, error);
    assert_eq!(fs::read_dir(&locked).unwrap().count(), 0);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let directory = directory();
    // The limit of a file's size stands for it: the same write fails.
    let mut command = Command::new("sh");
    let line = r#"trap "" XFSZ; ulimit -f 0; exec "$0" cert"#;
    command.args(["-c", line, env!("CARGO_BIN_EXE_plainws")]);
    command.current_dir(directory.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let error = "error: cannot write localhost.pem: ";
    assert!(ended.stderr.starts_with(error), "{ended:#?}");
    assert_eq!(names(&directory), [""; 0]);
}

#[test]
fn the_daemon_serves_with_it_and_clients_take_it() {
    let directory = directory();
    made(&directory, &[]);
    let mut serve = plainws_command(&["serve", "--tls-cert", "localhost.pem"]);
    serve
        .args(["--listen", "hello=127.0.0.1:0"])
        .current_dir(directory.path());
    let daemon = Daemon::spawn(serve);
    let port = url_port(&daemon.wait_line("hello at https://"));

    let ca = fs::read(directory.path().join("localhost.crt")).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let client = Client::builder().ca(ca.clone());
        let ws = client.connect(&format!("wss://{host}:{port}/"));
        let ws = ws.unwrap_or_else(|error| panic!("{host}: {error}"));
        ws.send("Rust").unwrap();
        assert_eq!(text(&ws), "Hello Rust!");
    }
    // Another of the same name is not this one.
    made(&directory, &["--out", "other.pem"]);
    let other = fs::read(directory.path().join("other.crt")).unwrap();
    let refused = Client::builder()
        .ca(other)
        .connect(&format!("wss://localhost:{port}/"));
    refused.expect_err("a certificate that is not trusted");

    let url = format!("https://localhost:{port}/healthz");
    let Some(curl) = require("curl", "apt-get install curl") else {
        return;
    };
    let mut curl = Command::new(curl);
    curl.args(["-sS", "--max-time", "30", "--cacert", "localhost.crt", &url]);
    curl.current_dir(directory.path());
    let ended = run(curl);
    assert_eq!(ended.stdout, "ok", "{ended:#?}");

    let mut python = Command::new("python3");
    let program = "import ssl, sys, urllib.request
context = ssl.create_default_context(cafile='localhost.crt')
context.verify_flags |= ssl.VERIFY_X509_STRICT
print(urllib.request.urlopen(sys.argv[1], timeout=30, context=context).read().decode())";
    python
        .args(["-c", program, &url])
        .current_dir(directory.path());
    let ended = run(python);
    assert_eq!(ended.stdout, "ok\n", "{ended:#?}");
}

#[test]
fn openssl_with_the_configuration_in_certs_makes_the_same() {
    let directory = directory();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/openssl.cnf");
    // As it stands in the README, in one line.
    let readme = include_str!("../../certs/README.md").replace("\\\n    ", "");
    let line = readme
        .lines()
        .find_map(|line| line.strip_prefix("$ openssl "));
    let line = line
        .expect("the command")
        .replace("certs/openssl.cnf", config);
    made(&directory, &["--out", "ours.pem"]);
    if openssl(&directory, &line.replace("certs/localhost", "theirs")).is_none() {
        return;
    }
    assert_eq!(mode(&directory, "theirs.key"), 0o600);
    let mut both = ["ours.crt", "theirs.crt"].map(|crt| extensions(&directory, crt).unwrap());
    for extensions in &mut both {
        // The last line is the identifier itself.
        assert!(
            extensions.pop().is_some_and(|id| id.len() == 59),
            "{extensions:#?}"
        );
        extensions.sort();
    }
    assert_eq!(both[0], both[1]);
    let subject = |crt| {
        openssl(
            &directory,
            &format!("x509 -in {crt} -noout -subject -issuer"),
        )
    };
    assert_eq!(subject("ours.crt"), subject("theirs.crt"));
}

#[test]
fn git_ignores_what_is_put_into_certs() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/certs"));
    let ignored = fs::read_to_string(folder.join(".gitignore")).unwrap();
    let rules: Vec<&str> = ignored.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(rules, ["*", "!.gitignore", "!README.md", "!openssl.cnf"]);
}
