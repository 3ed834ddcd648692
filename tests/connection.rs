//! One list of cases for both ends, plain and over TLS: the same `Connection` is a server's and a
//! client's.

use std::thread;
use std::time::{Duration, Instant};

use plainws::{CloseCode, Connection, Error, Message};

use crate::support::pair::{Options, Pair, Role};
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
    messages_arrive_whole_and_in_order,
    nothing_to_receive_is_told_without_waiting,
    several_threads_use_one_connection,
    several_threads_receive_each_message_once,
    close_wakes_a_blocked_recv,
    close_wakes_a_recv_though_the_peer_is_silent,
    the_peers_close_is_told_with_code_and_reason,
    iteration_ends_quietly_or_with_the_error,
    what_was_sent_before_a_close_arrives,
    nothing_is_sent_after_a_close,
    write_waits_for_flush_or_recv,
    a_ping_measures_the_latency,
    a_message_above_the_limit_closes_with_1009,
    send_waits_for_a_slow_reader,
    try_send_does_not_wait_for_a_slow_reader,
    a_peer_that_reads_nothing_is_given_up,
    a_peer_that_answers_no_ping_is_given_up,
    a_peer_is_not_given_up_while_we_do_not_read,
    pings_keep_a_quiet_connection,
    the_request_is_known_at_both_ends,
    a_closed_connection_says_so_everywhere,
];

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The code with which this end was closed by the other.
fn received_code(connection: &Connection) -> CloseCode {
    let end = loop {
        match connection.recv_timeout(PATIENCE) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("not closed within {PATIENCE:?}"),
            Err(error) => break error,
        }
    };
    end.closed()
        .expect("closed")
        .received
        .clone()
        .expect("a close frame")
        .code
}

fn messages_arrive_whole_and_in_order(role: Role) {
    let pair = Pair::new(role);
    let messages: [Message; 7] = [
        "Rust".into(),
        "".into(),
        vec![].into(),
        "ünïcödé 🦀".into(),
        vec![0, 255, 7].into(),
        "x".repeat(125).into(),
        vec![9; 64 * 1024].into(),
    ];
    for message in messages.clone() {
        pair.ours.send(message).unwrap();
    }
    for message in messages {
        assert_eq!(pair.theirs.recv().unwrap(), message);
    }
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
            let thread: usize = thread.parse().unwrap();
            assert_eq!(
                number,
                next[thread].to_string(),
                "thread {thread} out of order"
            );
            next[thread] += 1;
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
        let listeners: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut got = Vec::new();
                    for message in &pair.ours {
                        got.push(message.unwrap().to_string().parse().unwrap());
                    }
                    got
                })
            })
            .collect();
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
        let (error, _) = blocked_recv(&pair, || {
            pair.ours.close(CloseCode(4000), "enough").unwrap();
        });
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
    let ours = Options {
        close_timeout: Some(ms(300)),
        ..Options::default()
    };
    let pair = Pair::with(role, ours, Options::default());
    // Nobody reads at the other end, so no answer comes.
    let (error, took) = blocked_recv(&pair, || {
        pair.ours.close(CloseCode::NORMAL, "").unwrap();
    });
    assert!(
        took >= ms(250) && took < PATIENCE,
        "the close timeout is 300 ms, it took {took:?}"
    );
    let closed = error.closed().expect("closed").clone();
    assert_eq!((closed.is_normal(), closed.received), (false, None));
}

