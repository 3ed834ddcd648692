//! One list of cases for both ends, plain and over TLS: the same `Connection` is a server's and a
//! client's.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use plainws::{CloseCode, Connection, Error, Message};

use crate::support::hubs::{hub, wait_registered};
use crate::support::pair::{Options, Pair, Role};
use crate::support::servers::{start, url};
use crate::support::talk::{end, received_code, text};
use crate::support::tools::{PATIENCE, wait_until};

/// Makes a test of each case for each end, plain and over TLS.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        mod at_the_server {
            $(#[test] fn $case() { super::$case(super::Role::Server) })*
        }
        mod at_the_client {
            $(#[test] fn $case() { super::$case(super::Role::Client) })*
        }
        #[cfg(feature = "tls")]
        mod at_the_server_over_tls {
            $(#[test] fn $case() { super::$case(super::Role::TlsServer) })*
        }
        #[cfg(feature = "tls")]
        mod at_the_client_over_tls {
            $(#[test] fn $case() { super::$case(super::Role::TlsClient) })*
        }
    };
}

cases![
    messages_of_all_sizes_arrive_whole_and_in_order,
    nothing_to_receive_is_told_without_waiting,
    several_threads_use_one_connection,
    several_threads_receive_each_message_once,
    close_wakes_a_blocked_recv,
    close_wakes_a_recv_though_the_peer_is_silent,
    the_peers_close_is_told_everywhere_with_code_and_reason,
    iteration_ends_quietly_or_with_the_error,
    what_was_sent_before_a_close_arrives_and_nothing_after_it,
    write_waits_for_flush_or_recv,
    a_message_above_the_limit_closes_with_1009,
    send_waits_for_a_slow_reader,
    try_send_does_not_wait_for_a_slow_reader,
    a_peer_that_reads_nothing_is_given_up,
    a_peer_that_answers_no_ping_is_given_up,
    a_peer_is_not_given_up_while_we_do_not_read,
    pings_keep_a_quiet_connection_and_measure_it,
    the_request_is_known_at_both_ends,
    a_hub_gives_a_slow_reader_the_newest_states,
    a_hub_closes_a_slow_reader_of_a_stream,
];

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A pair whose end under test has these options.
fn pair_with(role: Role, ours: Options) -> Pair {
    Pair::with(role, ours, Options::default())
}

/// Sizes around every limit, of frames, of records, of buffers, and some in between.
fn sizes() -> Vec<usize> {
    let limits = [1024, 4096, 16 << 10, 32 << 10, 64 << 10];
    // Headers of 2 to 14 bytes shift where a record ends.
    let around = limits.into_iter().flat_map(|limit| limit - 20..=limit);
    (0..300)
        .step_by(7)
        .chain([125, 126, 127])
        .chain(around)
        .collect()
}

fn messages_of_all_sizes_arrive_whole_and_in_order(role: Role) {
    let pair = Pair::new(role);
    let binary =
        |size: usize| Message::from((0..size).map(|i| (i % 251) as u8).collect::<Vec<_>>());
    let texts = ["Rust", "", "ünïcödé 🦀"].map(Message::from);
    let messages: Vec<Message> = texts
        .into_iter()
        .chain(sizes().into_iter().map(binary))
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            // One by one, and then many that share records and segments.
            for message in &messages {
                pair.ours.send(message.clone()).unwrap();
            }
            for message in &messages {
                pair.ours.write(message.clone()).unwrap();
            }
            pair.ours.flush();
        });
        for message in messages.iter().chain(&messages) {
            let got = pair.theirs.recv().unwrap();
            assert!(got == *message, "{} bytes for {}", got.len(), message.len());
        }
    });
}

fn nothing_to_receive_is_told_without_waiting(role: Role) {
    let pair = Pair::new(role);
    assert_eq!(pair.ours.try_recv().unwrap(), None);
    let start = Instant::now();
    assert_eq!(pair.ours.recv_timeout(ms(50)).unwrap(), None);
    assert!(start.elapsed() >= ms(50), "waited {:?}", start.elapsed());
    pair.theirs.send("there").unwrap();
    wait_until("a message by try_recv", PATIENCE, || {
        pair.ours.try_recv().unwrap()
    });
}

