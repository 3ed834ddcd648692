//! Ends that take their time, and peers that go without a word.

use super::*;
use crate::support::raw;

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
        daemon.wait_clients(0);
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
    daemon.wait_clients(0);
    // Also who closes first, and who does not listen to the answer.
    let mut raw = Raw::upgrade(port, "/hello");
    raw.send(&close(1000, ""));
    daemon.wait_clients(0);
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
    daemon.wait_clients(0);
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
    daemon.wait_clients(1);
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
    daemon.wait_clients(0);
}

#[test]
fn who_finds_no_thread_is_turned_away_with_503() {
    // Threads for 128 more than may connect.
    let (daemon, port) = serve("counter", &["--max-connections", "1"]);
    let mut all: Vec<_> = (0..129).map(|_| Raw::connect(port)).collect();
    daemon.wait_clients(129);
    let answer = Raw::connect(port).answer();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(blemish(&answer, false), None);
    daemon.wait_line("turned away");
    all.truncate(100);
    daemon.wait_clients(100);
    let _one = join(port);
}

#[test]
fn who_closes_before_it_has_read_all_gets_all_of_it() {
    const MESSAGE: usize = 1 << 20;
    let server = plainws::Server::builder(|ws: &plainws::Connection| {
        for _ in 0..8 {
            ws.write(vec![0; MESSAGE])?;
        }
        ws.recv().map(drop)
    });
    let server = server
        .backlog(16 * MESSAGE)
        .listen("127.0.0.1:0")
        .start()
        .unwrap();
    let mut raw = Raw::upgrade(server.local_addr().port().unwrap(), "/");
    raw.send(&raw::close(1000, ""));
    for n in 0..8 {
        assert_eq!(raw.message().payload.len(), MESSAGE, "message {n}");
    }
    assert_eq!(raw.close_frame().0, 1000);
}
