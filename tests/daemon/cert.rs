//! `plainws cert`: its two files, and what it never does to others. What other programs make of them is
//! in `peers/cert.rs`.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::x509::X509;

use super::*;
use crate::support::files::Folder;

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a command in the folder, without a home.
#[track_caller]
fn run(folder: &Path, mut command: Command) -> Ended {
    command.current_dir(folder).env_remove("HOME");
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text on stdout"),
        stderr: String::from_utf8(output.stderr).expect("text on stderr"),
    }
}

#[track_caller]
fn cert(folder: &Folder, args: &[&str]) -> Ended {
    let command = plainws_command(&[&["cert"], args].concat());
    run(folder.0.path(), command)
}

/// The same, and it works.
#[track_caller]
fn made(folder: &Folder, args: &[&str]) -> String {
    let ended = cert(folder, args);
    assert_eq!(ended.code, Some(0), "cert {args:?}: {ended:#?}");
    ended.stdout
}

/// The same, and it fails with `code` and a line that has `hint`, and leaves the folder alone.
#[track_caller]
fn refused(folder: &Folder, args: &[&str], code: i32, hint: &str) {
    let before = contents(folder);
    let ended = cert(folder, args);
    assert_eq!(ended.code, Some(code), "cert {args:?}: {ended:#?}");
    let error = ended.stderr.lines().next().unwrap_or_default();
    let said = error.starts_with("error: ") && error.contains(hint);
    assert!(said, "cert {args:?} should say {hint:?}: {ended:#?}");
    assert_eq!(ended.stdout, "", "cert {args:?}");
    assert_eq!(contents(folder), before, "cert {args:?} touched a file");
}

/// Every file by name, with its mode, inode and bytes.
fn contents(folder: &Folder) -> BTreeMap<String, (u32, u64, Vec<u8>)> {
    let entries = folder.names().into_iter().map(|name| {
        let meta = fs::symlink_metadata(folder.path(&name)).unwrap();
        let bytes = fs::read(folder.path(&name)).unwrap_or_default();
        (name, (meta.mode() & 0o7777, meta.ino(), bytes))
    });
    entries.collect()
}

fn modes(folder: &Folder) -> (u32, u32) {
    let of = contents(folder);
    (of["localhost.pem"].0, of["localhost.crt"].0)
}

fn x509(folder: &Folder, crt: &str) -> X509 {
    X509::from_pem(&fs::read(folder.path(crt)).unwrap()).unwrap()
}

/// The names that it is for.
fn names(x509: &X509) -> Vec<String> {
    let names = x509.subject_alt_names().expect("names");
    let text = names
        .iter()
        .map(|name| match (name.dnsname(), name.ipaddress()) {
            (Some(name), _) => name.to_owned(),
            (_, Some(&[a, b, c, d])) => format!("{a}.{b}.{c}.{d}"),
            (_, Some(bytes)) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string(),
            _ => panic!("another kind of name"),
        });
    text.collect()
}

