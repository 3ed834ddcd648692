//! What was once wrong. Each test stands for a defect that a review or a peer proved.

use std::io::Write;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use log::Level;
use plainws::{Client, CloseCode, Error, Hub, Server};

use crate::support::hubs::hub;
use crate::support::logs;
use crate::support::pair::{Pair, Role};
use crate::support::raw::{Raw, get, header, masked, text};
use crate::support::servers::{port, start, start_with, url};
use crate::support::talk::{self, connect};
use crate::support::tools::{PATIENCE, until, wait_until};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Frames that came from the hub after the connection was lost went into its backlog, which
/// nobody could empty: its thread looked at it for ever, and was never joined.
#[test]
fn a_broadcast_after_the_end_keeps_no_thread() {
    let hub = hub(());
    let registered = hub.clone();
    let (tell, told) = mpsc::channel();
    let server = start(move |ws| {
        let _registration = registered.register(ws);
        ws.recv()?;
        ws.write("unflushed")?;
        tell.send(()).unwrap();
        // Until the reset has arrived.
        while !ws.is_closed() {
            registered.broadcast("x");
            thread::sleep(ms(5));
        }
        registered.broadcast("after the end");
        Ok(())
    });
    let mut raw = Raw::upgrade(port(&server), "/");
    raw.send(&text("go"));
    told.recv_timeout(PATIENCE).unwrap();
    raw.reset();
    until("the thread to end", || server.connections() == 0);
    assert!(server.shutdown(PATIENCE));
}

/// Both receivers waited for the wire, though the second message was in the buffer already.
#[test]
fn two_messages_in_one_segment_reach_two_receivers() {
    let (tell, told) = mpsc::channel();
    let server = start(move |ws| {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| tell.send(ws.recv().map(|m| m.to_string())).unwrap());
            }
        });
        Ok(())
    });
    let mut raw = Raw::upgrade(port(&server), "/");
    // Both receivers are there, one of them in poll; the test holds also if they are not yet.
    thread::sleep(ms(50));
    raw.send(&[text("one"), text("two")].concat());
    let next = || told.recv_timeout(PATIENCE).expect("both messages").unwrap();
    let mut got = [next(), next()];
    got.sort();
    assert_eq!(got, ["one", "two"]);
}

/// A timer by `recv_timeout` never rang while pings kept coming.
#[test]
fn recv_timeout_ends_in_time_under_a_flood_of_pings() {
    let (tell, told) = mpsc::channel();
    let server = start(move |ws| {
        let start = Instant::now();
        assert_eq!(ws.recv_timeout(ms(200))?, None);
        tell.send(start.elapsed()).unwrap();
        Ok(())
    });
    let mut raw = Raw::upgrade(port(&server), "/");
    let mut reading = raw.stream.try_clone().unwrap();
    let drain = thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
    let pings = masked(0x89, b"now").repeat(1000);
    let start = Instant::now();
    let took = loop {
        assert!(start.elapsed() < PATIENCE, "it does not end");
        if raw.stream.write_all(&pings).is_err() {
            break told.recv_timeout(PATIENCE).unwrap();
        }
        if let Ok(took) = told.try_recv() {
            break took;
        }
    };
    assert!(took < PATIENCE / 2, "it took {took:?}");
    raw.stream.shutdown(std::net::Shutdown::Both).unwrap();
    let _ = drain.join();
}

/// An error of the application was not told when its connection had ended by then.
#[test]
fn an_error_of_the_application_is_told_also_after_the_end() {
    logs::keep();
    let server = start(|ws| {
        for message in ws {
            message?;
        }
        Err(Error::other("the database is gone"))
    });
    let client = connect(port(&server), "/");
    client.close(CloseCode::NORMAL, "").unwrap();
    let line = wait_until("the line", PATIENCE, || {
        let mut lines = logs::lines().into_iter();
        let line = lines.find(|line| line.text.contains("the database is gone"))?;
        (line.level == Level::Error).then_some(line.text)
    });
    let named = line.starts_with("ws-conn-") && line.contains("handler failed");
    assert!(named, "{line}");
}

/// A frame that announces a length of a tebibyte ended the process.
#[test]
fn no_limit_makes_a_header_reserve_all_memory() {
    let server = Server::builder(|ws| ws.recv().map(drop));
    let server = start_with(server.max_size(usize::MAX));
    let mut raw = Raw::upgrade(port(&server), "/");
    raw.send(&header(0x82, 1 << 40));
    assert_eq!(raw.close_frame().0, 1009);
}

