//! The counter's value across restarts: kept, damaged, locked, killed, and a disk that does not
//! take it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::support::counter::{NAME, PLUS, add, joined, saved, saving as counter, value};
use crate::support::files::{Folder, set_mode};
use crate::support::process::run_by;

/// The command of a daemon that saves into this folder.
fn serving(folder: &str) -> Command {
    plainws_command(&[
        "serve",
        "--listen",
        "counter=127.0.0.1:0",
        "--state-dir",
        folder,
    ])
}

/// The command fails with the code and one line, which tells these.
#[track_caller]
fn fails(command: Command, code: i32, told: &[&str]) {
    let (got, lines) = end_of(command);
    assert_eq!((got, lines.len()), (code, 1), "{lines:#?}");
    for told in told {
        assert!(lines[0].contains(told), "{told}: {lines:#?}");
    }
}

/// Whether this process may do everything; else its own permissions are those to test with.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn health(port: u16, query: &str) -> (u16, String) {
    let answer = exchange(port, get(&format!("/healthz{query}"), ""));
    (answer.status, answer.body)
}

fn degraded(port: u16) -> bool {
    health(port, "").1.starts_with("degraded")
}

#[test]
fn the_value_survives_a_restart_in_the_directory_that_is_named() {
    let folder = Folder::new();
    let (daemon, port) = counter(&folder, &[]);
    daemon.wait_line("counter starts with 0: there is none in ");
    let (ws, first) = joined(port);
    assert_eq!((first, add(&ws, 5)), (0, 5));
    stopped(daemon);
    let (daemon, port) = counter(&folder, &[]);
    daemon.wait_line("counter starts with 5, from ");
    assert_eq!(joined(port).1, 5);
    stopped(daemon);

    // The directory of systemd is used unless another is named; without any nothing is saved.
    let (first, second, given) = (Folder::new(), Folder::new(), Folder::new());
    let list = format!("{}:{}", first.arg(""), second.arg(""));
    let given_dir = given.arg("");
    for (variables, value) in [
        (&[("STATE_DIRECTORY", &*list)][..], 1),
        (&[("STATE_DIRECTORY", &list)], 2),
        (
            &[
                ("STATE_DIRECTORY", &list),
                ("PLAINWS_STATE_DIR", &given_dir),
            ],
            1,
        ),
        (&[], 1),
        (&[], 1),
    ] {
        let mut command = plainws_command(&["serve", "--listen", "counter=127.0.0.1:0"]);
        command.envs(variables.iter().copied());
        let daemon = Daemon::spawn({
            command.current_dir(second.path(""));
            command
        });
        let port = url_port(&daemon.wait_line("counter at http"));
        assert_eq!(add(&joined(port).0, 1), value);
        let saves = daemon.threads().contains(&"ws-store".to_owned());
        assert_eq!(saves, !variables.is_empty(), "a thread that saves");
        stopped(daemon);
    }
    assert_eq!((saved(&first), saved(&given)), (Some(2), Some(1)));
    assert_eq!(second.names(), [""; 0]);
    let mut always = plainws_command(&["serve", "--listen", "counter=127.0.0.1:0"]);
    always.args(["--sync", "always"]);
    fails(always, 2, &["--state-dir"]);
}

#[test]
fn what_clients_saw_last_is_saved_when_a_signal_stops_it_under_load() {
    for sync in ["second", "always"] {
        let directory = Folder::new();
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
        assert_eq!(directory.names(), [NAME]);
    }
}

#[test]
fn an_idle_daemon_writes_nothing_and_the_thread_of_its_store_sleeps() {
    let directory = Folder::new();
    let (daemon, port) = counter(&directory, &[]);
    let (ws, _) = joined(port);
    let files = || {
        let size = |name: &String| fs::metadata(directory.path(name)).unwrap().size();
        let when = |name: &String| {
            fs::metadata(directory.path(name))
                .unwrap()
                .modified()
                .unwrap()
        };
        let names = directory.names();
        let all = names
            .iter()
            .map(|name| (name.clone(), size(name), when(name)));
        all.collect::<Vec<_>>()
    };
    let untouched = files();
    joined(port);
    assert_eq!(files(), untouched, "a client that looks changes nothing");
    add(&ws, 1);
    // A page, and what says which.
    let changed = || {
        let log = fs::metadata(directory.path("plainws.db-wal")).ok()?;
        (log.size() > 4096).then_some(())
    };
    wait_until("the value to be saved", PATIENCE, changed);
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
    let before = files();
    // Clients that come, go and look are no change.
    let until = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < until {
        joined(port);
    }
    assert_eq!((files(), switches()), (before, last));
    stopped(daemon);
}

