//! `Hub`: one order for all, who is registered when, what is saved before it is delivered. Slow clients are
//! in `connection.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use plainws::{Connection, Hub, Server};

use crate::support::hubs::{hub, wait_registered};
use crate::support::pair::{Pair, Role};
use crate::support::servers::{start, url};
use crate::support::talk::text;
use crate::support::tools::PATIENCE;

/// A server that registers every client with the hub until it leaves.
fn registering<S: Send + 'static>(hub: &Hub<S>) -> Server {
    let server = crate::support::hubs::registering(hub).listen("127.0.0.1:0");
    server.start().unwrap()
}

fn client(server: &Server) -> Connection {
    plainws::connect(&url(server)).unwrap()
}

fn count_up(state: &mut u64, clients: &mut plainws::Clients) {
    *state += 1;
    clients.publish("count", state.to_string());
}

/// What the hub's thread makes of its state.
#[track_caller]
fn asked<S, T: Send + 'static>(hub: &Hub<S>, ask: impl FnOnce(&mut S) -> T + Send + 'static) -> T
where
    S: Send + 'static,
{
    let (tell, told) = mpsc::channel();
    hub.update(move |state, _| tell.send(ask(state)).expect("it is awaited"));
    told.recv_timeout(PATIENCE).expect("the hub goes on")
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

#[test]
fn every_client_sees_one_order() {
    let hub = hub(0_u64);
    let server = registering(&hub);
    let clients: Vec<_> = (0..5).map(|_| client(&server)).collect();
    wait_registered(&hub, 5);
    let seen: Vec<Vec<String>> = thread::scope(|scope| {
        let listen = |ws| move || (0..800).map(|_| text(ws)).collect();
        let listeners: Vec<_> = clients.iter().map(|ws| scope.spawn(listen(ws))).collect();
        for thread in 0..4 {
            let hub = &hub;
            scope.spawn(move || {
                for number in 0..100 {
                    hub.update(count_up);
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
        .filter_map(|text| text.parse().ok())
        .collect();
    assert_eq!(
        counts,
        (1..=400).collect::<Vec<_>>(),
        "every value, in order"
    );
}

#[test]
fn a_newcomer_gets_what_is_sent_after_it_joined() {
    let joined = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&joined);
    let hub = Hub::builder(0_u64).on_join(move |count, clients, newcomer| {
        counter.fetch_add(1, Ordering::SeqCst);
        clients.broadcast(format!("{} here", clients.len()));
        clients.send_to(newcomer, format!("welcome at {count}"));
    });
    let hub = hub.start().unwrap();
    let (pair_a, pair_b) = (Pair::new(Role::Server), Pair::new(Role::Server));
    // The hub is held up while all of this is queued, so that it becomes one batch.
    let release = held(&hub);
    let a = hub.register(&pair_a.ours);
    hub.update(count_up);
    let b = hub.register(&pair_b.ours);
    // Twice counts once.
    let again = hub.register(&pair_b.ours);
    hub.update(count_up);
    drop(a);
    drop(again);
    hub.update(count_up);
    release.send(()).unwrap();
    let texts = |ws: &Connection, n: usize| (0..n).map(|_| text(ws)).collect::<Vec<_>>();
    let of_a = ["1 here", "welcome at 0", "1", "2 here", "2"];
    assert_eq!(texts(&pair_a.theirs, 5), of_a);
    assert_eq!(
        texts(&pair_b.theirs, 4),
        ["2 here", "welcome at 1", "2", "3"]
    );
    assert_eq!(joined.load(Ordering::SeqCst), 2);
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
fn a_registered_connection_asks_under_its_own_id() {
    let hub = Hub::builder(0).start().unwrap();
    let pairs = [(); 2].map(|()| Pair::new(Role::Server));
    let users = pairs.each_ref().map(|pair| hub.register(&pair.ours));
    for user in &users {
        user.update(|count, clients, id| {
            *count += 1;
            clients.publish_text("count", *count);
            clients.send_to(id, format!("your {count}"));
            // Neither keeps anything of the text before.
            clients.publish_text("count", format_args!("{count}!"));
        });
    }
    let expected = [
        ["1", "your 1", "1!", "2", "2!"],
        ["1", "1!", "2", "your 2", "2!"],
    ];
    for (pair, expected) in pairs.iter().zip(expected) {
        assert_eq!(expected.map(|_| pair.theirs.recv().unwrap()), expected);
    }
}

#[test]
fn a_panic_in_an_update_ends_only_the_update() {
    let hub = hub(1);
    hub.update(|_, _| panic!("of a test, on purpose"));
    assert_eq!(asked(&hub, |state| *state), 1);
}

#[test]
fn the_thread_ends_with_the_last_handle() {
    let hub = hub(Arc::new(()));
    let state = asked(&hub, |state| Arc::downgrade(state));
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
    let hub = hub(());
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
    let hub = hub(());
    let server = registering(&hub);
    let stays = client(&server);
    for _ in 0..20 {
        drop(client(&server));
        hub.broadcast("x");
    }
    wait_registered(&hub, 1);
    hub.broadcast("end");
    let got = stays
        .into_iter()
        .take_while(|m| m.as_ref().unwrap().as_text() != Some("end"));
    assert!(got.count() <= 20);
}

/// A hub that notes its state, slowly, before anything is delivered; and how often it does.
fn noting() -> (Hub<u64>, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (noted, calls) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let (note, count) = (Arc::clone(&noted), Arc::clone(&calls));
    let hub = Hub::builder(0).before_delivery(move |state: &mut u64| {
        count.fetch_add(1, Ordering::SeqCst);
        if *state != note.load(Ordering::SeqCst) {
            // As a disk does. Delivered before, a client would be sure to notice.
            thread::sleep(Duration::from_millis(5));
            note.store(*state, Ordering::SeqCst);
        }
    });
    (hub.start().unwrap(), noted, calls)
}

#[test]
fn nobody_gets_anything_of_a_batch_before_it_is_saved_once() {
    let (hub, noted, calls) = noting();
    let server = registering(&hub);
    let clients: Vec<_> = (0..3).map(|_| client(&server)).collect();
    wait_registered(&hub, 3);
    thread::scope(|scope| {
        for ws in &clients {
            scope.spawn(|| {
                for last in 1..=400 {
                    assert_eq!(text(ws), last.to_string());
                    let saved = noted.load(Ordering::SeqCst);
                    assert!(saved >= last, "{last} is seen, {saved} is saved");
                }
            });
        }
        for _ in 0..400 {
            hub.update(count_up);
        }
    });
    let release = held(&hub);
    let before = calls.load(Ordering::SeqCst);
    for _ in 0..200 {
        hub.update(count_up);
    }
    release.send(()).unwrap();
    drop((server, clients));
    // Waits until the hub has ended. Its clients may have left after the batch.
    drop(hub);
    let saved = calls.load(Ordering::SeqCst) - before;
    assert!((1..=4).contains(&saved), "{saved} calls for one batch");
}

#[test]
fn who_leaves_within_a_batch_gets_its_part_when_it_is_saved() {
    let (hub, noted, _) = noting();
    let (leave, left) = mpsc::channel::<()>();
    let left = Mutex::new(left);
    let own = hub.clone();
    let server = start(move |ws| {
        let registration = own.register(ws);
        let _ = left.lock().unwrap().recv_timeout(PATIENCE);
        drop(registration);
        // Once more, within the same batch.
        let _again = own.register(ws);
        ws.send("gone").unwrap();
        ws.recv().map(drop)
    });
    let ws = client(&server);
    wait_registered(&hub, 1);
    let release = held(&hub);
    hub.update(count_up);
    leave.send(()).unwrap();
    // From its handler itself, so that both requests are queued by now.
    assert_eq!(text(&ws), "gone");
    assert_eq!(noted.load(Ordering::SeqCst), 0);
    hub.update(count_up);
    release.send(()).unwrap();
    for value in ["1", "2"] {
        assert_eq!(text(&ws), value);
        assert_eq!(noted.load(Ordering::SeqCst), 2, "{value} is seen");
    }
}

/// Numbers by a fixed rule, so that a failure comes again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

#[test]
fn each_gets_what_is_for_it_in_the_order_of_the_calls() {
    const ROOMS: [&str; 6] = ["a", "a/b", "a/b/c", "a/*", "a/b/*", "*"];
    let hub = hub(());
    let server = registering(&hub);
    let clients: Vec<_> = (0..5).map(|_| client(&server)).collect();
    wait_registered(&hub, 5);
    let (tell, told) = mpsc::channel();
    hub.update(move |_, clients| tell.send(clients.ids().collect()).unwrap());
    let mut ids: Vec<u64> = told.recv_timeout(PATIENCE).unwrap();
    // The ids of one process rise in the order in which its clients came.
    ids.sort_unstable();
    let mut chance = Chance(1);
    let mut is_in = [[false; ROOMS.len()]; 5];
    let mut expected = vec![Vec::new(); 5];
    for step in 0..3000_u64 {
        let (n, who, room) = (
            step.to_string(),
            chance.below(5) as usize,
            chance.below(6) as usize,
        );
        let (id, name) = (ids[who], ROOMS[room]);
        let hears = |member: usize| {
            let within = |(at, _): (usize, _)| is_in[member][at];
            let covers = |name: &str, target: &str| match name.strip_suffix('*') {
                Some(prefix) => target.starts_with(prefix),
                None => name == target,
            };
            ROOMS
                .iter()
                .enumerate()
                .filter(|(_, own)| covers(own, name))
                .any(within)
        };
        // Only rooms without a star are sent to.
        let room_is_plain = room < 3;
        let kind = chance.below(8);
        for (member, expected) in expected.iter_mut().enumerate() {
            let gets = match kind {
                0 => true,
                1 => member != who,
                2 => member == who,
                3 | 4 => room_is_plain && hears(member),
                5 => room_is_plain && hears(member) && member != who,
                _ => false,
            };
            if gets {
                expected.push(n.clone());
            }
        }
        is_in[who][room] = match kind {
            6 => true,
            7 => false,
            _ => is_in[who][room],
        };
        hub.update(move |_, clients| match kind {
            0 => clients.broadcast(n),
            1 => clients.broadcast_but(id, n),
            2 => clients.send_to(id, n),
            3 if room_is_plain => clients.room(name).publish(format!("state {n}"), n),
            4 if room_is_plain => clients.room(name).broadcast(n),
            5 if room_is_plain => clients.room(name).but(id).broadcast(n),
            6 => clients.enter(id, name),
            7 => clients.exit(id, name),
            _ => {}
        });
    }
    hub.broadcast("end");
    for (ws, expected) in clients.iter().zip(expected) {
        let got: Vec<String> =
            std::iter::from_fn(|| Some(text(ws)).filter(|t| t != "end")).collect();
        assert_eq!(got, expected);
        assert!(got.len() > 300, "the test tests something: {}", got.len());
    }
}

#[test]
fn a_message_to_a_room_touches_its_members_only() {
    let (tell, told) = mpsc::channel();
    let left = Hub::builder(()).on_leave(move |_, clients, id| {
        let rooms = ["0", "1", "2"].map(|room| clients.room(room).len());
        tell.send((id, rooms)).unwrap();
    });
    let hub = left.start().unwrap();
    let server = registering(&hub);
    let clients: Vec<_> = (0..3).map(|_| client(&server)).collect();
    wait_registered(&hub, 3);
    let (say, said) = mpsc::channel();
    hub.update(move |_, clients| {
        let mut ids: Vec<u64> = clients.ids().collect();
        ids.sort_unstable();
        for (id, room) in ids.iter().zip(["0", "1", "2"]) {
            clients.enter(*id, room);
        }
        assert!(clients.room("3").is_empty() && !clients.room("0").is_empty());
        assert!(clients.room("0").but(ids[0]).is_empty());
        clients.room("1").broadcast("one");
        clients.room("3").broadcast("nobody");
        clients.close(ids[2], plainws::CloseCode(4000), "enough");
        clients.room("2").broadcast("last");
        say.send(ids).unwrap();
    });
    let ids = said.recv_timeout(PATIENCE).unwrap();
    assert_eq!(text(&clients[1]), "one");
    assert_eq!(text(&clients[2]), "last");
    let closed = crate::support::talk::end(&clients[2]);
    assert_eq!(
        closed.received.map(|frame| (frame.code.0, frame.reason)),
        Some((4000, "enough".into()))
    );
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (ids[2], [1, 1, 0]));
    hub.broadcast("all");
    assert_eq!(text(&clients[0]), "all");
    assert_eq!(text(&clients[1]), "all");
    // `one` and `last` were for rooms with somebody in them, `all` for all.
    assert_eq!(hub.broadcasts(), 3);
}
