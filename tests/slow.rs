//! Peers that are slow, silent or gone; many at once; shutdown under load.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::frames::{join, next_state};
use crate::http::blemish;
use crate::support::process::Daemon;
use crate::support::raw::{Raw, close, exchange, get, header, masked, serve, text};
use crate::support::raw::{unread, upgrade_request};
use crate::support::tools::{PATIENCE, poll, wait_until};

const PLUS: &str = r#"{"action":"plus"}"#;
/// What a busy machine may take for what should happen at once.
const SLACK: Duration = Duration::from_secs(10);

#[track_caller]
fn wait_clients(daemon: &Daemon, count: usize) {
    let mut seen = 0;
    let probe = || {
        seen = daemon.clients();
        (seen == count).then_some(())
    };
    wait_until(&format!("{count} threads of clients"), PATIENCE, probe);
}

#[track_caller]
fn wait_read(port: u16) {
    let read = || (unread(port) == 0).then_some(());
    wait_until("the daemon to read all that was sent", PATIENCE, read);
}

/// Asserts that something took the time of a deadline, and not much more.
#[track_caller]
fn assert_took(elapsed: Duration, deadline: Duration) {
    // The peer's clock may have started a little earlier than ours.
    let early = deadline - deadline / 10;
    assert!(elapsed >= early, "after {elapsed:?}, before {deadline:?}");
    let late = deadline + SLACK;
    assert!(elapsed < late, "after {elapsed:?} instead of {deadline:?}");
}

// ---- Slow openings ----------------------------------------------------------------------------

#[test]
fn who_says_nothing_is_closed_at_the_open_timeout() {
    let limit = Duration::from_secs(1);
    let (daemon, port) = serve("counter", &["-v", "--open-timeout", "1s"]);
    let start = Instant::now();
    let mut silent: Vec<_> = (0..20).map(|_| Raw::connect(port)).collect();
    for raw in &mut silent {
        assert_eq!(
            raw.rest(),
            b"",
            "a client that says nothing is told nothing"
        );
        assert_took(start.elapsed(), limit);
    }
    drop(silent);
    wait_clients(&daemon, 0);
    daemon.wait_line("handshake failed: no request in time");
}

#[test]
fn half_a_head_gets_408_at_the_open_timeout() {
    let limit = Duration::from_secs(1);
    let (_daemon, port) = serve("counter", &["--open-timeout", "1s"]);
    let long = get("/", &format!("X: {}\r\n", "x".repeat(8000)));
    let upgrade = upgrade_request("/counter", "");
    let start = Instant::now();
    let heads = [
        "G",
        "GET / HTTP/1.1\r\n",
        &long[..8000],
        &upgrade[..upgrade.len() - 1],
    ];
    let halves: Vec<_> = heads
        .iter()
        .map(|head| {
            let mut raw = Raw::connect(port);
            raw.send(head.as_bytes());
            raw
        })
        .collect();
    for (mut raw, head) in halves.into_iter().zip(heads) {
        let answer = raw.answer();
        assert_eq!(answer.status, 408, "{head:.40}");
        assert_eq!(blemish(&answer, false), None, "{head:.40}");
        assert_took(start.elapsed(), limit);
    }
}

#[test]
fn a_head_that_drips_is_cut_at_the_open_timeout() {
    let limit = Duration::from_secs(2);
    let (_daemon, port) = serve("counter", &["--open-timeout", "2s"]);
    let mut raw = Raw::connect(port);
    let mut writer = raw.stream.try_clone().expect("a second handle");
    // At this pace it would take 80 s.
    let head = get("/", &format!("X: {}\r\n", "x".repeat(4000)));
    thread::scope(|scope| {
        let start = Instant::now();
        let drip = scope.spawn(move || {
            let mut bytes = head.as_bytes().iter();
            bytes.all(|byte| {
                thread::sleep(Duration::from_millis(20));
                writer.write_all(&[*byte]).is_ok()
            })
        });
        assert_eq!(raw.answer().status, 408);
        assert_took(start.elapsed(), limit);
        assert!(!drip.join().expect("the drip"), "all was taken");
    });
}

