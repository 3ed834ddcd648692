//! Many of them at once.

use super::*;

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
    daemon.wait_clients(10 + 5 + 3 + 5 + 3 + 1);
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
        daemon.wait_clients(0);
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
