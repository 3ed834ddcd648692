//! `Retry`: connecting again and again.

use std::sync::mpsc;

use plainws::{Retry, Stopper};

use super::*;

const SHORT: Duration = Duration::from_millis(20);

/// Retries soon, and tells each failure with the delay after it.
fn retrying(url: &str) -> (Retry, mpsc::Receiver<(String, Duration)>) {
    let (tell, told) = mpsc::channel();
    let retry = client().retry(url).first_delay(SHORT).max_delay(SHORT * 3);
    let retry = retry.on_failure(move |error, delay| {
        // The test may have seen enough.
        let _ = tell.send((error.to_string(), delay));
    });
    (retry, told)
}

/// Answers with these statuses, then opens connections.
fn after(statuses: &'static [u16]) -> Peer {
    let answer = |code: &u16| status(*code);
    let answer = move |number| statuses.get(number).map_or(UPGRADE.into(), answer);
    Peer::answering(move |number| [answer(number)])
}

#[test]
fn a_server_that_comes_up_later_is_found() {
    let (socket, address) = nobody();
    let (mut retry, failures) = retrying(&format!("ws://{address}/"));
    let connecting = thread::spawn(move || retry.next());
    for _ in 0..3 {
        let (error, _) = failures.recv_timeout(PATIENCE).expect("a failure");
        assert!(error.starts_with(&format!("cannot connect to {address}: ")));
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
    for (answer, kind) in [
        (status(403), "Refused: *"),
        (status(404), "Refused: *"),
        ("nonsense".to_owned(), "Handshake: *"),
    ] {
        let peer = Peer::saying(answer);
        let (mut retry, failures) = retrying(&peer.url("/"));
        fails(retry.next().expect("an error"), kind);
        assert!(retry.next().is_none() && retry.next().is_none());
        assert_eq!(peer.heads().len(), 1);
        assert!(failures.try_recv().is_err(), "nothing was waited for");
    }
    let mut retry = client().retry("no URL");
    fails(retry.next().expect("an error"), "Invalid: *");
    assert!(retry.next().is_none());
}

#[test]
fn what_may_pass_is_tried_again() {
    let peer = after(&[429, 500, 502, 503, 504]);
    let (mut retry, failures) = retrying(&peer.url("/"));
    drop(retry.next().unwrap().unwrap());
    let failures: Vec<_> = failures.try_iter().collect();
    let errors: Vec<_> = failures.iter().map(|(error, _)| &**error).collect();
    let expected = [429, 500, 502, 503, 504].map(|code| format!("server answered HTTP {code}"));
    assert_eq!(errors, expected);
    // Each up to 1.6 times as long as the one before, the longest at most, and half of it at least.
    for (number, (_, delay)) in failures.iter().enumerate() {
        let whole = SHORT.mul_f64(1.6_f64.powi(number as i32)).min(SHORT * 3);
        let range = whole / 2..=whole + Duration::from_micros(1);
        assert!(range.contains(delay), "{number}: {delay:?}, not {range:?}");
    }
    // Also a server that closes without an answer.
    let peer = Peer::new(|caller, number| match number {
        0 => drop(caller.head()),
        1 => {}
        _ => caller.upgrade(),
    });
    let (mut retry, _) = retrying(&peer.url("/"));
    drop(retry.next().unwrap().unwrap());
    assert_eq!(peer.heads().len(), 2);
}

#[test]
fn after_so_many_failures_the_last_one_is_told() {
    let peer = after(&[500, 502, 503, 504]);
    let (retry, failures) = retrying(&peer.url("/"));
    let mut retry = retry.attempts(3);
    fails(retry.next().expect("an error"), "Refused: *HTTP 503");
    assert!(retry.next().is_none());
    assert_eq!((peer.heads().len(), failures.try_iter().count()), (3, 2));
}

#[test]
fn a_stopper_wakes_who_waits_at_once() {
    let peer = after(&[503, 503]);
    let (retry, failures) = retrying(&peer.url("/"));
    let mut retry = retry.first_delay(Duration::MAX).max_delay(Duration::MAX);
    let stopper = retry.stopper();
    let connecting = thread::spawn(move || (retry.next().is_none(), retry.next().is_none()));
    let (_, delay) = failures.recv_timeout(PATIENCE).expect("a failure");
    assert!(delay > PATIENCE * 100, "{delay:?}");
    let start = Instant::now();
    stopper.clone().stop();
    assert_eq!(connecting.join().unwrap(), (true, true));
    took_less_than(PATIENCE.as_secs(), start);
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
    let stop = move || stoppers.recv_timeout(PATIENCE).expect("a stopper").stop();
    let peer = Peer::new(move |caller, _| {
        stop();
        caller.upgrade();
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
    let (retry, failures) = retrying(&peer.url("/"));
    // Long enough that a busy machine does not take a connection for one that lasted.
    let first = Duration::from_millis(600);
    let retry = retry.first_delay(first).max_delay(first);
    let start = Instant::now();
    assert_eq!(retry.take(4).map(|ws| drop(ws.unwrap())).count(), 4);
    assert!(start.elapsed() >= first / 2 * 3, "{:?}", start.elapsed());
    let failures: Vec<_> = failures.try_iter().collect();
    // `take` does not ask for the fifth.
    assert_eq!(failures.len(), 3, "{failures:?}");
    for (error, delay) in &failures {
        let told = error.starts_with("the connection ended after ");
        assert!(told && *delay >= first / 2, "{error}: {delay:?}");
    }
}

#[test]
fn after_a_connection_that_lasted_the_delays_start_afresh() {
    let answers = [503, 503, 0, 503].map(|code| match code {
        0 => UPGRADE.to_owned(),
        code => status(code),
    });
    let answer = move |number| {
        answers
            .get(number)
            .map_or(UPGRADE, String::as_str)
            .to_owned()
    };
    let peer = Peer::answering(move |number| [answer(number)]);
    let (mut retry, failures) = retrying(&peer.url("/"));
    let ws = retry.next().unwrap().unwrap();
    // Longer than the third delay would be.
    assert_eq!(ws.recv_timeout(SHORT * 10).unwrap(), None);
    drop(ws);
    drop(retry.next().unwrap().unwrap());
    let delays: Vec<_> = failures.try_iter().map(|(_, delay)| delay).collect();
    assert_eq!(delays.len(), 3, "{delays:?}");
    assert!(delays[2] <= SHORT, "{delays:?}");
}