#[test]
fn a_second_daemon_on_the_same_directory_is_refused() {
    let folder = Folder::new();
    let (first, port) = counter(&folder, &[]);
    let told = "in use by another process: end that, or take another directory";
    fails(serving(&folder.arg("")), 1, &[told]);
    assert_eq!(add(&joined(port).0, 1), 1, "the first goes on");
    // A kill ends the lock as well.
    drop(first);
    stopped(counter(&folder, &[]).0);
}

#[test]
fn a_damaged_file_is_exit_code_65_and_left_alone() {
    let folder = Folder::new();
    let (daemon, port) = counter(&folder, &["--sync", "always"]);
    assert_eq!(add(&joined(port).0, 2), 2);
    stopped(daemon);
    let good = fs::read(folder.path(NAME)).unwrap();
    let edited = |sql: &str| {
        folder.write(NAME, &good);
        let database = rusqlite::Connection::open(folder.path(NAME)).unwrap();
        database.execute_batch(sql).unwrap();
        database.close().unwrap();
        fs::read(folder.path(NAME)).unwrap()
    };
    let mut flipped = good.clone();
    let half = flipped.len() / 2;
    flipped[half..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let rows = [
        (Vec::new(), 65, "it is empty"),
        (
            b"no database at all, but long enough to be one; ".repeat(100),
            65,
            "not a database",
        ),
        (good[..good.len() / 2].to_vec(), 65, "damaged"),
        (flipped, 65, "damaged"),
        (edited("PRAGMA application_id = 1"), 65, "another program"),
        (edited("DROP TABLE entries"), 65, "no such table"),
        (
            edited("UPDATE numbers SET value = 9007199254740992"),
            65,
            "cannot be",
        ),
        (edited("PRAGMA user_version = 2"), 78, "a newer plainws"),
    ];
    for (content, code, told) in rows {
        folder.write(NAME, &content);
        fails(serving(&folder.arg("")), code, &["[ERROR]", NAME, told]);
        assert!(
            fs::read(folder.path(NAME)).unwrap() == content,
            "{told}: left alone"
        );
        let log = folder.path("plainws.db-wal");
        // Looking made one, and wrote nothing.
        let looked = fs::metadata(&log).map_or(0, |log| log.size());
        assert_eq!(looked, 0, "{told}");
    }
    fs::remove_file(folder.path(NAME)).unwrap();
    std::os::unix::fs::symlink("elsewhere", folder.path(NAME)).unwrap();
    fails(serving(&folder.arg("")), 65, &["symbolic link"]);
    fs::remove_file(folder.path(NAME)).unwrap();
    folder.fifo(NAME);
    fails(serving(&folder.arg("")), 65, &["not a regular file"]);
    // A copy that is put back is as good as ever, also behind a link to its directory.
    fs::remove_file(folder.path(NAME)).unwrap();
    folder.write(NAME, &good);
    let other = Folder::new();
    std::os::unix::fs::symlink(folder.0.path(), other.path("link")).unwrap();
    let daemon = Daemon::spawn(serving(&other.arg("link")));
    let port = url_port(&daemon.wait_line("counter at http"));
    assert_eq!(joined(port).1, 2);
    stopped(daemon);
}

#[test]
fn a_log_that_a_kill_left_is_no_beginning() {
    let folder = Folder::new();
    let (daemon, port) = counter(&folder, &["--sync", "always"]);
    assert_eq!(add(&joined(port).0, 7), 7);
    // By SIGKILL.
    drop(daemon);
    fs::rename(folder.path(NAME), folder.path("away")).unwrap();
    let log = fs::read(folder.path("plainws.db-wal")).unwrap();
    assert!(!log.is_empty());
    fails(
        serving(&folder.arg("")),
        65,
        &["[ERROR]", "plainws.db-wal", "put the database back"],
    );
    assert_eq!(folder.names(), ["away", "plainws.db-wal"]);
    assert!(
        fs::read(folder.path("plainws.db-wal")).unwrap() == log,
        "left alone"
    );
    fs::rename(folder.path("away"), folder.path(NAME)).unwrap();
    let (daemon, port) = counter(&folder, &[]);
    assert_eq!(joined(port).1, 7);
    stopped(daemon);
}

#[test]
fn what_is_deleted_gives_its_room_back() {
    use crate::support::raw::exchange;
    let folder = Folder::new();
    let dir = folder.arg("");
    let args = [
        "serve",
        "--listen=127.0.0.1:0",
        "--sync=always",
        "--state-dir",
        &dir,
    ];
    let daemon = plainws(&args);
    let port = url_port(&daemon.wait_line("index at "));
    let body = "x".repeat(60_000);
    let each = |method: &str, body: &str| {
        for n in 0..60 {
            let length = body.len();
            let head = format!(
                "{method} /topic/{n} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"
            );
            assert_eq!(exchange(port, head + body).status, 204);
        }
    };
    each("PUT", &body);
    each("DELETE", "");
    stopped(daemon);
    let size = fs::metadata(folder.path(NAME)).unwrap().len();
    assert!(
        size < 1_200_000,
        "{size} bytes of 3.6 million are still taken"
    );
}

#[test]
fn topics_and_streams_survive_a_restart_with_their_past() {
    use crate::support::raw::exchange;
    let folder = Folder::new();
    let dir = folder.arg("");
    let start = |sync: &str| {
        let args = [
            "serve",
            "--listen=127.0.0.1:0",
            "--keep=3",
            "--sync",
            sync,
            "--state-dir",
            &dir,
        ];
        let daemon = plainws(&args);
        let port = url_port(&daemon.wait_line("index at "));
        (daemon, port)
    };
    let ask = |port: u16, line: &str, media: &str, body: &[u8]| {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: h\r\n{media}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = exchange(port, [head.as_bytes(), body].concat());
        assert_eq!(answer.status, 204, "{line}: {answer:?}");
    };
    let shown = |port: u16| {
        let paths = [
            "/topics",
            "/topic/a?history",
            "/topic/picture?format=json",
            "/stream/log",
            "/topic/gone",
        ];
        paths.map(|path| exchange(port, get(path, "")).body)
    };
    for sync in ["second", "always"] {
        let (daemon, port) = start(sync);
        for n in 0..5 {
            ask(port, "PUT /topic/a", "", format!("{n}").as_bytes());
            ask(port, "POST /stream/log", "", format!("line {n}").as_bytes());
        }
        ask(
            port,
            "PUT /topic/picture",
            "Content-Type: image/png\r\n",
            b"\xff\x00",
        );
        ask(port, "PUT /topic/gone", "", b"x");
        ask(port, "DELETE /topic/gone", "", b"");
        let before = shown(port);
        assert_eq!(before[1].lines().count(), 3, "{before:?}");
        if sync == "second" {
            stopped(daemon);
        } else {
            // What was answered is on disk.
            drop(daemon);
        }
        let (daemon, port) = start(sync);
        assert_eq!(shown(port), before, "{sync}");
        // No version comes again.
        ask(port, "PUT /topic/gone", "", b"y");
        let tag = exchange(port, get("/topic/gone", ""))
            .header("ETag")
            .map(str::to_owned);
        assert_ne!(tag.as_deref(), Some("\"1\""), "{sync}");
        ask(port, "DELETE /topic/gone", "", b"");
        stopped(daemon);
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_exit_code_78_and_left_alone() {
    let folder = Folder::new();
    folder.write("file", "");
    for wrong in ["file", "none"].map(|name| folder.arg(name)) {
        fails(serving(&wrong), 78, &[&wrong]);
    }
    let (daemon, port) = counter(&folder, &[]);
    assert_eq!(add(&joined(port).0, 1), 1);
    stopped(daemon);
    let dir = folder.arg("");
    // Root may do all, so as somebody else, with a copy of the program that this one may run.
    let run = || {
        let plain = serving(&dir);
        if !is_root() {
            return plain;
        }
        let copy = folder.path("plainws");
        if !copy.exists() {
            // By a process of its own: what is open for writing here cannot be started.
            let copied = Command::new("cp")
                .arg(plain.get_program())
                .arg(&copy)
                .status();
            assert!(copied.unwrap().success());
        }
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        other.arg(&copy).args(plain.get_args()).env_clear();
        other
    };
    run();
    // May look, not write.
    set_mode(folder.0.path(), 0o555);
    fails(run(), 78, &["state directory", &dir]);
    // May write, not read what is there.
    set_mode(folder.0.path(), 0o777);
    set_mode(&folder.path(NAME), 0o000);
    fails(run(), 78, &["cannot use", NAME]);
    set_mode(folder.0.path(), 0o700);
    set_mode(&folder.path(NAME), 0o600);
    assert_eq!(saved(&folder), Some(1));
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
        daemon.wait_clients(9);
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