#[test]
fn a_message_that_drips_disturbs_nobody() {
    let (daemon, port) = serve("counter", &[]);
    let (mut other, _) = join(port);
    let (mut raw, _) = join(port);
    let mut writer = raw.stream.try_clone().expect("a second handle");
    writer.write_all(&header(0x81, 60_000)).expect("the header");
    let done = AtomicBool::new(false);
    let before = daemon.cpu();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                writer.write_all(b"x").expect("the daemon reads on");
                thread::sleep(Duration::from_millis(5));
            }
        });
        for value in 1..=100 {
            let sent = Instant::now();
            other.send(&text(PLUS));
            assert_eq!(next_state(&mut other), value);
            assert!(sent.elapsed() < SLACK, "update {value} was held up");
            // The drip itself is told, too, although its message is not complete.
            assert_eq!(next_state(&mut raw), value);
        }
        done.store(true, Ordering::Relaxed);
    });
    let used = daemon.cpu() - before;
    assert!(used < Duration::from_secs(3), "it took {used:?}");
}

#[test]
fn half_open_handshakes_do_not_keep_others_out() {
    let (daemon, port) = serve("counter", &["--open-timeout", "60s"]);
    let (mut early, _) = join(port);
    let upgrade = upgrade_request("/counter", "");
    let half_open: Vec<_> = (0..200)
        .map(|i| {
            let mut raw = Raw::connect(port);
            let head = ["", "GET /counter HT", &upgrade[..150]][i % 3];
            raw.send(head.as_bytes());
            raw
        })
        .collect();
    let start = Instant::now();
    let (mut late, value) = join(port);
    assert_eq!(value, 0);
    for value in 1..=20 {
        late.send(&text(PLUS));
        assert_eq!(next_state(&mut late), value);
        assert_eq!(next_state(&mut early), value);
    }
    let took = start.elapsed();
    assert!(took < SLACK, "a newcomer and 20 updates took {took:?}");
    wait_clients(&daemon, 202);
    drop(half_open);
    wait_clients(&daemon, 2);
}

// ---- Slow ends --------------------------------------------------------------------------------

/// What a client does when the server has said goodbye, other than to answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rude {
    Silent,
    Talks,
    Pings,
}

#[test]
fn who_does_not_answer_a_close_is_cut_at_the_close_timeout() {
    let limit = Duration::from_secs(2);
    let (daemon, port) = serve("hello", &["-v", "--close-timeout", "2s"]);
    for rude in [Rude::Silent, Rude::Talks, Rude::Pings] {
        let mut raw = Raw::upgrade(port, "/hello");
        raw.send(&text("Ada"));
        assert_eq!(raw.message().text(), "Hello Ada!");
        assert_eq!(raw.close_frame().0, 1000);
        let (start, before) = (Instant::now(), daemon.cpu());
        let mut writer = raw.stream.try_clone().expect("a second handle");
        thread::scope(|scope| {
            scope.spawn(move || {
                let more = match rude {
                    Rude::Silent => return,
                    Rude::Talks => text("and another thing").repeat(100),
                    Rude::Pings => masked(0x89, b"there?").repeat(100),
                };
                while writer.write_all(&more).is_ok() {
                    thread::sleep(Duration::from_millis(1));
                }
            });
            assert!(raw.ends_within(limit + SLACK), "{rude:?}: not cut");
        });
        assert_took(start.elapsed(), limit);
        let used = daemon.cpu() - before;
        if rude == Rude::Silent {
            let most = Duration::from_millis(200);
            assert!(used < most, "waiting for the answer took {used:?}");
        }
        wait_clients(&daemon, 0);
    }
}

#[test]
fn the_log_says_that_a_close_was_not_answered() {
    let (daemon, port) = serve("hello", &["-v", "--close-timeout", "500ms"]);
    let mut clients: Vec<_> = (0..10).map(|_| Raw::upgrade(port, "/hello")).collect();
    for raw in &mut clients {
        raw.send(&text("Ada"));
    }
    for raw in &mut clients {
        let line = daemon.wait_line(&format!("{} /hello closed 1000", raw.address()));
        assert!(line.contains("no answer"), "{line}");
    }
}

