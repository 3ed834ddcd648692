//! What `systemd-analyze` says of the units.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::tools::require;

/// Ten times the exposure that is allowed.
const THRESHOLD: u32 = 11;

/// The units as they are, but for the place of the program: that of this build.
fn copies() -> TempDir {
    let folder = TempDir::with_prefix("plainws-units-").unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    for name in ["plainws.service", "plainws.socket"] {
        let text = fs::read_to_string(from.join(name)).unwrap();
        let text = text.replace("/usr/bin/plainws", env!("CARGO_BIN_EXE_plainws"));
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[track_caller]
fn analyze(args: &[&str], units: &[&str]) -> (bool, String) {
    let analyze = require("systemd-analyze", "apt-get install systemd");
    let folder = copies();
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(analyze)
        .args(args)
        .args(units.iter().map(|unit| folder.path().join(unit)))
        .output()
        .unwrap();
    let said = [stdout, stderr].concat();
    (
        status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn the_service_is_exposed_no_more_than_a_network_server_must_be() {
    let threshold = format!("--threshold={THRESHOLD}");
    let args = ["security", "--offline=yes", &threshold];
    let (fine, said) = analyze(&args, &["plainws.service"]);
    assert!(fine, "{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    // An unknown key is only a message.
    let args = ["verify", "--man=no"];
    let said = analyze(&args, &["plainws.service", "plainws.socket"]);
    assert_eq!(said, (true, String::new()));
}
