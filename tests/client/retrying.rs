//! `Retry`: connecting again and again.

use std::sync::mpsc;

use plainws::{Retry, Stopper};
use socket2::{Domain, Socket, Type};

use super::*;

const SHORT: Duration = Duration::from_millis(20);

fn client() -> ClientBuilder {
    Client::builder().close_timeout(Duration::ZERO)
}

/// The same, and what is told of each failure.
fn told(retry: Retry) -> (Retry, mpsc::Receiver<(String, Duration)>) {
    let (tell, told) = mpsc::channel();
    let retry = retry.on_failure(move |error, delay| {
        // The test may have seen enough.
        let _ = tell.send((error.to_string(), delay));
    });
    (retry, told)
}

fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")
}

/// Answers with these statuses, then opens connections.
fn after(statuses: &'static [u16]) -> Peer {
    Peer::new(move |caller, number| match statuses.get(number) {
        Some(code) => {
            caller.head();
            caller.say(status(*code));
            caller.wait_end();
        }
        None => {
            caller.upgrade();
            caller.wait_end();
        }
    })
}

#[test]
fn a_server_that_comes_up_later_is_found() {
    // Bound, so that nobody else takes the port; it refuses until it listens.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let (retry, failures) = told(client().retry(&format!("ws://{address}/")));
    let mut retry = retry.first_delay(SHORT).max_delay(SHORT);
    let connecting = thread::spawn(move || retry.next());
    for _ in 0..3 {
        let (error, _) = failures.recv_timeout(PATIENCE).expect("a failure");
        assert!(
            error.starts_with(&format!("cannot connect to {address}: ")),
            "{error}"
        );
    }
    socket.listen(1).unwrap();
    let peer = Peer::at(socket.into(), |caller, _| {
        caller.upgrade();
        caller.wait_end();
    });
    let connection = connecting.join().unwrap();
    drop(connection.expect("no end").expect("a connection"));
    drop(peer);
}

#[test]
fn what_will_not_pass_ends_the_iteration() {
    for (answer, count) in [
        (status(403), 1),
        (status(404), 1),
        ("nonsense".to_owned(), 1),
    ] {
        let peer = Peer::saying(answer);
        let (retry, failures) = told(client().retry(&peer.url("/")));
        let mut retry = retry.first_delay(SHORT);
        assert!(matches!(
            retry.next(),
            Some(Err(Error::Refused(_) | Error::Handshake { .. }))
        ));
        assert!(retry.next().is_none() && retry.next().is_none());
        assert_eq!(peer.heads().len(), count);
        assert!(failures.try_recv().is_err(), "nothing was waited for");
    }
    let mut retry = client().retry("no URL");
    assert!(matches!(retry.next(), Some(Err(Error::Invalid { .. }))));
    assert!(retry.next().is_none());
}

#[test]
fn what_may_pass_is_tried_again() {
    let peer = after(&[429, 500, 502, 503, 504]);
    let (retry, failures) = told(client().retry(&peer.url("/")));
    let mut retry = retry.first_delay(SHORT).max_delay(SHORT * 3);
    drop(retry.next().unwrap().unwrap());
    let failures: Vec<_> = failures.try_iter().collect();
    let errors = failures.iter().map(|(error, _)| &**error);
    let expected = [429, 500, 502, 503, 504].map(|code| format!("server answered HTTP {code}"));
    assert_eq!(errors.collect::<Vec<_>>(), expected);
    // Each up to 1.6 times as long as the one before, the longest at most, and half of it at least.
    for (number, (_, delay)) in failures.iter().enumerate() {
        let whole = SHORT.mul_f64(1.6_f64.powi(number as i32)).min(SHORT * 3);
        let range = whole / 2..=whole + Duration::from_micros(1);
        assert!(
            range.contains(delay),
            "{number}: {delay:?} is not in {range:?}"
        );
    }
}

#[test]
fn a_server_that_closes_without_an_answer_is_tried_again() {
    let peer = Peer::new(|caller, number| match number {
        0 => drop(caller.head()),
        1 => {}
        _ => caller.upgrade(),
    });
    let mut retry = client().retry(&peer.url("/")).first_delay(SHORT);
    drop(retry.next().unwrap().unwrap());
    assert_eq!(peer.heads().len(), 2);
}