#[test]
fn who_answers_a_close_but_stays_is_closed_at_once() {
    let (daemon, port) = serve("hello", &["--close-timeout", "60s"]);
    let mut raw = Raw::upgrade(port, "/hello");
    raw.send(&text("Ada"));
    assert_eq!(raw.close_frame().0, 1000);
    raw.send(&close(1000, ""));
    assert!(raw.ends_within(SLACK), "the server closes first");
    wait_clients(&daemon, 0);
    // Also who closes first, and who does not listen to the answer.
    let mut raw = Raw::upgrade(port, "/hello");
    raw.send(&close(1000, ""));
    wait_clients(&daemon, 0);
    assert_eq!(raw.close_frame().0, 1000);
}

#[test]
fn who_shows_no_life_after_a_ping_is_closed() {
    let (interval, timeout) = (Duration::from_millis(400), Duration::from_secs(2));
    let args = ["-v", "--ping-interval", "400ms", "--ping-timeout", "2s"];
    let (daemon, port) = serve("counter", &args);
    let start = Instant::now();
    let mut silent = Raw::upgrade(port, "/counter");
    // What each of the others answers a ping with: any byte counts.
    type Life = fn(&[u8]) -> Vec<u8>;
    let lives: [Life; 3] = [
        |payload| masked(0x8a, payload),
        |_| masked(0x8a, b"another"),
        |_| text(PLUS),
    ];
    thread::scope(|scope| {
        for answer in lives {
            scope.spawn(move || {
                let mut raw = Raw::upgrade(port, "/counter");
                let mut pings = 0;
                // Twice as long as a dead one may stay.
                while start.elapsed() < 2 * (interval + timeout) || pings < 3 {
                    let frame = raw.frame().expect("who lives is not closed");
                    assert_ne!(frame.opcode, 8, "{frame:?}");
                    if frame.opcode == 9 {
                        pings += 1;
                        raw.send(&answer(&frame.payload));
                    }
                }
                raw.send(&close(4321, ""));
                assert_eq!(raw.close_frame().0, 4321);
            });
        }
        let ping = loop {
            let frame = silent.frame().expect("a ping");
            if frame.opcode == 9 {
                break start.elapsed();
            }
        };
        assert!(ping < interval + SLACK, "the first ping after {ping:?}");
        assert_eq!(silent.close_frame().0, 1011);
        assert_took(start.elapsed(), interval / 2 + timeout);
        assert_eq!(silent.frame(), None);
    });
    let line = daemon.wait_line(&format!("{} /counter closed 1011", silent.address()));
    assert!(line.contains("no answer to a ping for 2s"), "{line}");
    wait_clients(&daemon, 0);
}

/// How often each thread of a process has given up the processor by itself, by name.
fn switches(daemon: &Daemon) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("tasks");
    let number = |task: io::Result<fs::DirEntry>| {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
        let name = field("Name:").expect("a name").trim().to_owned();
        let id = field("Pid:").expect("an id").trim();
        let count = field("voluntary_ctxt_switches:").expect("a count").trim();
        let count = count.parse().expect("a number");
        io::Result::Ok((format!("{name} {id}"), count))
    };
    // A thread may end between the two steps.
    tasks.filter_map(|task| number(task).ok()).collect()
}

#[test]
fn clients_that_are_idle_wake_nobody() {
    let (daemon, port) = serve("counter", &["--ping-interval", "off"]);
    let mut clients: Vec<_> = (0..50).map(|_| join(port).0).collect();
    // The last one is told last, and nothing is under way then.
    clients[49].send(&text(PLUS));
    for raw in &mut clients {
        assert_eq!(next_state(raw), 1);
    }
    let mut seen = (switches(&daemon), daemon.cpu());
    // Some second must be without any: the first may have the end of the last update.
    let idle = || {
        thread::sleep(Duration::from_secs(1));
        let now = (switches(&daemon), daemon.cpu());
        let woken: Vec<_> = now
            .0
            .iter()
            .filter(|(name, n)| seen.0.get(*name) != Some(n))
            .collect();
        let idle = now == seen;
        if !idle {
            eprintln!("woken: {woken:?}, {:?}", now.1 - seen.1);
        }
        seen = now;
        idle.then_some(())
    };
    wait_until(
        "a second in which nothing wakes up",
        Duration::from_secs(5),
        idle,
    );
}

