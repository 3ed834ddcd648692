//! `Hub`: one order for all, slow clients, who is registered when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use plainws::{Client, CloseCode, Connection, Hub, Message, Server};

use crate::support::pair::{Pair, Role};
use crate::support::tools::{PATIENCE, wait_until};

/// A server that registers every client with the hub until it leaves.
fn registering<S: Send + 'static>(hub: &Hub<S>) -> Server {
    let hub = hub.clone();
    Server::builder(move |ws: &Connection| {
        let _registration = hub.register(ws);
        for message in ws {
            message?;
        }
        Ok(())
    })
    .listen("127.0.0.1:0")
    .backlog(64 * 1024)
    .ping_interval(None)
    .start()
    .unwrap()
}

fn client(server: &Server) -> Connection {
    plainws::connect(&format!("ws://{}", server.local_addr())).unwrap()
}

/// Waits until this many are registered.
fn wait_registered<S: Send + 'static>(hub: &Hub<S>, count: usize) {
    wait_until(&format!("{count} registered clients"), PATIENCE, || {
        let (tell, told) = mpsc::channel();
        hub.update(move |_, clients| tell.send(clients.len()).unwrap());
        (told.recv_timeout(PATIENCE).unwrap() == count).then_some(())
    });
}

#[test]
fn every_client_sees_one_order() {
    let hub = Hub::builder(0_u64).start().unwrap();
    let server = registering(&hub);
    let clients: Vec<_> = (0..5).map(|_| client(&server)).collect();
    wait_registered(&hub, 5);
    let seen: Vec<Vec<Message>> = thread::scope(|scope| {
        let listeners: Vec<_> = clients
            .iter()
            .map(|ws| scope.spawn(|| (0..800).map(|_| ws.recv().unwrap()).collect()))
            .collect();
        for thread in 0..4 {
            let hub = &hub;
            scope.spawn(move || {
                for number in 0..100 {
                    hub.update(|count, clients| {
                        *count += 1;
                        clients.publish("count", count.to_string());
                    });
                    hub.broadcast(format!("{thread}: {number}"));
                }
            });
        }
        listeners
            .into_iter()
            .map(|listener| listener.join().unwrap())
            .collect()
    });
    assert!(
        seen.iter().all(|s| *s == seen[0]),
        "clients saw different orders"
    );
    let counts: Vec<u64> = seen[0]
        .iter()
        .filter_map(|m| m.as_text()?.parse().ok())
        .collect();
    assert_eq!(
        counts,
        (1..=400).collect::<Vec<_>>(),
        "every value, in order"
    );
}

#[test]
fn a_newcomer_gets_what_is_sent_after_it_joined() {
    // The hub is held up while all of this is queued, so that it becomes one batch.
    let hub = Hub::builder(0).on_join(|count, clients, newcomer| {
        clients.broadcast(format!("{} here", clients.len()));
        clients.send_to(newcomer, format!("welcome at {count}"));
    });
    let hub = hub.start().unwrap();
    let pair_a = Pair::new(Role::Server);
    let pair_b = Pair::new(Role::Server);
    let step = |hub: &Hub<i32>| {
        hub.update(|count, clients| {
            *count += 1;
            clients.publish("count", count.to_string());
        });
    };
    let (go, wait) = mpsc::channel::<()>();
    hub.update(move |_, _| wait.recv().unwrap());
    let a = hub.register(&pair_a.ours);
    step(&hub);
    let b = hub.register(&pair_b.ours);
    step(&hub);
    drop(a);
    step(&hub);
    go.send(()).unwrap();
    let texts = |ws: &Connection, n: usize| -> Vec<String> {
        (0..n).map(|_| ws.recv().unwrap().to_string()).collect()
    };
    assert_eq!(
        texts(&pair_a.theirs, 5),
        ["1 here", "welcome at 0", "1", "2 here", "2"]
    );
    assert_eq!(
        texts(&pair_b.theirs, 4),
        ["2 here", "welcome at 1", "2", "3"]
    );
    drop(b);
    wait_registered(&hub, 0);
    assert_eq!(
        pair_a.theirs.try_recv().unwrap(),
        None,
        "nothing after it has left"
    );
    hub.broadcast("for nobody");
}

#[test]
fn a_slow_client_gets_the_newest_state_and_disturbs_nobody() {
    let hub = Hub::builder(()).start().unwrap();
    let server = registering(&hub);
    let (slow, fast) = (client(&server), client(&server));
    wait_registered(&hub, 2);
    // More than the kernel takes for a client that does not read.
    let filler = "x".repeat(16 * 1024);
    const VALUES: usize = 2000;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = String::new();
            while last != format!("{} ", VALUES - 1) {
                let value = fast.recv().unwrap().to_string();
                last = value[..value.find(' ').unwrap() + 1].to_owned();
            }
        });
        for number in 0..VALUES {
            hub.publish("value", format!("{number} {filler}"));
        }
    });
    let mut values: Vec<usize> = Vec::new();
    while values.last() != Some(&(VALUES - 1)) {
        let value = slow
            .recv_timeout(PATIENCE)
            .unwrap()
            .expect("the newest value");
        values.push(
            value
                .to_string()
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap(),
        );
    }
    assert!(values.is_sorted(), "out of order: {values:?}");
    assert!(values.len() < VALUES, "it got all, so it was not slow");
}