fn several_threads_use_one_connection(role: Role) {
    const THREADS: usize = 4;
    const MESSAGES: usize = 500;
    let pair = Pair::new(role);
    let talk = |connection: &Connection, thread: usize| {
        for number in 0..MESSAGES {
            connection.send(format!("{thread} {number}")).unwrap();
            if number % 50 == 0 {
                connection.ping().unwrap();
            }
        }
    };
    let listen = |connection: &Connection| {
        let mut next = [0; THREADS];
        for _ in 0..THREADS * MESSAGES {
            let message = connection.recv().unwrap().to_string();
            let (thread, number) = message.split_once(' ').unwrap();
            let next = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(number, next.to_string(), "thread {thread} out of order");
            *next += 1;
        }
    };
    thread::scope(|scope| {
        let (ours, theirs) = (&pair.ours, &pair.theirs);
        for thread in 0..THREADS {
            scope.spawn(move || talk(ours, thread));
            scope.spawn(move || talk(theirs, thread));
        }
        scope.spawn(|| listen(ours));
        scope.spawn(|| listen(theirs));
    });
}

fn several_threads_receive_each_message_once(role: Role) {
    const MESSAGES: usize = 1000;
    let pair = Pair::new(role);
    let mut all: Vec<usize> = thread::scope(|scope| {
        let listen = || {
            let number = |message: plainws::Result<Message>| message.unwrap().to_string();
            let numbers = (&pair.ours).into_iter().map(number);
            numbers.map(|n| n.parse().unwrap()).collect::<Vec<usize>>()
        };
        let listeners: Vec<_> = (0..3).map(|_| scope.spawn(listen)).collect();
        for number in 0..MESSAGES {
            pair.theirs.send(number.to_string()).unwrap();
        }
        pair.theirs.close(CloseCode::NORMAL, "").unwrap();
        listeners
            .into_iter()
            .flat_map(|listener| listener.join().unwrap())
            .collect()
    });
    all.sort_unstable();
    assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
}

/// Runs `recv` in a thread, and `end` when it is blocked there; how long `recv` took after that.
fn blocked_recv(pair: &Pair, end: impl FnOnce()) -> (Error, Duration) {
    thread::scope(|scope| {
        let blocked = scope.spawn(|| pair.ours.recv().expect_err("closed"));
        // Nothing tells that a thread waits in poll; the test holds also if it does not yet.
        thread::sleep(ms(50));
        let start = Instant::now();
        end();
        (blocked.join().unwrap(), start.elapsed())
    })
}

fn close_wakes_a_blocked_recv(role: Role) {
    let pair = Pair::new(role);
    thread::scope(|scope| {
        scope.spawn(|| pair.theirs.recv().expect_err("closed"));
        let close = || pair.ours.close(CloseCode(4000), "enough").unwrap();
        let (error, _) = blocked_recv(&pair, close);
        let closed = error.closed().expect("closed").clone();
        assert_eq!(
            closed.sent.unwrap().to_string(),
            "4000 (private use) enough"
        );
        assert_eq!(closed.received.unwrap().code, CloseCode(4000));
        assert!(!closed.received_first);
    });
}

fn close_wakes_a_recv_though_the_peer_is_silent(role: Role) {
    let pair = pair_with(
        role,
        Options {
            close_timeout: Some(ms(300)),
            ..Options::default()
        },
    );
    // Nobody reads at the other end, so no answer comes.
    let (error, took) = blocked_recv(&pair, || pair.ours.close(CloseCode::NORMAL, "").unwrap());
    assert!(
        took >= ms(250) && took < PATIENCE,
        "the close timeout is 300 ms, it took {took:?}"
    );
    let closed = error.closed().expect("closed").clone();
    assert_eq!((closed.is_normal(), closed.received), (false, None));
}