#[test]
fn after_so_many_failures_the_last_one_is_told() {
    let peer = after(&[500, 502, 503, 504]);
    let (retry, failures) = told(client().retry(&peer.url("/")));
    let mut retry = retry.first_delay(SHORT).attempts(3);
    match retry.next() {
        Some(Err(Error::Refused(refused))) => assert_eq!(refused.status, 503),
        other => panic!("{other:?}"),
    }
    assert!(retry.next().is_none());
    assert_eq!(peer.heads().len(), 3);
    assert_eq!(failures.try_iter().count(), 2);
}

#[test]
fn a_stopper_wakes_who_waits_at_once() {
    let peer = after(&[503, 503]);
    let (retry, failures) = told(client().retry(&peer.url("/")));
    let mut retry = retry.first_delay(Duration::MAX).max_delay(Duration::MAX);
    let stopper = retry.stopper();
    let connecting = thread::spawn(move || (retry.next().is_none(), retry.next().is_none()));
    let (_, delay) = failures.recv_timeout(PATIENCE).expect("a failure");
    assert!(delay > PATIENCE * 100, "{delay:?}");
    let start = Instant::now();
    stopper.clone().stop();
    assert_eq!(connecting.join().unwrap(), (true, true));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(peer.heads().len(), 1);
}

#[test]
fn a_stopped_iterator_does_not_connect() {
    let peer = after(&[]);
    let mut retry = client().retry(&peer.url("/"));
    retry.stopper().stop();
    assert!(retry.next().is_none());
    assert_eq!(peer.heads().len(), 0);
    // Nor does it give what it has connected to meanwhile.
    let (send, stoppers) = mpsc::channel::<Stopper>();
    let peer = Peer::new(move |caller, _| {
        let head = caller.head();
        stoppers.recv_timeout(PATIENCE).expect("a stopper").stop();
        caller.say(format!("{UPGRADE}\r\n").replace("ACCEPT", &accept(&head)));
        caller.wait_end();
    });
    let mut retry = client().retry(&peer.url("/"));
    send.send(retry.stopper()).unwrap();
    assert!(retry.next().is_none());
    assert_eq!(peer.heads().len(), 1);
}

#[test]
fn a_server_that_accepts_and_closes_is_not_asked_in_a_hot_loop() {
    let peer = Peer::new(|caller, _| caller.upgrade());
    let (retry, failures) = told(client().retry(&peer.url("/")));
    // Long enough that a busy machine does not take a connection for one that lasted.
    let first = Duration::from_millis(600);
    let retry = retry.first_delay(first).max_delay(first);
    let start = Instant::now();
    let connections = retry.take(4).map(|ws| drop(ws.unwrap())).count();
    assert_eq!(connections, 4);
    let failures: Vec<_> = failures.try_iter().collect();
    // `take` does not ask for the fifth.
    assert_eq!(failures.len(), 3, "{failures:?}");
    for (error, delay) in &failures {
        assert!(error.starts_with("the connection ended after "), "{error}");
        assert!(*delay >= first / 2, "{delay:?}");
    }
    assert!(start.elapsed() >= first / 2 * 3, "{:?}", start.elapsed());
}

#[test]
fn after_a_connection_that_lasted_the_delays_start_afresh() {
    let peer = Peer::new(|caller, number| match number {
        0 | 1 | 3 => {
            caller.head();
            caller.say(status(503));
            caller.wait_end();
        }
        _ => {
            caller.upgrade();
            caller.wait_end();
        }
    });
    let (retry, failures) = told(client().retry(&peer.url("/")));
    let mut retry = retry.first_delay(SHORT);
    let ws = retry.next().unwrap().unwrap();
    // Longer than the third delay would be.
    let nothing = ws.recv_timeout(SHORT * 10).unwrap();
    assert_eq!(nothing, None);
    drop(ws);
    drop(retry.next().unwrap().unwrap());
    let delays: Vec<_> = failures.try_iter().map(|(_, delay)| delay).collect();
    assert_eq!(delays.len(), 3, "{delays:?}");
    assert!(delays[2] <= SHORT, "{delays:?}");
}
