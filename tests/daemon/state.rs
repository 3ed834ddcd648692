//! The counter's value across restarts: kept, damaged, locked, killed, and a disk that does not
//! take it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, Ordering};

use plainws::Store;

use super::*;
use crate::support::tools::require;

const PLUS: &str = r#"{"action":"plus"}"#;
const NAME: &str = "counter.json";

fn path(directory: &TempDir) -> String {
    directory.path().display().to_string()
}

fn counter(directory: &TempDir, more: &[&str]) -> (Daemon, u16) {
    serve(
        "counter",
        &[&["--state-dir", &path(directory)], more].concat(),
    )
}

/// The value of a message of the counter, if it is one with a value.
fn value(text: &str) -> Option<i64> {
    let value = text.strip_prefix(r#"{"type":"state","value":"#)?;
    Some(value.strip_suffix('}')?.parse().expect("a number"))
}

#[track_caller]
fn next_value(ws: &Connection) -> i64 {
    loop {
        if let Some(value) = value(&text(ws)) {
            return value;
        }
    }
}

/// A client of the counter, and the value that it was told at first.
#[track_caller]
fn joined(port: u16) -> (Connection, i64) {
    let ws = connect(port, "/");
    let value = next_value(&ws);
    (ws, value)
}

/// Adds one as often, and waits to see it.
#[track_caller]
fn add(ws: &Connection, times: i64) -> i64 {
    for _ in 0..times {
        ws.send(PLUS).unwrap();
    }
    let mut last = 0;
    for _ in 0..times {
        last = next_value(ws);
    }
    last
}

/// What is on disk, read as a daemon would.
#[track_caller]
fn saved(directory: &TempDir) -> Option<i64> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
    Store::open(directory.path(), NAME, number).unwrap().1
}

/// The names of all files, and of those but the lock.
fn files(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".lock")).collect();
    names.sort();
    names
}

fn health(port: u16, query: &str) -> (u16, String) {
    let answer = exchange(port, get(&format!("/healthz{query}"), ""));
    (answer.status, answer.body)
}

fn degraded(port: u16) -> bool {
    health(port, "").1.starts_with("degraded")
}

#[test]
fn the_value_survives_a_restart() {
    let directory = directory();
    let (daemon, port) = counter(&directory, &[]);
    daemon.wait_line("counter starts with 0: there is no ");
    let (ws, first) = joined(port);
    assert_eq!((first, add(&ws, 5)), (0, 5));
    stopped(daemon);
    let (daemon, port) = counter(&directory, &[]);
    daemon.wait_line("counter starts with 5, from ");
    assert_eq!(joined(port).1, 5);
    stopped(daemon);
}

#[test]
fn without_a_directory_nothing_is_saved() {
    let directory = directory();
    let mut command = plainws_command(&["serve", "--listen", "counter=127.0.0.1:0"]);
    command.current_dir(directory.path());
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("counter at http"));
    assert_eq!(add(&joined(port).0, 3), 3);
    let threads = daemon.threads();
    assert!(!threads.contains(&"ws-store".to_owned()), "{threads:?}");
    stopped(daemon);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn the_directory_of_systemd_is_used_unless_another_is_named() {
    let (first, second, given) = (directory(), directory(), directory());
    let run = |more: &[(&str, &str)]| {
        let mut command = plainws_command(&["serve", "--listen", "counter=127.0.0.1:0"]);
        let list = format!("{}:{}", path(&first), path(&second));
        command.env("STATE_DIRECTORY", list);
        command.envs(more.iter().copied());
        let daemon = Daemon::spawn(command);
        let port = url_port(&daemon.wait_line("counter at http"));
        let value = add(&joined(port).0, 1);
        stopped(daemon);
        value
    };
    assert_eq!((run(&[]), run(&[])), (1, 2));
    assert_eq!(run(&[("PLAINWS_STATE_DIR", &path(&given))]), 1);
    assert_eq!((saved(&first), saved(&given)), (Some(2), Some(1)));
    assert_eq!(files(&second), [""; 0]);
}