// ---- Readers that stop ------------------------------------------------------------------------

/// Sends this many updates from a client of its own, which reads all of them.
fn count_up(port: u16, updates: i64) {
    let (mut raw, value) = join(port);
    let mut writer = raw.stream.try_clone().expect("a second handle");
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..updates / 500 {
                writer.write_all(&text(PLUS).repeat(500)).expect("it reads");
            }
        });
        for next in value + 1..=value + updates {
            assert_eq!(next_state(&mut raw), next, "who keeps up gets every value");
        }
    });
}

#[test]
fn a_reader_that_stops_gets_the_newest_state_when_it_reads_again() {
    const UPDATES: i64 = 20_000;
    let (daemon, port) = serve("counter", &["--backlog", "32KiB"]);
    let mut stopped = Raw::connect_narrow(port).open("/counter");
    assert_eq!(next_state(&mut stopped), 0);
    count_up(port, 500);
    let before = daemon.resident();
    count_up(port, UPDATES - 500);
    let grown = daemon.resident() - before;
    assert!(grown < 4 * 1024, "resident memory grew by {grown} KiB");
    let (mut value, mut seen) = (0, 0);
    while value < UPDATES {
        let next = next_state(&mut stopped);
        assert!(next > value, "{next} behind {value}");
        (value, seen) = (next, seen + 1);
    }
    assert!(
        seen < UPDATES / 2,
        "{seen} values waited for who had stopped"
    );
    stopped.send(&text(PLUS));
    assert_eq!(
        next_state(&mut stopped),
        UPDATES + 1,
        "it is a client again"
    );
}

#[test]
fn pings_without_reading_the_answers_cost_no_memory() {
    let (daemon, port) = serve("counter", &[]);
    let (mut other, _) = join(port);
    let mut raw = Raw::connect_narrow(port).open("/counter");
    let pings = masked(0x89, &[b'x'; 125]).repeat(400);
    raw.send(&pings);
    wait_read(port);
    let before = daemon.resident();
    for _ in 0..300 {
        raw.stream.write_all(&pings).expect("the daemon reads on");
    }
    raw.send(&masked(0x89, b"last"));
    wait_read(port);
    let grown = daemon.resident() - before;
    assert!(grown < 2 * 1024, "resident memory grew by {grown} KiB");
    other.send(&text(PLUS));
    assert_eq!(next_state(&mut other), 1);
    // 120 000 answers would not fit anywhere: the newest is what counts.
    let mut pongs = 0;
    while raw.frame().expect("the last pong").payload != b"last" {
        pongs += 1;
    }
    assert!(pongs < 100_000, "{pongs} pongs waited");
}

#[test]
fn a_flood_of_pings_does_not_stop_the_clock() {
    let (daemon, port) = serve("clock", &[]);
    let mut raw = Raw::upgrade(port, "/clock");
    let mut writer = raw.stream.try_clone().expect("a second handle");
    thread::scope(|scope| {
        scope.spawn(move || {
            let pings = masked(0x89, b"tick").repeat(5000);
            while writer.write_all(&pings).is_ok() {}
        });
        let (mut texts, mut pongs) = (0, 0);
        let start = Instant::now();
        // They come every 3 s at most.
        while texts < 3 && start.elapsed() < Duration::from_secs(6) + SLACK {
            match raw.frame().expect("a frame").opcode {
                10 => pongs += 1,
                _ => texts += 1,
            }
        }
        let told = format!("{texts} texts and {pongs} pongs in {:?}", start.elapsed());
        daemon.signal("KILL");
        assert!(texts == 3 && pongs > 0, "{told}");
    });
}

// ---- Peers that go without a word -------------------------------------------------------------

