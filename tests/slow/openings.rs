//! Openings that take their time.

use super::*;

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
    daemon.wait_clients(0);
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
    daemon.wait_clients(202);
    drop(half_open);
    daemon.wait_clients(2);
}
