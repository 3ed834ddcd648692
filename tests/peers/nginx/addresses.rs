//! Where clients behind nginx come from. They come from addresses of the loopback network, which
//! nginx tells apart.

use plainws::CloseCode;

use super::*;

#[test]
fn a_client_is_known_by_its_own_address_in_logs_and_limits() {
    let trust = ["--trusted-proxy", "127.0.0.1", "--max-per-address", "2"];
    let (daemon, clock, counter) = applications(&trust);
    let nginx = Nginx::start(|site| ours(site, &clock, &counter));
    // Whatever it claims itself.
    let client = nginx.client();
    let forging = nginx
        .client()
        .header("X-Forwarded-For", "203.0.113.9, 127.0.0.6")
        .header("X-Real-IP", "203.0.113.9");
    let from = |address: &str, client| nginx.connect_from(address, client, "/websocket2/");
    let one = from("127.0.0.5", &client).unwrap();
    let two = from("127.0.0.5", &forging).unwrap();
    for client in [&client, &forging] {
        let (status, body) = status(from("127.0.0.5", client));
        assert_eq!(status, 503);
        assert!(
            body.contains("your address, which may have 2 at once"),
            "{body}"
        );
    }
    let refused = " 127.0.0.5 via 127.0.0.1:";
    let line = daemon.wait_line("handshake refused with 503: ");
    assert!(line.contains(refused), "{line}");
    // The other application counts along; another address does not.
    let clock = nginx.connect_from("127.0.0.5", &client, "/websocket/");
    assert_eq!(status(clock).0, 503);
    let other = from("127.0.0.6", &client).unwrap();
    text(&other);

    two.send("nonsense").unwrap();
    let line = daemon.wait_line(" message refused, ");
    assert!(line.contains(" 127.0.0.5 via 127.0.0.1:"), "{line}");
    one.close(CloseCode::NORMAL, "").unwrap();
    let line = daemon.wait_line(" closed 1000");
    assert!(line.contains(" 127.0.0.5 via 127.0.0.1:"), "{line}");
    // Its thread ends a moment later.
    let again = wait_until("the place of the one who left", PATIENCE, || {
        from("127.0.0.5", &client).ok()
    });
    text(&again);
    for line in daemon.lines() {
        assert!(!line.contains("203.0.113.9"), "{line}");
    }
}

#[test]
fn who_comes_past_the_proxy_is_not_believed() {
    let trust = [
        "-v",
        "--trusted-proxy",
        "127.0.0.1",
        "--max-per-address",
        "1",
    ];
    let (daemon, port) = serve("counter", &trust);
    let url = format!("ws://127.0.0.1:{port}/");
    let from = |address: &str, claims: &str| {
        let client = plainws::Client::builder().header("X-Forwarded-For", claims);
        let client = client.header("X-Real-IP", claims);
        client.connect_over(&url, dial(address, port))
    };
    let one = from("127.0.0.5", "203.0.113.9").unwrap();
    text(&one);
    let line = daemon.wait_line(" opened");
    assert!(line.contains(" 127.0.0.5:"), "{line}");
    assert!(!line.contains("203.0.113.9"), "{line}");
    assert_eq!(status(from("127.0.0.5", "203.0.113.10")).0, 503);
    // From the proxy the same words count.
    text(&from("127.0.0.1", "203.0.113.9").unwrap());
    daemon.wait_line(" 203.0.113.9 via 127.0.0.1:");
    // Nobody can use up the place of another.
    text(&from("127.0.0.6", "127.0.0.5").unwrap());
}

#[test]
fn a_proxy_that_is_not_trusted_is_the_client() {
    let (daemon, clock, counter) = applications(&["--max-per-address", "1"]);
    let nginx = Nginx::start(|site| ours(site, &clock, &counter));
    let from = |address| nginx.connect_from(address, &nginx.client(), "/websocket2/");
    let one = from("127.0.0.5").unwrap();
    text(&one);
    assert_eq!(status(from("127.0.0.6")).0, 503);
    let line = daemon.wait_line(" opened");
    assert!(
        line.contains(" 127.0.0.1:") && !line.contains("via"),
        "{line}"
    );
}

#[test]
fn over_a_unix_socket_the_forwarded_address_counts_if_it_is_trusted() {
    for trusted in [true, false] {
        let folder = TempDir::with_prefix("plainws-nginx-").unwrap();
        let socket = format!("unix:{}/counter", folder.path().display());
        let listen = format!("counter={socket}");
        let args = ["serve", "-v", "--listen", &listen, "--max-per-address", "1"];
        let trust = ["--trusted-proxy", "unix:"];
        let trust = if trusted { &trust[..] } else { &[] };
        let daemon = plainws(&[&args[..], trust].concat());
        daemon.wait_line("counter at ");
        let nginx = Nginx::start(|site| ours(site, "127.0.0.1:9", &socket));
        let from = |address| nginx.connect_from(address, &nginx.client(), "/websocket2/");
        let one = from("127.0.0.5").unwrap();
        text(&one);
        let line = daemon.wait_line(" opened");
        assert_eq!(line.contains(" 127.0.0.5 via unix: "), trusted, "{line}");
        assert_eq!(nginx.get("/websocket2/", "").status, 200);
        if trusted {
            assert_eq!(status(from("127.0.0.5")).0, 503);
            text(&from("127.0.0.6").unwrap());
        } else {
            // Of a peer without an address none can be counted.
            text(&from("127.0.0.5").unwrap());
        }
    }
}
