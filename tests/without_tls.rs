//! A build without the feature `tls` says so, and serves what is plain.

use plainws::Error;

use crate::support::process::{Daemon, plainws_command};
use crate::support::tools::PATIENCE;

#[test]
fn a_client_says_that_this_build_has_no_tls() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    match plainws::connect(&url) {
        Err(Error::Invalid { what: why }) => {
            assert!(why.contains("without the feature tls"), "{why}")
        }
        other => panic!("awaited an error, got {other:?}"),
    }
}

#[test]
fn the_daemon_says_that_this_build_has_no_tls() {
    let mut daemon = Daemon::spawn(plainws_command(&["serve", "--listen", "tls+127.0.0.1:0"]));
    assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(1));
    let lines = daemon.lines().join("\n");
    assert!(lines.contains("without the feature tls"), "{lines}");

    let mut daemon = Daemon::spawn(plainws_command(&["serve", "--tls-cert", "localhost.pem"]));
    assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(2), "no such option");
}