fn the_peers_close_is_told_everywhere_with_code_and_reason(role: Role) {
    let Pair { ours, theirs, .. } = &Pair::new(role);
    assert!(!ours.is_closed() && ours.closed().is_none());
    thread::scope(|scope| {
        scope.spawn(|| theirs.close(CloseCode(4001), "bye").unwrap());
        let error = ours.recv().expect_err("closed");
        let closed = error.closed().expect("closed");
        let told = "received 4001 (private use) bye, then sent 4001 (private use)";
        assert!(closed.to_string().starts_with(told), "{closed}");
        assert_eq!(closed.code(), CloseCode(4001));
        assert!(closed.received_first && !closed.is_normal());
    });
    assert_eq!(
        theirs.closed().unwrap().received.unwrap().code,
        CloseCode(4001)
    );
    assert!(ours.is_closed() && theirs.is_closed() && ours.closed().is_some());
    assert!(ours.recv().unwrap_err().is_closed());
    assert!(ours.try_recv().unwrap_err().is_closed());
    assert!(ours.recv_timeout(ms(10)).unwrap_err().is_closed());
    assert!(ours.send("x").unwrap_err().is_closed());
}

fn iteration_ends_quietly_or_with_the_error(role: Role) {
    for (code, quiet) in [(1000, true), (1001, true), (1011, false), (4000, false)] {
        let pair = Pair::new(role);
        pair.theirs.send("one").unwrap();
        thread::scope(|scope| {
            scope.spawn(|| pair.theirs.close(CloseCode(code), "").unwrap());
            let mut messages = pair.ours.into_iter();
            assert_eq!(messages.next().unwrap().unwrap(), "one");
            match messages.next() {
                None => assert!(quiet, "{code} ended quietly"),
                Some(end) => assert!(!quiet && end.unwrap_err().is_closed(), "{code}"),
            }
            assert!(messages.next().is_none(), "an end is told once");
        });
    }
}

fn what_was_sent_before_a_close_arrives_and_nothing_after_it(role: Role) {
    let pair = Pair::new(role);
    let invalid = [(CloseCode(1005), ""), (CloseCode(1000), &*"x".repeat(124))];
    for (code, reason) in invalid {
        let refused = pair.ours.close(code, reason).expect_err("refused");
        assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..200 {
                pair.ours.write(number.to_string()).unwrap();
            }
            pair.ours.close(CloseCode::NORMAL, "").unwrap();
            for late in [
                pair.ours.send("late"),
                pair.ours.write("late"),
                pair.ours.try_send("late"),
            ] {
                assert!(late.unwrap_err().is_closed());
            }
            assert!(pair.ours.ping().unwrap_err().is_closed());
            pair.ours.close(CloseCode(4000), "again").unwrap();
            assert_eq!(pair.ours.closed().unwrap().code(), CloseCode::NORMAL);
        });
        let got: Vec<_> = (&pair.theirs)
            .into_iter()
            .map(|m| m.unwrap().to_string())
            .collect();
        assert_eq!(got, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

fn write_waits_for_flush_or_recv(role: Role) {
    let Pair { ours, theirs, .. } = &Pair::new(role);
    ours.write("one").unwrap();
    ours.write("two").unwrap();
    assert_eq!(
        theirs.recv_timeout(ms(50)).unwrap(),
        None,
        "nothing before flush"
    );
    ours.flush();
    assert_eq!((text(theirs), text(theirs)), ("one".into(), "two".into()));
    ours.write("three").unwrap();
    assert_eq!(ours.try_recv().unwrap(), None);
    assert_eq!(text(theirs), "three", "receiving flushes");
    ours.write("four").unwrap();
    ours.send("five").unwrap();
    assert_eq!((text(theirs), text(theirs)), ("four".into(), "five".into()));
    // What a hub sends stands behind it, too.
    let hub = hub(());
    let _registration = hub.register(ours);
    wait_registered(&hub, 1);
    ours.write("queued first").unwrap();
    hub.broadcast("then the hub");
    assert_eq!(
        (text(theirs), text(theirs)),
        ("queued first".into(), "then the hub".into())
    );
}

fn a_message_above_the_limit_closes_with_1009(role: Role) {
    let pair = pair_with(
        role,
        Options {
            max_size: Some(1000),
            ..Options::default()
        },
    );
    pair.theirs.send("x".repeat(1000)).unwrap();
    assert_eq!(text(&pair.ours).len(), 1000, "the limit is inclusive");
    pair.theirs.send("x".repeat(1001)).unwrap();
    let error = pair.ours.recv().expect_err("closed");
    let sent = error.closed().unwrap().sent.as_ref().unwrap();
    assert_eq!(sent.code, CloseCode::TOO_BIG);
    let received = end(&pair.theirs).received.unwrap();
    assert_eq!(received.code, CloseCode::TOO_BIG);
    let reason = received.reason;
    assert!(
        reason.contains("1001") && reason.contains("1000"),
        "{reason}"
    );
}

/// More than the kernel's buffers on both sides of a loopback connection hold.
const FLOOD: usize = 32 * 1024 * 1024;

fn send_waits_for_a_slow_reader(role: Role) {
    let pair = Pair::new(role);
    let message = vec![7_u8; 64 * 1024];
    let count = FLOOD / message.len();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for _ in 0..count {
                pair.ours.send(message.clone()).unwrap();
            }
        });
        // The sender is stuck, not done: the other end has not read anything.
        thread::sleep(ms(300));
        assert!(!sender.is_finished(), "{FLOOD} bytes were swallowed");
        for _ in 0..count {
            assert_eq!(pair.theirs.recv().unwrap().len(), message.len());
        }
    });
}

