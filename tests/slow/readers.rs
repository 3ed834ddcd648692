//! Readers that stop.

use super::*;

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
    let (daemon, port) = serve("counter", &["--backlog", "32KiB"]);
    let stopped = Raw::connect_narrow(port).open("/counter");
    stops_reading(&daemon, stopped, port);
}

#[test]
#[cfg(feature = "tls")]
fn a_reader_over_tls_that_stops_gets_the_newest_state_when_it_reads_again() {
    use crate::support::{
        certificates::LOCALHOST, files::Folder, process::url_port, secure::Secure,
    };
    let folder = Folder::new();
    folder.write("localhost.pem", LOCALHOST.combined());
    let file = folder.arg("localhost.pem");
    let plain = ["--listen", "plain+127.0.0.1:0", "--backlog", "32KiB"];
    let (daemon, port) = serve("counter", &[&["--tls-cert", &*file], &plain[..]].concat());
    let other = url_port(&daemon.wait_line("index at http://"));
    let stopped = Secure::over(Raw::connect_narrow(port)).open("/counter");
    stops_reading(&daemon, stopped, other);
}

/// It stops, while others count at this port.
fn stops_reading<S: io::Read + Write>(daemon: &Daemon, mut stopped: Peer<S>, port: u16) {
    const UPDATES: i64 = 20_000;
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