#[test]
fn a_reset_frees_its_place_at_once() {
    let (daemon, port) = serve("counter", &["-v"]);
    let (mut witness, _) = join(port);
    let (raw, _) = join(port);
    raw.reset();
    let (mut raw, _) = join(port);
    raw.send(&header(0x81, 60_000));
    raw.send(b"the start of it");
    wait_read(port);
    raw.reset();
    let (mut raw, _) = join(port);
    raw.send(&[0x81]);
    wait_read(port);
    raw.reset();
    for request in ["", "G", "GET /counter HTTP/1.1\r\nHost: loc"] {
        let mut raw = Raw::connect(port);
        raw.send(request.as_bytes());
        wait_read(port);
        raw.reset();
    }
    let mut raw = Raw::connect(port);
    raw.send(upgrade_request("/counter", "").as_bytes());
    raw.reset();
    wait_clients(&daemon, 1);
    let alone = || {
        let text = witness.message().text();
        text.contains(r#""count":1}"#).then_some(())
    };
    wait_until("the witness to be alone", PATIENCE, alone);
    for line in daemon.lines() {
        assert!(line.contains("[INFO]"), "no more than a note: {line}");
    }
}

#[test]
fn connections_above_the_limit_get_503_until_one_leaves() {
    let (daemon, port) = serve("counter", &["--max-connections", "2"]);
    let (mut first, _) = join(port);
    let (second, _) = join(port);
    for _ in 0..3 {
        let answer = exchange(port, upgrade_request("/counter", ""));
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(blemish(&answer, false), None);
    }
    assert_eq!(exchange(port, get("/counter", "")).status, 200, "a page");
    assert_eq!(exchange(port, get("/healthz", "")).status, 200);
    let admitted = || {
        let mut raw = Raw::connect(port);
        raw.send(upgrade_request("/counter", "").as_bytes());
        (raw.answer().status == 101).then_some(raw)
    };
    first.send(&close(1000, ""));
    assert_eq!(first.close_frame().0, 1000);
    let third = wait_until("a place after a goodbye", PATIENCE, admitted);
    second.reset();
    let fourth = wait_until("a place after a reset", PATIENCE, admitted);
    let full = exchange(port, upgrade_request("/counter", ""));
    assert_eq!(full.status, 503, "two are there again");
    drop((third, fourth));
    wait_clients(&daemon, 0);
}

#[test]
fn who_finds_no_thread_is_turned_away_with_503() {
    // Threads for 128 more than may connect.
    let (daemon, port) = serve("counter", &["--max-connections", "1"]);
    let mut all: Vec<_> = (0..129).map(|_| Raw::connect(port)).collect();
    wait_clients(&daemon, 129);
    let answer = Raw::connect(port).answer();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(blemish(&answer, false), None);
    daemon.wait_line("turned away");
    all.truncate(100);
    wait_clients(&daemon, 100);
    let _one = join(port);
}

// ---- Many of them -----------------------------------------------------------------------------

/// A folder with a counter page of this size, larger than what sockets hold.
fn large_page() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let page = "<p>large</p>\n".repeat(75_000);
    fs::write(folder.path().join("counter.html"), page).expect("a page");
    folder
}

/// Asks for a page and does not read it.
fn unread_page(port: u16) -> Raw {
    let mut raw = Raw::connect_narrow(port);
    raw.send(get("/counter", "").as_bytes());
    raw
}

