//! `plainws cert`: what the `openssl` tool, curl and Python make of its files.

use std::process::Command;

use crate::support::files::Folder;
use crate::support::process::{Daemon, plainws_command, url_port};
use crate::support::tools::{PATIENCE, require};

/// Runs a program in the folder: whether it succeeds, and all that it prints.
#[track_caller]
fn run(folder: &Folder, mut command: Command) -> (bool, String) {
    let output = command.current_dir(folder.path("")).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[track_caller]
fn made(args: &[&str]) -> Folder {
    let folder = Folder::new();
    let (fine, said) = run(&folder, plainws_command(&[&["cert"], args].concat()));
    assert!(fine, "{said}");
    folder
}

fn try_openssl(folder: &Folder, line: &str) -> (bool, String) {
    let mut command = Command::new(require("openssl", "apt-get install openssl"));
    command.args(line.split(' '));
    run(folder, command)
}

#[track_caller]
fn openssl(folder: &Folder, line: &str) -> String {
    let (fine, said) = try_openssl(folder, line);
    assert!(fine, "openssl {line}: {said}");
    said
}

/// The lines of `openssl x509 -ext`, but for the identifier of the key, which is the last.
#[track_caller]
fn extensions(folder: &Folder, crt: &str) -> Vec<String> {
    let kinds = "basicConstraints,keyUsage,extendedKeyUsage,subjectAltName,subjectKeyIdentifier";
    let text = openssl(folder, &format!("x509 -in {crt} -noout -ext {kinds}"));
    let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    assert_eq!(lines.pop().map(|id| id.len()), Some(59), "{text}");
    lines
}

#[test]
fn openssl_finds_a_server_certificate_that_is_no_authority() {
    let folder = made(&[]);
    let text = openssl(&folder, "x509 -in localhost.crt -noout -text");
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
    assert_eq!(
        extensions(&folder, "localhost.crt")[..8],
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
    let verify = "verify -x509_strict -purpose sslserver -CAfile localhost.crt";
    for (name, trusted) in [
        ("-verify_hostname localhost", true),
        ("-verify_ip 127.0.0.1", true),
        ("-verify_ip ::1", true),
        ("-verify_hostname app.example", false),
    ] {
        let (fine, said) = try_openssl(&folder, &format!("{verify} {name} localhost.pem"));
        assert_eq!(fine, trusted, "{name}: {said}");
    }
}

#[test]
fn openssl_with_the_configuration_in_certs_makes_the_same() {
    let folder = made(&["--out", "ours.pem"]);
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/openssl.cnf");
    // As it stands in the README, in one line.
    let readme = include_str!("../../certs/README.md").replace("\\\n    ", "");
    let mut lines = readme.lines();
    let line = lines.find_map(|line| line.strip_prefix("$ openssl "));
    let line = line.expect("the command");
    let line = line.replace("certs/openssl.cnf", config);
    openssl(&folder, &line.replace("certs/localhost", "theirs"));
    let told = |crt| {
        let mut extensions = extensions(&folder, crt);
        extensions.sort();
        let names = format!("x509 -in {crt} -noout -subject -issuer");
        (extensions, openssl(&folder, &names))
    };
    assert_eq!(told("ours.crt"), told("theirs.crt"));
}

#[test]
fn curl_and_python_take_it() {
    let folder = made(&[]);
    let mut serve = plainws_command(&["serve", "--tls-cert", "localhost.pem"]);
    serve.args(["--listen", "hello=127.0.0.1:0"]);
    serve.current_dir(folder.path(""));
    let daemon = Daemon::spawn(serve);
    let port = url_port(&daemon.wait_line("hello at https://"));
    let url = format!("https://localhost:{port}/healthz");
    let seconds = PATIENCE.as_secs().to_string();
    let mut curl = Command::new(require("curl", "apt-get install curl"));
    curl.args(["-sS", "--max-time", &seconds, "--noproxy", "*"]);
    curl.args(["--cacert", "localhost.crt", &url]);
    assert_eq!(run(&folder, curl), (true, "ok".to_owned()));
    let mut python = Command::new(require("python3", "apt-get install python3"));
    let program = "import ssl, sys, urllib.request
context = ssl.create_default_context(cafile='localhost.crt')
context.verify_flags |= ssl.VERIFY_X509_STRICT
print(urllib.request.urlopen(sys.argv[1], timeout=30, context=context).read().decode())";
    python.args(["-c", program, &url]);
    assert_eq!(run(&folder, python), (true, "ok\n".to_owned()));
}
