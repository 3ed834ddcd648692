//! SIGKILL at any moment and at each step of saving; what is synced, and how often.

use super::*;

/// Kills a daemon at a moment that chance chooses, again and again, each time while a client
/// changes the value as fast as it can. `check` gets the value before, the highest that a client
/// saw, the highest that could be, and what the next daemon starts with.
fn kill_often(times: usize, sync: &str, check: impl Fn(i64, i64, i64, i64)) {
    let directory = directory();
    let mut before = 0;
    for round in 0..times {
        let (daemon, port) = counter(&directory, &["--sync", sync]);
        let (ws, start) = joined(port);
        assert_eq!(start, before, "round {round}");
        let sent = AtomicI64::new(0);
        let seen = thread::scope(|scope| {
            scope.spawn(|| {
                // Few enough that what is not read yet never stops the daemon.
                for _ in 0..2000 {
                    sent.fetch_add(1, Ordering::Relaxed);
                    if ws.send(PLUS).is_err() {
                        break;
                    }
                }
            });
            let reader = scope.spawn(|| {
                let mut seen = start;
                while let Ok(Some(message)) = ws.recv_timeout(PATIENCE) {
                    seen = value(&message.to_string()).unwrap_or(seen);
                }
                seen
            });
            // Not a wait for anything: the moment is what is tried.
            thread::sleep(Duration::from_micros(rand::random_range(0..15_000)));
            // By SIGKILL, and waits for the end.
            drop(daemon);
            reader.join().unwrap()
        });
        let most = start + sent.into_inner();
        // As the kill left them: one file half written at most, and never another one.
        let known = [NAME, "counter.json.previous", "counter.json.new"];
        let left = files(&directory);
        assert!(
            left.iter().all(|name| known.contains(&name.as_str())),
            "{left:?}"
        );
        let after = saved(&directory).unwrap_or(0);
        check(start, seen, most, after);
        before = after;
    }
    assert!(before > 0, "not one change was saved in {times} rounds");
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_value_or_a_newer_one() {
    kill_often(100, "second", |start, _, most, after| {
        assert!(
            (start..=most).contains(&after),
            "{after}, not in {start}..={most}"
        );
    });
}

#[test]
fn with_always_what_a_client_has_seen_survives_a_kill_at_any_moment() {
    kill_often(100, "always", |_, seen, most, after| {
        assert!(
            (seen..=most).contains(&after),
            "{after}, not in {seen}..={most}"
        );
    });
}

/// Whether a process may be traced here, which containers forbid at times; says so if not.
fn can_trace() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-qq", "-o", "/dev/null", "true"]);
    let can = strace.stderr(Stdio::null()).status();
    let can = can.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: strace is not installed, or nothing may be traced here");
    }
    can
}

/// A daemon with some of its system calls failing, or killing it.
fn traced(state: &Path, strace: &[&str], trace: &Path) -> (Daemon, u16) {
    let mut command = Command::new("strace");
    // -D: the daemon is our own child, not strace's.
    command
        .args(["-D", "-f", "-qq", "-o"])
        .arg(trace)
        .args(strace);
    run_by(&mut command, &["serve", "--listen", "counter=127.0.0.1:0"]);
    command.args(["--sync", "always", "--state-dir"]).arg(state);
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("counter at http"));
    (daemon, port)
}

#[test]
fn with_always_changes_that_come_together_are_one_write() {
    if !can_trace() {
        return;
    }
    let directory = directory();
    let trace = directory.path().join("trace");
    // A disk that takes its time, so that changes gather.
    let slow = ["-e", "trace=fsync", "-e", "inject=fsync:delay_exit=20000"];
    let (daemon, port) = traced(directory.path(), &slow, &trace);
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
    if !can_trace() {
        return;
    }
    let directory = directory();
    let state = directory.path();
    let new = state.join("counter.json.new").display().to_string();
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
    fs::write(state.join(NAME), file_of("2")).unwrap();
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
            let (daemon, port) = traced(state, &strace, Path::new("/dev/null"));
            let (ws, start) = joined(port);
            assert_eq!(start, before, "{inject}");
            // Opening has removed what was left half written.
            assert!(!Path::new(&new).exists(), "{inject}");
            let _ = ws.send(PLUS);
            wait_until("the daemon to be killed", PATIENCE, || {
                (!daemon.is_running()).then_some(())
            });
            drop(daemon);
            let after = saved(&directory).unwrap_or(0);
            assert!(
                (before..=before + 1).contains(&after),
                "{inject}: {after} after {before}"
            );
            outcomes.push(after - before);
            before = after;
        }
    }
    // Up to the rename the old one, from it on the new one.
    assert_eq!(outcomes[..11], [0; 11], "{outcomes:?}");
    assert_eq!(outcomes[12..], [1; 2], "{outcomes:?}");
}

#[test]
fn a_disk_that_loses_what_is_synced_gets_a_new_file() {
    if !can_trace() {
        return;
    }
    let directory = directory();
    let trace = directory.path().join("trace");
    let failing = [
        "-e",
        "trace=openat,fsync,/^rename",
        "-e",
        "inject=fsync:error=EIO:when=1",
    ];
    let (daemon, port) = traced(directory.path(), &failing, &trace);
    let (ws, _) = joined(port);
    assert_eq!(add(&ws, 1), 1, "it is served all the same");
    daemon.wait_line("is saved again");
    assert!(!degraded(port));
    stopped(daemon);
    let trace = fs::read_to_string(&trace).unwrap();
    let (before, after) = trace.split_once("(INJECTED)").expect("a call that failed");
    assert!(!before.contains("rename"), "{trace}");
    // Not the same file once more: nobody knows what is in it.
    let (new, renamed) = (
        after.find("counter.json.new\", O_WRONLY"),
        after.find("rename"),
    );
    assert!(new.is_some() && new < renamed, "{trace}");
}
