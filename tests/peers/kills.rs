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
    let slow = ["-e", "trace=fsync", "-e", "inject=fsync:delay_exit=20000"];
    let (daemon, port) = traced(&folder, &slow, &trace);
    let (ws, _) = joined(port);
    assert_eq!(add(&ws, 1000), 1000);
    stopped(daemon);
    let calls = fs::read_to_string(&trace)
        .unwrap()
        .matches("fsync(")
        .count();
    // Of a file and of its directory each. A batch has 256 changes at most.
    assert!(
        (8..400).contains(&calls),
        "{calls} calls of fsync for 1000 changes"
    );
}

#[test]
fn a_kill_at_each_step_of_saving_leaves_the_old_value_or_the_new_one() {
    let folder = Folder::new();
    let new = folder.arg("counter.json.new");
    // The system calls of one save in their order, and the file if others make such calls, too.
    let steps = [
        ("openat", "counter.json.new", 1),
        ("write", &new, 1),
        ("fsync", "", 1),
        ("unlinkat", "counter.json.previous", 1),
        ("linkat", "", 1),
        ("/^rename", "", 1),
        ("fsync", "", 2),
    ];
    let (daemon, port) = saving(&folder, &["--sync", "always"]);
    let (ws, _) = joined(port);
    assert_eq!((add(&ws, 1), add(&ws, 1)), (1, 2));
    stopped(daemon);
    let mut before = 2;
    let mut outcomes = Vec::new();
    // Instead of the call, and right behind it.
    for (step, file, when) in steps {
        for instead in [":error=EIO", ""] {
            let inject = format!("inject={step}{instead}:signal=KILL:when={when}");
            let mut strace = vec!["-e", &inject];
            if !file.is_empty() {
                strace.extend(["-P", file]);
            }
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
            outcomes.push(after - before);
            before = after;
            // Opening has removed what was left half written.
            assert!(!Path::new(&new).exists(), "{inject}");
            stopped(next);
        }
    }
    // Up to the rename the old one, from it on the new one.
    assert_eq!(outcomes[..11], [0; 11], "{outcomes:?}");
    assert_eq!(outcomes[12..], [1; 2], "{outcomes:?}");
}

#[test]
fn a_disk_that_loses_what_is_synced_gets_a_new_file() {
    let folder = Folder::new();
    let trace = folder.path("trace");
    let traces = "trace=openat,fsync,/^rename";
    let failing = ["-e", traces, "-e", "inject=fsync:error=EIO:when=1"];
    let (daemon, port) = traced(&folder, &failing, &trace);
    let (ws, _) = joined(port);
    assert_eq!(add(&ws, 1), 1, "it is served all the same");
    daemon.wait_line("is saved again");
    assert_eq!(exchange(port, get("/healthz", "")).body, "ok");
    stopped(daemon);
    let trace = fs::read_to_string(&trace).unwrap();
    let (before, after) = trace.split_once("(INJECTED)").expect("a call that failed");
    assert!(!before.contains("rename"), "{trace}");
    // Not the same file once more: nobody knows what is in it.
    let new = after.find("counter.json.new\", O_WRONLY");
    assert!(new.is_some() && new < after.find("rename"), "{trace}");
}