#[test]
fn a_client_too_slow_for_a_stream_is_closed_with_1013() {
    let hub = Hub::builder(()).start().unwrap();
    let server = registering(&hub);
    let (slow, fast) = (client(&server), client(&server));
    wait_registered(&hub, 2);
    const MESSAGES: usize = 2000;
    let filler = "x".repeat(16 * 1024);
    let (next, taken) = mpsc::sync_channel(100);
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..MESSAGES {
                let message = fast.recv().unwrap().to_string();
                assert!(
                    message.starts_with(&format!("{number} ")),
                    "a gap before {number}"
                );
                next.send(()).unwrap();
            }
        });
        for number in 0..MESSAGES {
            hub.broadcast(format!("{number} {filler}"));
            if number >= 2 {
                // Keeps just ahead of the fast one.
                taken.recv_timeout(PATIENCE).unwrap();
            }
        }
        taken.recv_timeout(PATIENCE).unwrap();
        taken.recv_timeout(PATIENCE).unwrap();
    });
    let mut next = 0;
    let error = loop {
        match slow.recv_timeout(PATIENCE) {
            Ok(message) => {
                let message = message.expect("a message or the end").to_string();
                assert!(
                    message.starts_with(&format!("{next} ")),
                    "a gap before {next}"
                );
                next += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(next < MESSAGES, "it got all, so it was not slow");
    let frame = error
        .closed()
        .unwrap()
        .received
        .clone()
        .expect("a close frame");
    assert_eq!(frame.code, CloseCode::TRY_AGAIN_LATER);
    assert!(frame.reason.contains("65536"), "{}", frame.reason);
}

#[test]
fn a_handlers_own_messages_keep_their_place_among_broadcasts() {
    let hub = Hub::builder(()).start().unwrap();
    let pair = Pair::new(Role::Server);
    let _registration = hub.register(&pair.ours);
    wait_registered(&hub, 1);
    pair.ours.write("queued first").unwrap();
    hub.broadcast("then the hub");
    assert_eq!(pair.theirs.recv().unwrap(), "queued first");
    assert_eq!(pair.theirs.recv().unwrap(), "then the hub");
}

#[test]
fn a_clients_connection_can_be_registered_too() {
    let hub = Hub::builder(()).start().unwrap();
    let pair = Pair::new(Role::Client);
    let _registration = hub.register(&pair.ours);
    hub.broadcast("masked");
    hub.publish("state", "too");
    assert_eq!(pair.theirs.recv().unwrap(), "masked");
    assert_eq!(pair.theirs.recv().unwrap(), "too");
}

#[test]
fn registering_twice_counts_once() {
    let joined = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&joined);
    let hub = Hub::builder(()).on_join(move |_, _, _| *counter.lock().unwrap() += 1);
    let hub = hub.start().unwrap();
    let pair = Pair::new(Role::Server);
    let first = hub.register(&pair.ours);
    let second = hub.register(&pair.ours);
    hub.broadcast("once");
    drop(first);
    hub.broadcast("still");
    assert_eq!(pair.theirs.recv().unwrap(), "once");
    assert_eq!(pair.theirs.recv().unwrap(), "still");
    drop(second);
    wait_registered(&hub, 0);
    assert_eq!(*joined.lock().unwrap(), 1);
}

#[test]
fn a_panic_in_an_update_ends_only_the_update() {
    let hub = Hub::builder(1).start().unwrap();
    hub.update(|_, _| panic!("of a test, on purpose"));
    let (tell, told) = mpsc::channel();
    hub.update(move |count, _| tell.send(*count).unwrap());
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 1);
}

#[test]
fn the_thread_ends_with_the_last_handle() {
    let hub = Hub::builder(Arc::new(())).start().unwrap();
    let (tell, told) = mpsc::channel();
    hub.update(move |state, _| tell.send(Arc::downgrade(state)).unwrap());
    let state = told.recv_timeout(PATIENCE).unwrap();
    let second = hub.clone();
    drop(hub);
    assert!(state.upgrade().is_some());
    drop(second);
    assert!(
        state.upgrade().is_none(),
        "the thread is joined, its state dropped"
    );
}

