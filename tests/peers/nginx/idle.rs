//! Connections on which nothing is said, through an nginx that cuts those after 60 s: its default.

use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// Longer than nginx waits, by more than its timers and two busy cores are late.
const LONG: Duration = Duration::from_secs(75);

/// Whether the connection is still there after a long time without a message.
fn outlives(ws: &Connection) -> Result<(), String> {
    let start = Instant::now();
    while let Some(left) = LONG.checked_sub(start.elapsed()) {
        match ws.recv_timeout(left) {
            Ok(None) => {}
            // What stood there from the beginning.
            Ok(Some(_)) if start.elapsed() < PATIENCE => {}
            Ok(Some(message)) => return Err(format!("not idle: {message}")),
            Err(error) => return Err(format!("after {:.0?}: {error}", start.elapsed())),
        }
    }
    Ok(())
}

#[test]
fn an_idle_connection_outlives_nginx_timeout_by_our_pings_alone() {
    // The configuration of examples/nginx, the tutorial's without its hour, and the same in front of a
    // daemon that does not ping, which shows that nginx does cut.
    let (_pinging, pinging_clock, pinging) = applications(&[]);
    let (_silent, port) = serve("counter", &["--ping-interval", "off"]);
    let silent = format!("127.0.0.1:{port}");
    let blocks = |clock: &str, counter: &str| {
        let hour = "proxy_read_timeout   3600s;";
        assert!(TUTORIAL.contains(hour));
        let blocks = TUTORIAL.replace(hour, "").replace("127.0.0.1:5678", clock);
        blocks.replace("127.0.0.1:6789", counter)
    };
    let example = Nginx::start(|site| ours(site, &pinging_clock, &pinging));
    let default = Nginx::start(|site| site.server(&blocks(&pinging_clock, &pinging)));
    let cutting = Nginx::start(|site| site.server(&blocks(&silent, &silent)));
    // Our client pings, too; a browser does not.
    let connect = |nginx: &Nginx| {
        let client = nginx.client().ping_interval(None);
        client.connect(&nginx.url("/websocket2/")).unwrap()
    };
    let [example_ws, default_ws] = [&example, &default].map(connect);
    let cut = connect(&cutting);
    let outcomes = thread::scope(|scope| {
        let waiting = [&example_ws, &default_ws, &cut].map(|ws| scope.spawn(|| outlives(ws)));
        waiting.map(|thread| thread.join().unwrap())
    });
    assert_eq!(outcomes[0], Ok(()), "with the example's configuration");
    assert_eq!(outcomes[1], Ok(()), "with nginx's default");
    let lost = outcomes[2].as_ref().expect_err("nginx cuts what is silent");
    assert!(lost.contains("1006") || lost.contains("lost"), "{lost}");
    // Not only open: it works.
    default_ws.send(r#"{"action":"plus"}"#).unwrap();
    for ws in [&default_ws, &example_ws] {
        assert_eq!(text(ws), r#"{"type":"state","value":1}"#);
    }
}