fn try_send_does_not_wait_for_a_slow_reader(role: Role) {
    let pair = Pair::new(role);
    let message = vec![7_u8; 16 * 1024];
    let mut sent = 0;
    let full = loop {
        match pair.ours.try_send(message.clone()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(
            sent * message.len() < 2 * FLOOD,
            "try_send never said that it is full"
        );
    };
    assert!(matches!(full, Error::Full), "{full}");
    for _ in 0..sent {
        assert_eq!(pair.theirs.recv().unwrap().len(), message.len());
    }
    pair.ours.send("still there").unwrap();
    assert_eq!(text(&pair.theirs), "still there");
}

fn a_peer_that_reads_nothing_is_given_up(role: Role) {
    let pair = pair_with(
        role,
        Options {
            write_timeout: Some(ms(300)),
            ..Options::default()
        },
    );
    let message = vec![7_u8; 64 * 1024];
    let mut sends = (0..2 * FLOOD / message.len()).map(|_| pair.ours.send(message.clone()));
    let error = sends
        .find_map(Result::err)
        .expect("an error, not 64 MiB for nobody");
    let closed = error.closed().expect("closed");
    assert!(
        closed.lost.as_ref().unwrap().contains("nothing was read"),
        "{closed}"
    );
    // Also who only queued something finds out, by receiving.
    assert!(pair.ours.recv().unwrap_err().is_closed());
}

/// By those of the library, and though one's own come more often than the ping timeout.
fn a_peer_that_answers_no_ping_is_given_up(role: Role) {
    let ours = Options {
        ping: Some((ms(100), ms(300))),
        ..Options::default()
    };
    for own_pings in [false, true] {
        let pair = pair_with(role, ours.clone());
        // Nobody receives at the other end, so nobody answers.
        let start = Instant::now();
        while own_pings && pair.ours.ping().is_ok() {
            assert!(start.elapsed() < PATIENCE, "still open");
            thread::sleep(ms(20));
        }
        let error = pair.ours.recv().expect_err("closed");
        let closed = error.closed().expect("closed");
        assert!(closed.lost.as_ref().unwrap().contains("ping"), "{closed}");
        assert_eq!(
            closed.sent.as_ref().unwrap().code,
            CloseCode::INTERNAL_ERROR
        );
    }
}

fn a_peer_is_not_given_up_while_we_do_not_read(role: Role) {
    let pair = pair_with(
        role,
        Options {
            ping: Some((ms(100), ms(300))),
            ..Options::default()
        },
    );
    thread::scope(|scope| {
        let answering = scope.spawn(|| pair.theirs.recv());
        // Several ping timeouts long our end looks at nothing, its peer answers all the time.
        thread::sleep(ms(1000));
        assert_eq!(pair.ours.closed(), None);
        pair.ours.send("done").unwrap();
        assert_eq!(answering.join().unwrap().unwrap(), "done");
    });
}

fn pings_keep_a_quiet_connection_and_measure_it(role: Role) {
    let both = Options {
        ping: Some((ms(50), ms(500))),
        ..Options::default()
    };
    let pair = Pair::with(role, both.clone(), both);
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(pair.theirs.recv().unwrap(), "end"));
        assert_eq!(pair.ours.recv_timeout(ms(700)).unwrap(), None);
        assert!(pair.ours.latency().is_some(), "no ping was answered");
        pair.ours.send("end").unwrap();
    });
    // One of one's own, where there are no others.
    let pair = Pair::new(role);
    assert_eq!(pair.ours.latency(), None);
    pair.ours.ping().unwrap();
    let latency = wait_until("an answer to the ping", PATIENCE, || {
        assert_eq!(pair.theirs.try_recv().unwrap(), None);
        assert_eq!(pair.ours.try_recv().unwrap(), None);
        pair.ours.latency()
    });
    assert!(
        latency > Duration::ZERO && latency < PATIENCE,
        "{latency:?}"
    );
}

