//! SIGKILL at any moment and at each step of saving; what is synced, and how often.

use super::*;

/// Kills a daemon at a moment that chance chooses, again and again, each time while a client
/// changes the value as fast as it can. `check` gets the value before, the highest that a client
/// saw, the highest that could be, and what the next daemon starts with.
fn kill_often(times: usize, sync: &str, check: impl Fn(i64, i64, i64, i64)) {
    let directory = Folder::new();
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
        // As the kill left them.
        let known = [
            NAME,
            "plainws.db-wal",
            "plainws.db.new",
            "plainws.db.new-journal",
        ];
        let left = directory.names();
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