#[test]
fn the_last_handle_may_be_dropped_on_the_hubs_own_thread() {
    let hub = Hub::builder(()).start().unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let inside = hub.clone();
    hub.update(move |_, _| {
        wait.recv().unwrap();
        drop(inside);
        tell.send(()).unwrap();
    });
    let dropping = thread::spawn(move || drop(hub));
    // Either of the two is the last one; none may wait for itself.
    thread::sleep(Duration::from_millis(20));
    go.send(()).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    dropping.join().unwrap();
}

#[test]
fn a_client_that_vanishes_while_registered_costs_nothing() {
    let hub = Hub::builder(()).start().unwrap();
    let server = registering(&hub);
    let stays = client(&server);
    for _ in 0..20 {
        let url = format!("ws://{}", server.local_addr());
        drop(Client::builder().connect(&url).unwrap());
        hub.broadcast("x");
    }
    wait_registered(&hub, 1);
    hub.broadcast("end");
    let got = stays
        .into_iter()
        .take_while(|m| m.as_ref().unwrap().as_text() != Some("end"));
    assert!(got.count() <= 20);
}

/// Queues something that the hub's thread waits at: what is queued until the sender is used comes
/// together afterwards.
fn held<S: Send + 'static>(hub: &Hub<S>) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    hub.update(move |_, _| {
        tell.send(()).unwrap();
        let _ = released.recv_timeout(PATIENCE);
    });
    told.recv_timeout(PATIENCE).unwrap();
    release
}

/// A hub that notes its state, slowly, before anything is delivered.
fn noting() -> (Hub<u64>, Arc<AtomicU64>) {
    let noted = Arc::new(AtomicU64::new(0));
    let note = Arc::clone(&noted);
    let hub = Hub::builder(0).before_delivery(move |state: &u64| {
        if *state != note.load(Ordering::SeqCst) {
            // As a disk does. Delivered before, a client would be sure to notice.
            thread::sleep(Duration::from_millis(5));
            note.store(*state, Ordering::SeqCst);
        }
    });
    (hub.start().unwrap(), noted)
}

fn count_up(state: &mut u64, clients: &mut plainws::Clients) {
    *state += 1;
    clients.publish("count", state.to_string());
}

fn number(message: Message) -> u64 {
    message.as_text().unwrap().parse().unwrap()
}

#[test]
fn nobody_gets_anything_of_a_batch_before_it_is_saved() {
    let (hub, noted) = noting();
    let server = registering(&hub);
    let clients: Vec<_> = (0..3).map(|_| client(&server)).collect();
    wait_registered(&hub, 3);
    thread::scope(|scope| {
        for ws in &clients {
            scope.spawn(|| {
                let mut last = 0;
                while last < 400 {
                    let value = number(ws.recv_timeout(PATIENCE).unwrap().expect("a value"));
                    let saved = noted.load(Ordering::SeqCst);
                    assert!(saved >= value, "{value} is seen, {saved} is saved");
                    last = value;
                }
            });
        }
        for _ in 0..400 {
            hub.update(count_up);
        }
    });
}

#[test]
fn who_leaves_within_a_batch_gets_its_part_when_it_is_saved() {
    let (hub, noted) = noting();
    let (leave, left) = mpsc::channel::<()>();
    let left = Mutex::new(left);
    let own = hub.clone();
    let server = Server::builder(move |ws: &Connection| {
        let registration = own.register(ws);
        let _ = left.lock().unwrap().recv_timeout(PATIENCE);
        drop(registration);
        // Once more, within the same batch.
        let _again = own.register(ws);
        ws.send("gone").unwrap();
        ws.recv().map(drop)
    })
    .listen("127.0.0.1:0")
    .start()
    .unwrap();
    let ws = client(&server);
    wait_registered(&hub, 1);
    let release = held(&hub);
    hub.update(count_up);
    leave.send(()).unwrap();
    // From its handler itself, so that both requests are queued by now.
    let mut seen = vec![ws.recv_timeout(PATIENCE).unwrap().unwrap().to_string()];
    assert_eq!(noted.load(Ordering::SeqCst), 0);
    let (tell, told) = mpsc::channel();
    hub.update(move |state, clients| {
        count_up(state, clients);
        tell.send(clients.len()).unwrap();
    });
    release.send(()).unwrap();
    for _ in 0..2 {
        let value = ws.recv_timeout(PATIENCE).unwrap().expect("a value");
        assert_eq!(noted.load(Ordering::SeqCst), 2, "{value} is seen");
        seen.push(value.to_string());
    }
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 1);
    assert_eq!(seen, ["gone", "1", "2"]);
}

#[test]
fn updates_that_come_together_are_saved_once() {
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let hub = Hub::builder(0_u64).before_delivery(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let hub = hub.start().unwrap();
    let release = held(&hub);
    let before = calls.load(Ordering::SeqCst);
    for _ in 0..200 {
        hub.update(count_up);
    }
    release.send(()).unwrap();
    // Waits until the hub has ended.
    drop(hub);
    assert_eq!(calls.load(Ordering::SeqCst) - before, 1);
}