#[test]
fn what_clients_saw_last_is_saved_when_a_signal_stops_it_under_load() {
    for sync in ["second", "always"] {
        let directory = directory();
        let (mut daemon, port) = counter(&directory, &["--sync", sync]);
        let (sent, seen) = (AtomicI64::new(0), AtomicI64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                let (sent, seen) = (&sent, &seen);
                scope.spawn(move || {
                    let (ws, _) = joined(port);
                    loop {
                        // Both fail when the daemon closes; what came before is read to the end.
                        sent.fetch_add(1, Ordering::Relaxed);
                        let _ = ws.send(PLUS);
                        match ws.recv_timeout(PATIENCE) {
                            Ok(Some(message)) => {
                                if let Some(value) = value(&message.to_string()) {
                                    seen.fetch_max(value, Ordering::Relaxed);
                                }
                            }
                            Ok(None) => panic!("the daemon says nothing for {PATIENCE:?}"),
                            Err(_) => break,
                        }
                    }
                });
            }
            wait_until("a hundred changes", PATIENCE, || {
                (seen.load(Ordering::Relaxed) > 100).then_some(())
            });
            daemon.signal("TERM");
        });
        assert_eq!(
            daemon.wait_exit(PATIENCE).code(),
            Some(0),
            "{}",
            daemon.report()
        );
        let saved = saved(&directory).unwrap();
        // What still was on its way may have been changed, and not been told any more.
        let possible = seen.into_inner()..=sent.into_inner();
        assert!(possible.contains(&saved), "{saved}, not in {possible:?}");
        assert_eq!(files(&directory), [NAME, "counter.json.previous"]);
    }
}

#[test]
fn an_idle_daemon_writes_nothing_and_the_thread_of_its_store_sleeps() {
    let directory = directory();
    let (daemon, port) = counter(&directory, &[]);
    let (ws, _) = joined(port);
    assert_eq!(
        files(&directory),
        [""; 0],
        "a client that looks changes nothing"
    );
    add(&ws, 1);
    let file = directory.path().join(NAME);
    let inode = || Some(fs::metadata(&file).ok()?.ino());
    let before = wait_until("the value to be saved", PATIENCE, inode);
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let mut stores = tasks.filter_map(|task| {
            let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
            let is_store = status.starts_with("Name:\tws-store\n");
            is_store.then_some(status)
        });
        let status = stores.next().expect("a thread ws-store");
        let line = status.lines().find(|line| line.starts_with("voluntary"));
        line.unwrap().to_owned()
    };
    // Until it has gone to sleep after that write.
    let mut last = switches();
    wait_until("its thread to rest", PATIENCE, || {
        let now = switches();
        (std::mem::replace(&mut last, now.clone()) == now).then_some(())
    });
    // Clients that come, go and look are no change.
    let until = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < until {
        joined(port);
    }
    assert_eq!((inode(), switches()), (Some(before), last));
    stopped(daemon);
    assert_eq!(inode(), Some(before));
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused() {
    let directory = directory();
    let (first, port) = counter(&directory, &[]);
    let args = [
        "serve",
        "--listen",
        "counter=127.0.0.1:0",
        "--state-dir",
        &path(&directory),
    ];
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    let owner = format!(
        "in use by process {}: end that, or take another directory",
        first.pid()
    );
    assert!(lines[0].contains(&owner), "{lines:#?}");
    assert_eq!(add(&joined(port).0, 1), 1, "the first goes on");
    // A kill ends the lock as well.
    drop(first);
    let (next, _) = counter(&directory, &[]);
    stopped(next);
}