fn the_request_is_known_at_both_ends(role: Role) {
    let Pair { ours, theirs, .. } = &Pair::new(role);
    assert_eq!(
        (ours.path(), ours.request().query()),
        ("/path", Some("query"))
    );
    assert_eq!(ours.request().header("x-test"), Some("yes"));
    assert_eq!(ours.peer_addr(), theirs.local_addr());
    assert_eq!(ours.local_addr(), theirs.peer_addr());
    assert_ne!(ours.id(), theirs.id());
}

/// A pair whose end under test can make wait for it what a hub sends.
fn with_backlog(role: Role) -> Pair {
    pair_with(
        role,
        Options {
            backlog: Some(64 * 1024),
            // On a busy machine it takes its time until the slow one reads its close frame.
            close_timeout: Some(PATIENCE),
            ..Options::default()
        },
    )
}

/// More than the kernel takes for it; it reads in gulps, so that each time another record is cut.
fn a_hub_gives_a_slow_reader_the_newest_states(role: Role) {
    const VALUES: usize = 3000;
    let hub = hub(());
    let pair = with_backlog(role);
    let fast = with_backlog(role);
    let _slow = hub.register(&pair.ours);
    let _fast = hub.register(&fast.ours);
    let filler = |number: usize| "x".repeat(number * 97 % 12_000);
    // The newest of both states, and how many values came, each larger than the one before.
    let read = |ws: &Connection, pause: Duration| {
        let (mut newest, mut seen) = ([None, None], 0);
        while newest != [Some(VALUES - 2), Some(VALUES - 1)] {
            let text = text(ws);
            let (number, rest) = text.split_once(' ').expect("a number and filler");
            let number: usize = number.parse().expect("a number");
            assert_eq!(
                rest.len(),
                filler(number).len(),
                "value {number} is garbled"
            );
            let newest = &mut newest[number % 2];
            assert!(*newest < Some(number), "{number} behind {newest:?}");
            (*newest, seen) = (Some(number), seen + 1);
            thread::sleep(pause);
        }
        seen
    };
    thread::scope(|scope| {
        scope.spawn(|| read(&fast.theirs, Duration::ZERO));
        for number in 0..VALUES {
            // Two states, so that one replaced stands beside one that is not.
            hub.publish(
                ["a", "b"][number % 2],
                format!("{number} {}", filler(number)),
            );
        }
    });
    let seen = read(&pair.theirs, ms(1));
    assert!(seen < VALUES, "it got all, so it was not slow");
    // It is a client again.
    hub.broadcast("again");
    assert_eq!(text(&pair.theirs), "again");
}