fn the_peers_close_is_told_with_code_and_reason(role: Role) {
    let pair = Pair::new(role);
    thread::scope(|scope| {
        scope.spawn(|| pair.theirs.close(CloseCode(4001), "bye").unwrap());
        let error = pair.ours.recv().expect_err("closed");
        let closed = error.closed().expect("closed");
        assert_eq!(
            closed.received.as_ref().unwrap().to_string(),
            "4001 (private use) bye"
        );
        assert_eq!(closed.code(), CloseCode(4001));
        assert!(closed.received_first && !closed.is_normal());
    });
    let theirs = pair.theirs.closed().expect("closed");
    assert_eq!(
        theirs.received.unwrap().code,
        CloseCode(4001),
        "the answer repeats the code"
    );
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

fn what_was_sent_before_a_close_arrives(role: Role) {
    let pair = Pair::new(role);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..200 {
                pair.theirs.write(number.to_string()).unwrap();
            }
            pair.theirs.close(CloseCode::NORMAL, "").unwrap();
        });
        let got: Vec<String> = pair
            .ours
            .into_iter()
            .map(|m| m.unwrap().to_string())
            .collect();
        assert_eq!(got, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

fn nothing_is_sent_after_a_close(role: Role) {
    let pair = Pair::new(role);
    assert!(matches!(
        pair.ours.close(CloseCode(1005), ""),
        Err(Error::Invalid { .. })
    ));
    assert!(matches!(
        pair.ours.close(CloseCode(1000), &"x".repeat(124)),
        Err(Error::Invalid { .. })
    ));
    thread::scope(|scope| {
        scope.spawn(|| {
            let messages: Vec<_> = (&pair.theirs).into_iter().collect();
            assert!(messages.is_empty(), "{messages:?}");
        });
        pair.ours.close(CloseCode::NORMAL, "").unwrap();
        assert!(pair.ours.send("late").unwrap_err().is_closed());
        assert!(pair.ours.write("late").unwrap_err().is_closed());
        assert!(pair.ours.try_send("late").unwrap_err().is_closed());
        assert!(pair.ours.ping().unwrap_err().is_closed());
        pair.ours.close(CloseCode(4000), "again").unwrap();
        assert_eq!(pair.ours.closed().unwrap().code(), CloseCode::NORMAL);
    });
}

fn write_waits_for_flush_or_recv(role: Role) {
    let pair = Pair::new(role);
    pair.ours.write("one").unwrap();
    pair.ours.write("two").unwrap();
    assert_eq!(
        pair.theirs.recv_timeout(ms(50)).unwrap(),
        None,
        "nothing sent before flush"
    );
    pair.ours.flush();
    assert_eq!(pair.theirs.recv().unwrap(), "one");
    assert_eq!(pair.theirs.recv().unwrap(), "two");
    pair.ours.write("three").unwrap();
    assert_eq!(pair.ours.try_recv().unwrap(), None);
    assert_eq!(pair.theirs.recv().unwrap(), "three", "receiving flushes");
    pair.ours.write("four").unwrap();
    pair.ours.send("five").unwrap();
    assert_eq!(pair.theirs.recv().unwrap(), "four");
    assert_eq!(pair.theirs.recv().unwrap(), "five");
}

fn a_ping_measures_the_latency(role: Role) {
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

fn a_message_above_the_limit_closes_with_1009(role: Role) {
    let ours = Options {
        max_size: Some(1000),
        ..Options::default()
    };
    let pair = Pair::with(role, ours, Options::default());
    pair.theirs.send("x".repeat(1000)).unwrap();
    assert_eq!(
        pair.ours.recv().unwrap().len(),
        1000,
        "the limit is inclusive"
    );
    pair.theirs.send("x".repeat(1001)).unwrap();
    let error = pair.ours.recv().expect_err("closed");
    assert_eq!(
        error.closed().unwrap().sent.as_ref().unwrap().code,
        CloseCode::TOO_BIG
    );
    assert_eq!(received_code(&pair.theirs), CloseCode::TOO_BIG);
    let reason = pair.theirs.closed().unwrap().received.unwrap().reason;
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
        sender.join().unwrap();
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
    assert_eq!(pair.theirs.recv().unwrap(), "still there");
}

fn a_peer_that_reads_nothing_is_given_up(role: Role) {
    let ours = Options {
        write_timeout: Some(ms(300)),
        ..Options::default()
    };
    let pair = Pair::with(role, ours, Options::default());
    let message = vec![7_u8; 64 * 1024];
    let error = (0..2 * FLOOD / message.len())
        .find_map(|_| pair.ours.send(message.clone()).err())
        .expect("an error, not 64 MiB for nobody");
    let closed = error.closed().expect("closed");
    assert!(
        closed.lost.as_ref().unwrap().contains("nothing was read"),
        "{closed}"
    );
    // Also who only queued something finds out, by receiving.
    assert!(pair.ours.recv().unwrap_err().is_closed());
}

fn a_peer_that_answers_no_ping_is_given_up(role: Role) {
    let ours = Options {
        ping: Some((ms(100), ms(200))),
        ..Options::default()
    };
    let pair = Pair::with(role, ours, Options::default());
    // Nobody receives at the other end, so nobody answers.
    let error = pair.ours.recv().expect_err("closed");
    let closed = error.closed().expect("closed");
    assert!(closed.lost.as_ref().unwrap().contains("ping"), "{closed}");
    assert_eq!(
        closed.sent.as_ref().unwrap().code,
        CloseCode::INTERNAL_ERROR
    );
}

fn a_peer_is_not_given_up_while_we_do_not_read(role: Role) {
    let ours = Options {
        ping: Some((ms(50), ms(50))),
        ..Options::default()
    };
    let pair = Pair::with(role, ours, Options::default());
    thread::scope(|scope| {
        let answering = scope.spawn(|| pair.theirs.recv());
        // Several ping timeouts long our end looks at nothing, its peer answers all the time.
        thread::sleep(ms(500));
        assert_eq!(pair.ours.closed(), None);
        pair.ours.send("done").unwrap();
        assert_eq!(answering.join().unwrap().unwrap(), "done");
    });
}

fn pings_keep_a_quiet_connection(role: Role) {
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
}

fn the_request_is_known_at_both_ends(role: Role) {
    let pair = Pair::new(role);
    assert_eq!(pair.ours.path(), "/path");
    assert_eq!(pair.ours.request().query(), Some("query"));
    assert_eq!(pair.ours.request().header("x-test"), Some("yes"));
    assert_eq!(pair.ours.peer_addr(), pair.theirs.local_addr());
    assert_eq!(pair.ours.local_addr(), pair.theirs.peer_addr());
    assert_ne!(pair.ours.id(), pair.theirs.id());
}

fn a_closed_connection_says_so_everywhere(role: Role) {
    let pair = Pair::new(role);
    assert!(!pair.ours.is_closed());
    thread::scope(|scope| {
        scope.spawn(|| pair.theirs.close(CloseCode::GOING_AWAY, "").unwrap());
        assert!(pair.ours.recv().unwrap_err().is_closed());
    });
    assert!(pair.ours.is_closed() && pair.theirs.is_closed());
    assert!(pair.ours.recv().unwrap_err().is_closed());
    assert!(pair.ours.try_recv().unwrap_err().is_closed());
    assert!(pair.ours.recv_timeout(ms(10)).unwrap_err().is_closed());
    assert!(pair.ours.send("x").unwrap_err().is_closed());
    let text = pair.ours.closed().unwrap().to_string();
    assert_eq!(
        text,
        "received 1001 (going away), then sent 1001 (going away)"
    );
}

/// Only a client's connection closes when it is dropped; a server's when its handler returns.
#[test]
fn dropping_the_last_handle_of_a_client_closes_with_1000() {
    let pair = Pair::new(Role::Server);
    let Pair {
        ours,
        theirs,
        handler,
        server,
    } = pair;
    let second = theirs.clone();
    drop(theirs);
    assert_eq!(
        ours.recv_timeout(ms(50)).unwrap(),
        None,
        "one handle is left"
    );
    thread::scope(|scope| {
        scope.spawn(|| drop(second));
        assert_eq!(received_code(&ours), CloseCode::NORMAL);
        // Its handler returns, the server closes, and the client's drop does not wait longer.
        drop(handler);
    });
    drop(server);
}

/// A handler that has left behind a thread which still receives: closing wakes that, too.
#[test]
fn ahandler_that_returns_wakes_its_own_threads() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = plainws::Server::builder(move |ws: &Connection| {
        let (ws, tell) = (ws.clone(), tell.clone());
        thread::spawn(move || tell.send(ws.recv().is_err()));
        Ok(())
    })
    .listen("127.0.0.1:0")
    .start()
    .unwrap();
    let client = plainws::connect(&format!("ws://{}", server.local_addr())).unwrap();
    assert!(client.recv().unwrap_err().closed().unwrap().is_normal());
    assert!(told.recv_timeout(PATIENCE).unwrap());
}

/// A handler that only sends, as a producer does: its client's pings are answered all the same,
/// and it learns that the client has left.
#[test]
fn a_connection_that_only_sends_answers_pings_and_sees_the_end() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = plainws::Server::builder(move |ws: &Connection| {
        let end = loop {
            if let Err(error) = ws.send("tick") {
                break error;
            }
            thread::sleep(ms(20));
        };
        tell.send((end.closed().cloned(), ws.try_recv())).unwrap();
        Ok(())
    })
    .listen("127.0.0.1:0")
    .start()
    .unwrap();
    let client = plainws::connect(&format!("ws://{}", server.local_addr())).unwrap();
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