#[test]
fn a_damaged_file_is_a_warning_and_two_are_exit_code_65() {
    let directory = directory();
    let (daemon, port) = counter(&directory, &["--sync", "always"]);
    assert_eq!(add(&joined(port).0, 1), 1);
    assert_eq!(add(&joined(port).0, 1), 2);
    stopped(daemon);
    let (newest, previous) = (
        directory.path().join(NAME),
        directory.path().join("counter.json.previous"),
    );
    fs::write(&newest, "").unwrap();
    let (daemon, port) = counter(&directory, &[]);
    let line = daemon.wait_line("is damaged, it is empty; going on with the value before");
    assert!(line.contains("[WARN]"), "{line}");
    assert_eq!(joined(port).1, 1);
    stopped(daemon);
    assert_eq!(fs::read(&newest).unwrap(), b"", "nothing has changed");
    // Whole, but out of the counter's range.
    let other = Store::open(directory.path(), NAME, |_| Some(())).unwrap().0;
    other.save("9007199254740992").unwrap();
    drop(other);
    fs::remove_file(&previous).unwrap();
    let before = fs::read(&newest).unwrap();
    let args = [
        "serve",
        "--listen",
        "counter=127.0.0.1:0",
        "--state-dir",
        &path(&directory),
    ];
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!((code, lines.len()), (65, 1), "{lines:#?}");
    assert!(
        lines[0].contains("[ERROR]") && lines[0].contains(NAME),
        "{lines:#?}"
    );
    assert_eq!(fs::read(&newest).unwrap(), before);
}

#[test]
fn a_directory_that_cannot_be_used_is_exit_code_78() {
    let directory = directory();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for wrong in [
        file.display().to_string(),
        format!("{}/none", path(&directory)),
    ] {
        let args = [
            "serve",
            "--listen",
            "counter=127.0.0.1:0",
            "--state-dir",
            &wrong,
        ];
        let (code, lines) = end_of(plainws_command(&args));
        assert_eq!((code, lines.len()), (78, 1), "{lines:#?}");
        assert!(lines[0].contains(&wrong), "{lines:#?}");
    }
}

/// Whether this process may do everything; else its own permissions are those to test with.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn files_of_somebody_else_are_exit_code_78_and_left_alone() {
    let directory = directory();
    let (daemon, port) = counter(&directory, &[]);
    assert_eq!(add(&joined(port).0, 1), 1);
    stopped(daemon);
    let newest = directory.path().join(NAME);
    let run = || {
        let args = [
            "serve",
            "--listen",
            "counter=127.0.0.1:0",
            "--state-dir",
            &path(&directory),
        ];
        let plain = plainws_command(&args);
        if !is_root() {
            return end_of(plain);
        }
        // Root may do all, so as somebody else, with a copy of the program that this one may run.
        let copy = directory.path().join("plainws");
        if !copy.exists() {
            fs::copy(plain.get_program(), &copy).unwrap();
        }
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        other.arg(&copy).args(args).env_clear();
        end_of(other)
    };
    let mode = |mode| fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode));
    // May look, not write.
    mode(0o555).unwrap();
    let (code, lines) = run();
    assert_eq!(code, 78, "{lines:#?}");
    assert!(
        lines[0].contains("state directory") && lines[0].contains(&path(&directory)),
        "{lines:#?}"
    );
    // May write, not read what is there; a previous one that can be read is no reason to lose it.
    mode(0o777).unwrap();
    let lock = directory.path().join("counter.json.lock");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(&newest, fs::Permissions::from_mode(0o000)).unwrap();
    let (code, lines) = run();
    assert_eq!(code, 78, "{lines:#?}");
    assert!(
        lines[0].contains("cannot read") && lines[0].contains(NAME),
        "{lines:#?}"
    );
    mode(0o700).unwrap();
    fs::set_permissions(&newest, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(saved(&directory), Some(1));
}

#[test]
fn always_without_a_directory_is_wrong_usage() {
    let args = [
        "serve",
        "--listen",
        "counter=127.0.0.1:0",
        "--sync",
        "always",
    ];
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!((code, lines.len()), (2, 1), "{lines:#?}");
    assert!(lines[0].contains("--state-dir"), "{lines:#?}");
}

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