fn a_hub_closes_a_slow_reader_of_a_stream(role: Role) {
    const MESSAGES: usize = 1500;
    let hub = hub(());
    let (slow, fast) = (with_backlog(role), with_backlog(role));
    let _slow = hub.register(&slow.ours);
    let _fast = hub.register(&fast.ours);
    let filler = "x".repeat(16 * 1024);
    for number in 0..MESSAGES {
        hub.broadcast(format!("{number} {filler}"));
        // Not faster than who reads: its backlog is as small.
        assert!(
            text(&fast.theirs).starts_with(&format!("{number} ")),
            "who reads gets all"
        );
    }
    // Those that had begun come whole and in order, then the reason.
    let mut messages = 0;
    while let Ok(message) = slow.theirs.recv_timeout(PATIENCE) {
        let message = message.expect("a message or the end").to_string();
        assert!(
            message.starts_with(&format!("{messages} ")),
            "a gap before {messages}"
        );
        messages += 1;
    }
    assert!(messages < MESSAGES, "it got all, so it was not slow");
    let received = end(&slow.theirs).received.expect("a close frame");
    assert_eq!(received.code, CloseCode::TRY_AGAIN_LATER);
    assert!(received.reason.contains("65536"), "{received}");
    wait_registered(&hub, 2);
}

/// Only a client's connection closes when it is dropped; a server's when its handler returns.
#[test]
fn dropping_the_last_handle_of_a_client_closes_with_1000() {
    let pair = Pair::new(Role::Server);
    let (ours, theirs, handler) = (pair.ours, pair.theirs, pair.handler);
    let second = theirs.clone();
    drop(theirs);
    assert_eq!(
        ours.recv_timeout(ms(50)).unwrap(),
        None,
        "one handle is left"
    );
    thread::scope(|scope| {
        scope.spawn(|| drop(second));
        assert_eq!(received_code(&ours), 1000);
        // Its handler returns, the server closes, and the client's drop does not wait longer.
        drop(handler);
    });
}

/// A handler that has left behind a thread which still receives: closing wakes that, too.
#[test]
fn a_handler_that_returns_wakes_its_own_threads() {
    let (tell, told) = mpsc::channel();
    let server = start(move |ws| {
        let (ws, tell) = (ws.clone(), tell.clone());
        thread::spawn(move || tell.send(ws.recv().is_err()));
        Ok(())
    });
    let client = plainws::connect(&url(&server)).unwrap();
    assert!(end(&client).is_normal());
    assert!(told.recv_timeout(PATIENCE).unwrap());
}

/// A handler that only sends, as a producer does: its client's pings are answered all the same,
/// and it learns that the client has left.
#[test]
fn a_connection_that_only_sends_answers_pings_and_sees_the_end() {
    let (tell, told) = mpsc::channel();
    let server = start(move |ws| {
        let end = loop {
            if let Err(error) = ws.send("tick") {
                break error;
            }
            thread::sleep(ms(20));
        };
        tell.send((end.closed().cloned(), ws.try_recv())).unwrap();
        Ok(())
    });
    let client = plainws::connect(&url(&server)).unwrap();
    client.ping().unwrap();
    wait_until("an answer to the ping", PATIENCE, || {
        client.recv().unwrap();
        client.latency()
    });
    // What it sends meanwhile is kept, and its pings are answered behind that.
    client.send("not lost").unwrap();
    client.ping().unwrap();
    let before = client.latency();
    wait_until("an answer to the second ping", PATIENCE, || {
        client.recv().unwrap();
        (client.latency() != before).then_some(())
    });
    thread::scope(|scope| {
        scope.spawn(|| client.close(CloseCode(4000), "enough").unwrap());
        let (closed, next) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(closed.unwrap().code(), CloseCode(4000));
        assert_eq!(next.unwrap(), Some("not lost".into()));
    });
}