#[test]
fn it_writes_the_pair_for_its_owner_and_the_certificate_for_all() {
    let folder = Folder::new();
    made(&folder, &[]);
    assert_eq!(folder.names(), ["localhost.crt", "localhost.pem"]);
    let read = |name| fs::read_to_string(folder.path(name)).unwrap();
    let (pem, crt) = (read("localhost.pem"), read("localhost.crt"));
    let key = pem.strip_prefix(&crt).expect("the certificate comes first");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8");
    assert!(key.ends_with("-----END PRIVATE KEY-----\n"));
    assert!(!crt.contains("PRIVATE"));
    let x509 = x509(&folder, "localhost.crt");
    let key = openssl::pkey::PKey::private_key_from_pem(pem.as_bytes()).unwrap();
    assert!(x509.public_key().unwrap().public_eq(&key));
    assert_eq!(names(&x509), ["localhost", "127.0.0.1", "::1"]);

    // The modes are the same under every umask, and no number or key comes twice.
    let mut seen = vec![x509];
    for umask in ["000", "077", "777"] {
        let folder = Folder::new();
        let mut command = Command::new("sh");
        let line = format!(r#"umask {umask}; exec "$0" cert"#);
        command.args(["-c", &line, env!("CARGO_BIN_EXE_plainws")]);
        let ended = run(folder.0.path(), command);
        assert_eq!(ended.code, Some(0), "umask {umask}: {ended:#?}");
        assert_eq!(modes(&folder), (0o600, 0o644), "umask {umask}");
        seen.push(self::x509(&folder, "localhost.crt"));
    }
    for (i, one) in seen.iter().enumerate() {
        for other in &seen[..i] {
            assert!(
                one.serial_number() != other.serial_number(),
                "the same number"
            );
            let [one, other] = [one, other].map(|x509| x509.public_key().unwrap());
            assert!(!one.public_eq(&other), "the same key");
        }
    }
}

#[test]
fn the_names_given_replace_localhost_and_name_the_files() {
    let folder = Folder::new();
    let long = format!("{0}.{0}.example", "a".repeat(60));
    let cases: &[(&[&str], &str, &[&str])] = &[
        (
            &["App.Example", "app.example"],
            "app.example",
            &["app.example"],
        ),
        (
            &["*.app.example", "10.0.0.7"],
            "_wildcard.app.example",
            &["*.app.example", "10.0.0.7"],
        ),
        (&["[2001:db8::7]"], "2001_db8__7", &["2001:db8::7"]),
        (&["::1"], "__1", &["::1"]),
        // Longer than a common name can be.
        (&["--out", "long.pem", &long], "long", &[&long]),
    ];
    for (given, file, expected) in cases {
        made(&folder, given);
        assert_eq!(contents(&folder)[&format!("{file}.pem")].0, 0o600);
        assert_eq!(names(&x509(&folder, &format!("{file}.crt"))), *expected);
    }
    for name in [
        "",
        "*",
        "a b",
        "a.*.example",
        "https://localhost/",
        "localhost:8443",
        "[::1]:8443",
        "bücher.example",
        "a,DNS:b",
        "fe80::1%lo",
    ] {
        refused(&folder, &["localhost", "--", name], 2, "invalid value");
    }
    let ended = cert(&folder, &["*.example"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(
        ended.stderr.starts_with("warning: "),
        "for a whole top level: {ended:#?}"
    );
}

#[test]
fn it_is_valid_for_the_days_asked_for_and_a_day_before() {
    let folder = Folder::new();
    for (days, args) in [
        (397, &["--out", "default.pem"] as &[_]),
        (1, &["--out", "one.pem", "--days", "1"]),
        (3650, &["--out", "long.pem", "--days=3650"]),
    ] {
        made(&folder, args);
        let x509 = x509(&folder, &args[1].replace("pem", "crt"));
        let now = Asn1Time::days_from_now(0).unwrap();
        let seconds = |to: &openssl::asn1::Asn1TimeRef| {
            let diff = now.diff(to).unwrap();
            i64::from(diff.days) * 86_400 + i64::from(diff.secs)
        };
        // The tests may take a minute or two.
        let (begin, end) = (seconds(x509.not_before()), seconds(x509.not_after()));
        assert!((-86_400 - 300..=-86_400).contains(&begin), "{begin}");
        assert!(
            (days * 86_400 - 300..=days * 86_400).contains(&end),
            "{end}"
        );
    }
    for days in ["0", "3651", "-1", "many", ""] {
        refused(&folder, &[&format!("--days={days}")], 2, "--days");
    }
}

#[test]
fn it_prints_the_files_the_end_the_fingerprint_and_the_commands() {
    let folder = Folder::new();
    let printed = made(&folder, &["--out", "it's my $HOME.pem"]);
    let lines: Vec<&str> = printed.lines().map(str::trim).collect();
    assert!(lines[0].starts_with("'it'"), "{printed}");
    // Paths are printed as words of a shell.
    let line = printed.lines().find(|line| line.contains("--tls-cert"));
    let (_, word) = line.expect("a command").split_once("--tls-cert ").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("test -f {word}")]);
    assert_eq!(run(folder.0.path(), shell).code, Some(0), "{word}");

    let printed = made(&folder, &["--out", "certs.pem"]);
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
    let x509 = x509(&folder, "certs.crt");
    let digest = x509.digest(MessageDigest::sha256()).unwrap();
    let digest: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(told("SHA-256"), digest.join(":"));
    let until = chrono::NaiveDateTime::parse_from_str(told("valid until"), "%Y-%m-%d %H:%M UTC");
    let until = until.unwrap().format("%b %e %H:%M:").to_string();
    let not_after = x509.not_after().to_string();
    assert!(not_after.starts_with(&until), "{until}: {not_after}");
}

#[test]
fn the_readme_of_the_folder_shows_the_commands_as_they_are_printed() {
    let folder = Folder::new();
    fs::create_dir(folder.path("certs")).unwrap();
    let readme = include_str!("../../certs/README.md");
    let command = "plainws cert --out certs/localhost.pem";
    assert!(readme.contains(&format!("$ {command}\n")));
    let args: Vec<&str> = command.split(' ').skip(2).collect();
    let printed = made(&folder, &args);
    for start in [
        "plainws serve ",
        "plainws connect ",
        "certutil -d ",
        "security ",
    ] {
        let mut lines = printed.lines();
        let line = lines.find_map(|line| Some(&line[line.find(start)?..]));
        let line = line.unwrap_or_else(|| panic!("{start} in {printed}"));
        assert!(readme.contains(line), "certs/README.md has {line}");
    }
    // Nothing that is put into that folder gets into git.
    let ignored = include_str!("../../certs/.gitignore");
    let rules: Vec<&str> = ignored.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(rules, ["*", "!.gitignore", "!README.md", "!openssl.cnf"]);
}

#[test]
fn it_replaces_neither_file_without_force_and_both_with_it() {
    for there in [
        &["localhost.pem"] as &[_],
        &["localhost.crt"],
        &["localhost.pem", "localhost.crt"],
    ] {
        let folder = Folder::new();
        for name in there {
            folder.write(name, "mine");
        }
        refused(&folder, &[], 1, "exists: replace it with --force");
    }
    let folder = Folder::new();
    made(&folder, &[]);
    let pem = folder.path("localhost.pem");
    set_permissions(&pem, Permissions::from_mode(0o644)).unwrap();
    // Who opened the old one keeps the old one: it is not written into.
    let before = contents(&folder);
    let mut opened = fs::File::open(&pem).unwrap();
    made(&folder, &["--force"]);
    let after = contents(&folder);
    assert_eq!(after.len(), 2, "{:?}", folder.names());
    for name in ["localhost.pem", "localhost.crt"] {
        assert_ne!(before[name].2, after[name].2, "{name} is another");
    }
    assert_eq!(modes(&folder), (0o600, 0o644), "private again");
    let mut still = Vec::new();
    opened.read_to_end(&mut still).unwrap();
    assert_eq!(still, before["localhost.pem"].2);
}

#[test]
fn it_writes_through_no_link_into_no_folder_and_to_no_other_name() {
    let folder = Folder::new();
    folder.write("target", "mine");
    symlink("target", folder.path("link.pem")).unwrap();
    symlink("nothing", folder.path("dangling.pem")).unwrap();
    symlink("target", folder.path("beside.crt")).unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    fs::create_dir(folder.path("other.crt")).unwrap();
    for (out, hint) in [
        ("link.pem", "link.pem is not a regular file"),
        ("dangling.pem", "dangling.pem is not a regular file"),
        ("beside.pem", "beside.crt is not a regular file"),
        ("folder", "folder is a folder"),
        ("other.pem", "other.crt is a folder"),
        ("/dev/null", "/dev/null is not a regular file"),
    ] {
        refused(&folder, &["--force", "--out", out], 1, hint);
        refused(&folder, &["--out", out], 1, hint);
    }
    for out in ["", "-", "/", "..", "folder/", "localhost.crt"] {
        refused(&folder, &["--out", out], 2, "--out");
    }
    let out = ["--out", "certs/localhost.pem"];
    refused(&folder, &out, 1, "cannot write certs/localhost.pem");
    refused(&folder, &out, 1, "its folder has to exist");
}

#[test]
fn in_a_folder_that_may_not_be_written_it_says_so() {
    let folder = Folder::new();
    // Root may write everywhere, so it is nobody who tries, and needs the program within reach. By a
    // process of its own, as other tests start theirs: each would hold a file open that is written
    // here, and what is open for writing cannot be started.
    let program = folder.path("plainws");
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_plainws")).arg(&program);
    assert_eq!(
        run(folder.0.path(), copy).code,
        Some(0),
        "the program was copied"
    );
    let locked = folder.path("locked");
    fs::create_dir(&locked).unwrap();
    for path in [&locked, folder.0.path()] {
        set_permissions(path, Permissions::from_mode(0o555)).unwrap();
    }
    let mut command = Command::new(&program);
    command.arg("cert").env_clear();
    if fs::metadata(&locked).unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let ended = run(&locked, command);
    // Or it could not be removed.
    set_permissions(folder.0.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let error = "error: cannot write localhost.pem: Permission denied (os error 13); \
                 choose another place with --out\n";
    assert_eq!(ended.stderr, error);
    assert_eq!(fs::read_dir(&locked).unwrap().count(), 0);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let folder = Folder::new();
    // The limit of a file's size stands for it: the same write fails.
    let mut command = Command::new("sh");
    let line = r#"trap "" XFSZ; ulimit -f 0; exec "$0" cert"#;
    command.args(["-c", line, env!("CARGO_BIN_EXE_plainws")]);
    let ended = run(folder.0.path(), command);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let error = "error: cannot write localhost.pem: ";
    assert!(ended.stderr.starts_with(error), "{ended:#?}");
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn the_daemon_serves_with_it_and_clients_take_it() {
    let folder = Folder::new();
    made(&folder, &[]);
    let pem = folder.arg("localhost.pem");
    let (_daemon, port) = serve("hello", &["--tls-cert", &pem]);
    // Another of the same name is not this one.
    made(&folder, &["--out", "other.pem"]);
    let ca = |crt: &str| Client::builder().ca(fs::read(folder.path(crt)).unwrap());
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("wss://{host}:{port}/");
        let ws = ca("localhost.crt").connect(&url);
        let ws = ws.unwrap_or_else(|error| panic!("{host}: {error}"));
        ws.send("Rust").unwrap();
        assert_eq!(text(&ws), "Hello Rust!");
        let refused = ca("other.crt").connect(&url);
        refused.expect_err("a certificate that is not trusted");
    }
}