#[test]
fn sigterm_ends_in_time_whatever_the_clients_do() {
    let limit = Duration::from_secs(3);
    let folder = large_page();
    let folder = folder.path().to_str().expect("a path");
    let args = ["--close-timeout", "3s", "--html-dir", folder];
    let (mut daemon, port) = serve("counter", &args);
    let healthy: Vec<_> = (0..10).map(|_| join(port).0).collect();
    let silent: Vec<_> = (0..5).map(|_| join(port).0).collect();
    let slow: Vec<_> = (0..3)
        .map(|_| {
            let mut raw = Raw::connect_narrow(port).open("/counter");
            assert_eq!(next_state(&mut raw), 0);
            raw
        })
        .collect();
    let half_open: Vec<_> = [
        "",
        "",
        "G",
        "GET /counter HT",
        &upgrade_request("/", "")[..100],
    ]
    .iter()
    .map(|head| {
        let mut raw = Raw::connect(port);
        raw.send(head.as_bytes());
        raw
    })
    .collect();
    let pages: Vec<_> = (0..3).map(|_| unread_page(port)).collect();
    let mut amid = join(port).0;
    amid.send(&header(0x81, 60_000));
    amid.send(b"the start of it");
    wait_read(port);
    wait_clients(&daemon, 10 + 5 + 3 + 5 + 3 + 1);
    // Updates to the end, soon more than the sockets of the slow ones hold.
    let busy = thread::spawn(move || {
        let (mut raw, _) = join(port);
        loop {
            raw.send(&text(PLUS).repeat(500));
            for _ in 0..500 {
                let frame = raw.frame().expect("a goodbye before the end");
                if frame.opcode == 8 {
                    raw.send(&close(frame.close().0, ""));
                    return frame.close().0;
                }
            }
        }
    });
    let readers: Vec<_> = healthy
        .into_iter()
        .map(|mut raw| {
            thread::spawn(move || {
                while next_state(&mut raw) < 10_000 {}
                let code = raw.close_frame().0;
                raw.send(&close(code, ""));
                assert_eq!(raw.frame(), None, "the server closes");
                code
            })
        })
        .collect();
    let mut watch = join(port).0;
    while next_state(&mut watch) < 20_000 {}
    drop(watch);

    let start = Instant::now();
    daemon.signal("TERM");
    let status = daemon.wait_exit(limit + SLACK);
    let took = start.elapsed();
    assert!(status.success(), "{status}: {}", daemon.report());
    let most = limit + Duration::from_secs(2);
    assert!(took < most, "it took {took:?}");
    for reader in readers {
        assert_eq!(reader.join().expect("a healthy client"), 1001);
    }
    assert_eq!(busy.join().expect("a busy client"), 1001);
    for line in daemon.lines() {
        assert!(!line.contains("[ERROR]"), "{line}");
    }
    drop((silent, slow, half_open, pages, amid));
}

/// What clients do, and how they go.
const VISITS: [fn(u16); 14] = [
    |port| {
        let (mut raw, _) = join(port);
        raw.send(&text(PLUS));
        raw.send(&close(1000, ""));
        assert_eq!(raw.close_frame().0, 1000);
    },
    |port| drop(join(port)),
    |port| join(port).0.reset(),
    |port| drop(Raw::connect(port)),
    |port| Raw::connect(port).reset(),
    |port| Raw::connect(port).send(b"GET /counter HT"),
    |port| assert_eq!(exchange(port, get("/counter", "")).status, 200),
    |port| drop(unread_page(port)),
    |port| unread_page(port).reset(),
    |port| assert_eq!(exchange(port, "no request\r\n\r\n").status, 400),
    |port| Raw::connect(port).send(b"\x16\x03\x01"),
    |port| {
        let (mut raw, _) = join(port);
        raw.send(&masked(0xff, b"x"));
        assert_eq!(raw.close_frame().0, 1002);
    },
    |port| {
        let (mut raw, _) = join(port);
        raw.send(&header(0x81, 60_000));
        raw.reset();
    },
    |port| {
        // It never reads, and goes while much waits for it.
        let mut raw = Raw::connect_narrow(port).open("/counter");
        raw.send(&text("nonsense").repeat(3000));
    },
];

#[test]
fn threads_and_descriptors_are_given_back() {
    let folder = large_page();
    let folder = folder.path().to_str().expect("a path");
    let args = ["--html-dir", folder, "--close-timeout", "1s"];
    let (daemon, port) = serve("counter", &args);
    let settled = || {
        // Clients come to their threads one after the other: then all before have theirs.
        assert_eq!(exchange(port, get("/healthz", "")).status, 200);
        wait_clients(&daemon, 0);
        (daemon.threads(), daemon.descriptors())
    };
    // Everything once, for what is made once and stays.
    for visit in VISITS {
        visit(port);
    }
    let before = settled();
    thread::scope(|scope| {
        for first in 0..10 {
            scope.spawn(move || {
                for i in 0..30 {
                    VISITS[(first + i) % VISITS.len()](port);
                }
            });
        }
    });
    let mut after = settled();
    let back = || {
        after = settled();
        // Before, the hub may just have been letting go of the last one's socket.
        (after.0 == before.0 && after.1 <= before.1).then_some(())
    };
    if poll(PATIENCE, back).is_none() {
        panic!("threads and descriptors before: {before:?}, and in the end: {after:?}");
    }
    let mut late = Raw::upgrade(port, "/counter");
    let users = late.message().text();
    assert_eq!(users, r#"{"type":"users","count":1}"#);
}