/// What was asked within what had been asked that way waited for the next outside request, and so
/// did what `before_delivery` asked.
#[test]
fn what_a_hubs_closures_ask_of_it_waits_for_nobody_else() {
    let (tell, told) = mpsc::channel();
    let own: Arc<Mutex<Option<Hub>>> = Arc::default();
    let before = Arc::clone(&own);
    let saved = tell.clone();
    let hub = Hub::builder(())
        .before_delivery(move |_| {
            if let Some(hub) = before.lock().unwrap().take() {
                let saved = saved.clone();
                hub.update(move |_, _| saved.send("before delivery").unwrap());
            }
        })
        .start()
        .unwrap();
    let (outer, inner) = (hub.clone(), hub.clone());
    hub.update(move |_, _| {
        outer.update(move |_, _| inner.update(move |_, _| tell.send("nested").unwrap()));
    });
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "nested");
    *own.lock().unwrap() = Some(hub.clone());
    hub.update(|_, _| ());
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "before delivery");
}

/// A closure that asks for itself again, for ever, must leave the clients their messages.
#[test]
fn a_hub_that_never_comes_to_an_end_delivers_all_the_same() {
    fn again(hub: Hub<bool>) {
        let next = hub.clone();
        hub.update(move |goes_on, _| {
            if *goes_on {
                again(next);
            }
        });
    }
    let hub = hub(true);
    let pair = Pair::new(Role::Server);
    let _registration = hub.register(&pair.ours);
    again(hub.clone());
    for _ in 0..3 {
        hub.broadcast("between");
        assert_eq!(talk::text(&pair.theirs), "between");
    }
    hub.update(|goes_on, _| *goes_on = false);
}

/// A hub that asked more of itself than a queue takes, or two that asked it of each other, waited for
/// ever, as did two that held each other's last handle.
#[test]
fn hubs_may_update_and_end_themselves_and_each_other() {
    const UPDATES: usize = 5000;
    let (tell, told) = mpsc::channel();
    for pairs in [&[(0, 0)][..], &[(0, 1), (1, 0)]] {
        let hubs = [hub(0), hub(0)];
        // None begins before all are there, so that both queues fill.
        let all = Arc::new(Barrier::new(pairs.len()));
        for (from, to) in pairs {
            let (to, all, tell) = (hubs[*to].clone(), Arc::clone(&all), tell.clone());
            hubs[*from].update(move |_, _| {
                all.wait();
                (0..UPDATES).for_each(|_| to.update(|count, _| *count += 1));
                to.update(move |count, _| tell.send(*count).unwrap());
            });
        }
        for _ in pairs {
            let count = told.recv_timeout(PATIENCE).unwrap();
            assert_eq!(count, UPDATES, "{pairs:?}");
        }
    }
    // And now each ends the other.
    let both = Arc::new(Barrier::new(3));
    let (one, two) = (hub(0), hub(0));
    let (to_one, to_two) = (one.clone(), two.clone());
    for (hub, last) in [(one, to_two), (two, to_one)] {
        let (both, tell) = (Arc::clone(&both), tell.clone());
        let own = hub.clone();
        hub.update(move |_, _| {
            drop(own);
            both.wait();
            drop(last);
            tell.send(0).unwrap();
        });
    }
    both.wait();
    for _ in 0..2 {
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 0);
    }
}

/// The limit of an address began to count with the connection: by sockets that said nothing, one
/// address took all the room that there is for those who open.
#[test]
fn silent_sockets_of_one_address_keep_nobody_else_out() {
    let server = Server::builder(|ws| ws.recv().map(drop));
    let server = server.max_connections(10).max_per_address(2);
    let server = start_with(server.open_timeout(PATIENCE * 10));
    // More than there is room for: 10 and 128 besides. Of one address it is 2 and 16.
    let mut silent: Vec<_> = (0..200).map(|_| Raw::connect(port(&server))).collect();
    until("all others to be turned away", || {
        let metrics = server.metrics();
        metrics.refused().any(|told| told == ("address", 200 - 18))
    });
    assert_eq!(silent.pop().unwrap().answer().status, 503);
    let from = |address: [u8; 4]| {
        use socket2::{Domain, Socket, Type};
        let at = |ip: [u8; 4], port| std::net::SocketAddr::from((ip, port)).into();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&at(address, 0)).unwrap();
        socket.connect(&at([127, 0, 0, 1], port(&server))).unwrap();
        std::net::TcpStream::from(socket)
    };
    let connect = |address| Client::builder().connect_over(&url(&server), from(address));
    let other = [127, 0, 0, 2];
    let _two = [(); 2].map(|()| connect(other).unwrap());
    let error = connect(other).expect_err("two are the limit");
    assert!(matches!(error, Error::Refused(refused) if refused.status == 503));
    let mut page = Raw::new(from(other));
    page.send(get("/", "").as_bytes());
    assert_eq!(page.answer().status, 426, "who wants a page is not counted");
    drop(silent);
    until("the places to be free", || connect([127, 0, 0, 1]).is_ok());
}
