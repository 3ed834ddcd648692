//! SIGKILL at each step of saving; what is synced, and how often: by strace.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::counter::{PLUS, add, joined, saving};
use crate::support::files::Folder;
use crate::support::process::{Daemon, run_by, stopped, url_port};
use crate::support::raw::{exchange, get};
use crate::support::tools::{PATIENCE, require, wait_until};

/// A daemon with some of its system calls failing, or killing it.
#[track_caller]
fn traced(state: &Folder, strace: &[&str], trace: &Path) -> (Daemon, u16) {
    let mut command = Command::new(require("strace", "apt-get install strace"));
    // -D: the daemon is our own child, not strace's.
    command
        .args(["-D", "-f", "-qq", "-o"])
        .arg(trace)
        .args(strace);
    run_by(&mut command, &["serve", "--listen", "counter=127.0.0.1:0"]);
    command.args(["--sync", "always", "--state-dir", &state.arg("")]);
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("counter at http"));
    (daemon, port)
}

#[test]
fn with_always_changes_that_come_together_are_one_write() {
    let folder = Folder::new();
    let trace = folder.path("trace");
    // A disk that takes its time, so that changes gather.
    let slow = [
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:delay_exit=20000",
    ];
    let (daemon, port) = traced(&folder, &slow, &trace);
    let (ws, _) = joined(port);
    assert_eq!(add(&ws, 1000), 1000);
    stopped(daemon);
    let calls = fs::read_to_string(&trace)
        .unwrap()
        .matches("fdatasync(")
        .count();
    // A batch has 256 changes at most.
    assert!(
        (4..400).contains(&calls),
        "{calls} calls of fdatasync for 1000 changes"
    );
}

#[test]
fn a_kill_at_each_step_of_saving_leaves_the_old_value_or_the_new_one() {
    let folder = Folder::new();
    let log = folder.arg("plainws.db-wal");
    // The system calls of a commit, in their order: header of the log, header and page
    // of a frame, sync.
    let steps = [
        ("pwrite64", 1),
        ("pwrite64", 2),
        ("pwrite64", 3),
        ("fdatasync", 1),
    ];
    let (daemon, port) = saving(&folder, &["--sync", "always"]);
    let (ws, _) = joined(port);
    assert_eq!((add(&ws, 1), add(&ws, 1)), (1, 2));
    stopped(daemon);
    let mut before = 2;
    // Instead of the call, and right behind it.
    for (step, when) in steps {
        for instead in [":error=EIO", ""] {
            let inject = format!("inject={step}{instead}:signal=KILL:when={when}");
            let strace = ["-e", &inject, "-P", &log];
            let (daemon, port) = traced(&folder, &strace, Path::new("/dev/null"));
            let (ws, start) = joined(port);
            assert_eq!(start, before, "{inject}");
            let _ = ws.send(PLUS);
            wait_until("the daemon to be killed", PATIENCE, || {
                (!daemon.is_running()).then_some(())
            });
            drop(daemon);
            let (next, port) = saving(&folder, &[]);
            let after = joined(port).1;
            assert!(
                (before..=before + 1).contains(&after),
                "{inject}: {after} after {before}"
            );
            before = after;
            stopped(next);
        }
    }
}

#[test]
fn a_disk_that_fails_is_tried_again_and_nothing_is_lost() {
    let folder = Folder::new();
    let log = folder.arg("plainws.db-wal");
    for (step, error) in [
        ("pwrite64", "EIO"),
        ("fdatasync", "EIO"),
        ("pwrite64", "ENOSPC"),
    ] {
        let inject = format!("inject={step}:error={error}:when=2");
        let strace = ["-e", &inject, "-P", &log];
        let (daemon, port) = traced(&folder, &strace, Path::new("/dev/null"));
        let (ws, start) = joined(port);
        assert_eq!(add(&ws, 3), start + 3, "it is served all the same");
        daemon.wait_line("is saved again");
        assert_eq!(exchange(port, get("/healthz", "")).body, "ok");
        stopped(daemon);
        let (daemon, port) = saving(&folder, &[]);
        assert_eq!(joined(port).1, start + 3, "{inject}");
        stopped(daemon);
    }
}