/// Appends the daemon's command to that of a program that runs another one.
fn run_by(command: &mut Command, args: &[&str]) {
    let daemon = plainws_command(args);
    command.arg(daemon.get_program()).args(daemon.get_args());
    for (name, value) in daemon.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
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
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
    let saved = || Store::open(state, NAME, number).unwrap().1.unwrap_or(0);
    let (store, _) = Store::open(state, NAME, number).unwrap();
    store.save("1").unwrap();
    store.save("2").unwrap();
    drop(store);
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
            let _ = ws.send(PLUS);
            wait_until("the daemon to be killed", PATIENCE, || {
                (!daemon.is_running()).then_some(())
            });
            drop(daemon);
            let after = saved();
            assert!(
                (before..=before + 1).contains(&after),
                "{inject}: {after} after {before}"
            );
            outcomes.push(after - before);
            before = after;
            // Opening has removed what was left half written.
            assert!(!Path::new(&new).exists(), "{inject}");
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

/// Starts a daemon whose state directory is a file system of its own, of 64 KiB, in a mount
/// namespace of its own; the path by which this process sees it. `None`, and says so, where that
/// is not allowed.
fn on_a_small_disk(directory: &TempDir, more: &[&str]) -> Option<(Daemon, u16, PathBuf)> {
    let unshare = |command: &mut Command| {
        // Without root's rights, with those of a user namespace.
        command.args(if is_root() {
            ["-m"].as_slice()
        } else {
            &["-r", "-m"]
        });
    };
    let mut can = Command::new("unshare");
    unshare(&mut can);
    let mount = "mount -t tmpfs -o size=64k,mode=700 tmpfs \"$0\"";
    can.args(["sh", "-c", mount])
        .arg(directory.path())
        .stderr(Stdio::null());
    if !can.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: needs unshare, and the right to mount a tmpfs in it (root has it)");
        return None;
    }
    let mut command = Command::new("unshare");
    unshare(&mut command);
    let mount = format!("{mount} && exec \"$@\"");
    command.args(["sh", "-c", &mount]).arg(directory.path());
    let listen = "counter=127.0.0.1:0";
    let state = path(directory);
    let args = [&["serve", "--listen", listen, "--state-dir", &state], more].concat();
    run_by(&mut command, &args);
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("counter at http"));
    let seen = PathBuf::from(format!("/proc/{}/root{state}", daemon.pid()));
    assert!(
        seen.join("counter.json.lock").exists(),
        "{}",
        daemon.report()
    );
    Some((daemon, port, seen))
}

/// How many lines tell that saving fails.
fn complaints(daemon: &Daemon) -> usize {
    let lines = daemon.lines();
    lines
        .iter()
        .filter(|line| line.contains("[ERROR] cannot save"))
        .count()
}

#[test]
fn a_full_disk_is_degraded_serves_on_and_recovers() {
    for sync in ["second", "always"] {
        let directory = directory();
        let Some((daemon, port, disk)) = on_a_small_disk(&directory, &["--sync", sync]) else {
            return;
        };
        let (ws, _) = joined(port);
        assert_eq!(add(&ws, 1), 1);
        let newest = disk.join(NAME);
        let good = wait_until("the value to be saved", PATIENCE, || fs::read(&newest).ok());
        assert_eq!(health(port, ""), (200, "ok".to_owned()));
        let filler = disk.join("filler");
        let full = fs::write(&filler, vec![0; 128 * 1024]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(add(&ws, 1), 2);
        let line = daemon.wait_line("[ERROR] cannot save");
        assert!(line.contains("No space left on device"), "{line}");
        let text = "degraded: the state cannot be saved".to_owned();
        assert_eq!(health(port, ""), (200, text.clone()));
        assert_eq!(health(port, "?strict"), (503, text));
        // Clients do not notice, and tries do not pile up: neither lines nor files.
        assert_eq!(add(&ws, 500), 502);
        assert_eq!(joined(port).1, 502);
        assert!(degraded(port));
        assert_eq!(complaints(&daemon), 1, "{}", daemon.report());
        let old = fs::read(&newest).unwrap();
        assert!(
            old == good || sync == "second",
            "the last good value is still there"
        );
        let entries = fs::read_dir(&disk).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name != "filler" && name != "counter.json.previous");
        names.sort();
        assert_eq!(names, [NAME, "counter.json.lock"]);
        fs::remove_file(&filler).unwrap();
        daemon.wait_line("is saved again");
        wait_until("the end of it", PATIENCE, || {
            (!degraded(port)).then_some(())
        });
        assert_eq!(health(port, "?strict"), (200, "ok".to_owned()));
        let content = fs::read_to_string(&newest).unwrap();
        assert!(content.contains("\"value\":502}"), "{content}");
        assert_eq!(add(&ws, 1), 503);
        assert_eq!(complaints(&daemon), 1, "{}", daemon.report());
        stopped(daemon);
    }
}

