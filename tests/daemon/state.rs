//! The counter's value across restarts: kept, damaged, locked, killed, and a disk that does not
//! take it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::support::process::run_by;

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

/// What is on disk under the newest file's name.
#[track_caller]
fn saved(directory: &TempDir) -> Option<i64> {
    let content = fs::read(directory.path().join(NAME)).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&content).unwrap();
    json["value"].as_i64()
}

/// A file as a daemon would write it.
fn file_of(value: &str) -> String {
    let crc = value.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    });
    format!(
        "{{\"version\":1,\"crc32\":\"{:08x}\",\"value\":{value}}}\n",
        !crc
    )
}

/// The names of all files.
fn files(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
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
    let owner = "in use by another process: end that, or take another directory";
    assert!(lines[0].contains(owner), "{lines:#?}");
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
    fs::write(&newest, file_of("9007199254740992")).unwrap();
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
        lines.last().unwrap().ends_with("the value 7 is lost"),
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

mod disks;
mod kills;