#[test]
fn a_disk_that_becomes_read_only_is_degraded_and_recovers() {
    let Some(nsenter) = require("nsenter", "sudo apt-get install util-linux") else {
        return;
    };
    let directory = directory();
    let Some((daemon, port, disk)) = on_a_small_disk(&directory, &["--sync", "always"]) else {
        return;
    };
    let remount = |how: &str| {
        let mut command = Command::new(&nsenter);
        let pid = daemon.pid().to_string();
        command.args(["-t", &pid, "-m"]);
        if !is_root() {
            command.args(["-U", "--preserve-credentials"]);
        }
        let remounted = command.args(["mount", "-o", &format!("remount,{how}")]);
        let remounted = remounted.arg(directory.path()).status().unwrap();
        // The daemon holds no file open for writing that would forbid it.
        assert!(remounted.success(), "{how}");
    };
    let (ws, _) = joined(port);
    assert_eq!(add(&ws, 1), 1);
    remount("ro");
    assert!(!degraded(port), "nothing has changed yet");
    assert_eq!(add(&ws, 1), 2);
    let line = daemon.wait_line("[ERROR] cannot save");
    assert!(line.contains("Read-only file system"), "{line}");
    assert!(degraded(port));
    assert_eq!(add(&ws, 10), 12);
    remount("rw");
    daemon.wait_line("is saved again");
    assert!(!degraded(port));
    let content = fs::read_to_string(disk.join(NAME)).unwrap();
    assert!(content.contains("\"value\":12}"), "{content}");
    stopped(daemon);
}

#[test]
fn a_value_that_cannot_be_saved_at_the_end_is_named_and_the_exit_code_is_1() {
    let directory = directory();
    let (mut daemon, port) = counter(&directory, &[]);
    // In the way of whoever saves, also of root.
    fs::create_dir(directory.path().join("counter.json.new")).unwrap();
    let (ws, _) = joined(port);
    assert_eq!(add(&ws, 7), 7);
    daemon.wait_line("[ERROR] cannot save");
    daemon.signal("TERM");
    assert_eq!(
        daemon.wait_exit(PATIENCE).code(),
        Some(1),
        "{}",
        daemon.report()
    );
    let lines = daemon.lines();
    assert!(
        lines.last().unwrap().ends_with("the value was 7"),
        "{lines:#?}"
    );
}

#[test]
fn who_asks_while_it_stops_is_told_to_go_elsewhere() {
    // Requests that are on their way in when the signal comes: nobody else can ask, as nothing
    // listens any more. Some may be answered before it; again, until one is not.
    wait_until("an answer from a daemon that stops", PATIENCE, || {
        let (daemon, port) = serve("counter", &[]);
        // Keeps it from ending before it has answered.
        let _silent = Raw::upgrade(port, "/");
        let mut asking: Vec<Raw> = (0..8).map(|_| Raw::connect(port)).collect();
        wait_until("all of them to be accepted", PATIENCE, || {
            (daemon.clients() == 9).then_some(())
        });
        daemon.signal("STOP");
        for raw in &mut asking {
            raw.send(get("/healthz", "").as_bytes());
        }
        daemon.signal("TERM");
        daemon.signal("CONT");
        let answers = asking
            .into_iter()
            .map(|mut raw| String::from_utf8_lossy(&raw.rest()).into_owned());
        let stopping = |answer: &String| {
            let is = answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nstopping");
            let ready = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok");
            assert!(is || ready || answer.is_empty(), "{answer}");
            is
        };
        let answers: Vec<String> = answers.collect();
        answers.iter().any(stopping).then_some(())
    });
}
