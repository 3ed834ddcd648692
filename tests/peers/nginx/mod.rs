//! A real nginx in front of the daemon: with the configuration of examples/nginx, with the blocks of
//! the tutorial, and with none that knows of WebSockets.

use plainws::{Connection, Error};
use tempfile::TempDir;

use crate::support::nginx::{Nginx, dial, ours};
use crate::support::process::{Daemon, plainws, url_port};
use crate::support::raw::serve;
use crate::support::tools::{PATIENCE, wait_until};

/// The tutorial's two blocks, word for word but for the ports.
const TUTORIAL: &str = r#"
    ### We want full access to SSL via backend ###
    location /websocket/ {
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;

        proxy_http_version 1.1;
        proxy_read_timeout   3600s; # 超时设置

        # 启用支持websocket连接
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_pass       http://127.0.0.1:5678;
    }

    ### We want full access to SSL via backend ###
    location /websocket2/ {
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;

        proxy_http_version 1.1;
        proxy_read_timeout   3600s; # 超时设置

        # 启用支持websocket连接
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_pass       http://127.0.0.1:6789;
    }
"#;

/// The next message, as text.
#[track_caller]
fn text(ws: &Connection) -> String {
    match ws.recv_timeout(PATIENCE) {
        Ok(Some(message)) => message.to_string(),
        other => panic!("awaited a message within {PATIENCE:?}, got {other:?}"),
    }
}

/// Clock and counter, as the daemon serves them without any --listen, at other ports.
#[track_caller]
fn applications(more: &[&str]) -> (Daemon, String, String) {
    let listen = ["serve", "-v", "--listen", "clock=127.0.0.1:0"];
    let daemon = plainws(&[&listen[..], &["--listen", "counter=127.0.0.1:0"], more].concat());
    let place = |app: &str| {
        let line = daemon.wait_line(&format!("{app} at "));
        format!("127.0.0.1:{}", url_port(&line))
    };
    let (clock, counter) = (place("clock"), place("counter"));
    (daemon, clock, counter)
}

/// Pages and sockets at both locations, with their paths as they were asked for.
#[track_caller]
fn both_locations(nginx: &Nginx, daemon: &Daemon) {
    for (path, title) in [("/websocket/", "Clock"), ("/websocket2/", "Counter")] {
        let page = nginx.get(path, "");
        assert_eq!(page.status, 200, "{}", page.head);
        assert!(page.body.contains(&format!("<title>{title} ")), "{title}");
        let policy = page.header("Content-Security-Policy").unwrap();
        assert!(policy.contains("script-src 'self' 'sha256-"), "{policy}");
        // What the page's own script connects to, with the Origin that a browser sends.
        let own = format!("https://localhost:{}", nginx.https);
        for origin in [Some(&own), None] {
            let client = match origin {
                Some(origin) => nginx.client().origin(origin),
                None => nginx.client(),
            };
            let ws = client.connect(&nginx.url(path)).unwrap();
            assert_eq!(ws.request().target(), path);
            let first = text(&ws);
            let expected = match title {
                "Clock" => ", sent by the server over WebSocket.",
                // How many depends on when the one before has left.
                _ => r#"{"type":"users","count":"#,
            };
            assert!(first.contains(expected), "{first}");
        }
        for foreign in [
            "https://evil.example",
            "https://localhost",
            "http://localhost:1",
        ] {
            let refused = nginx.client().origin(foreign).connect(&nginx.url(path));
            assert_eq!(status(refused).0, 403, "{foreign}");
        }
    }
    // A client leaves a moment after it has closed.
    let two = || {
        let [ada, bob] = [(); 2].map(|()| nginx.client().connect(&nginx.url("/websocket2/a?b=c")));
        (ada.unwrap(), bob.unwrap())
    };
    let (ada, bob) = two();
    let both = r#"{"type":"users","count":2}"#;
    wait_until("two users", PATIENCE, || (text(&bob) == both).then_some(()));
    bob.send(r#"{"action":"plus"}"#).unwrap();
    let one = r#"{"type":"state","value":1}"#;
    for ws in [&ada, &bob] {
        wait_until("the value 1", PATIENCE, || (text(ws) == one).then_some(()));
    }
    daemon.wait_line(" /websocket2/a opened");
}

/// The status and the body that a client was refused with.
#[track_caller]
fn status(result: plainws::Result<Connection>) -> (u16, String) {
    match result {
        Err(Error::Refused(refused)) => (refused.status, refused.body),
        other => panic!("awaited a refusal, got {other:?}"),
    }
}

#[test]
fn our_configuration_serves_pages_and_sockets_at_both_locations() {
    let (daemon, clock, counter) = applications(&["--trusted-proxy", "127.0.0.1"]);
    let nginx = Nginx::start(|site| ours(site, &clock, &counter));
    both_locations(&nginx, &daemon);
    // Without the slash at the end.
    for path in ["/websocket", "/websocket2"] {
        let ws = nginx.client().connect(&nginx.url(path)).unwrap();
        text(&ws);
        daemon.wait_line(&format!(" {path} opened"));
        let page = nginx.get(&format!("{path}?a=b"), "");
        assert_eq!(page.status, 301);
        let place = format!("{path}/?a=b");
        assert_eq!(page.header("Location"), Some(&*place));
        let plain = nginx.get_plain(&format!("{path}/?a=b"));
        assert_eq!(plain.status, 301);
        let place = format!("https://localhost{path}/?a=b");
        assert_eq!(plain.header("Location"), Some(&*place));
    }
    // What is left to another program is not led to https.
    let asked = nginx.get_plain("/.well-known/acme-challenge/none");
    assert_eq!(asked.status, 404, "{}", asked.head);
    let other = nginx.get("/websocket3", "");
    assert_eq!(other.status, 404, "{}", other.head);
    // Nothing in it that nginx warns of. (The user is the test's, for who runs it as root.)
    let mut lines = nginx.daemon.lines();
    lines.retain(|line| line.contains("[warn]") && !line.contains("\"user\" directive"));
    assert_eq!(lines, [""; 0]);
}

#[test]
fn the_tutorials_own_blocks_serve_them_unchanged() {
    let (daemon, clock, counter) = applications(&[]);
    let blocks = TUTORIAL.replace("127.0.0.1:5678", &clock);
    let blocks = blocks.replace("127.0.0.1:6789", &counter);
    let nginx = Nginx::start(|site| site.server(&blocks));
    both_locations(&nginx, &daemon);
}

#[test]
fn what_the_docs_say_that_matters_is_enough() {
    let (daemon, _, counter) = applications(&["--trusted-proxy", "127.0.0.1"]);
    let page = include_str!("../../../docs/nginx.md");
    let (_, block) = page.split_once("```nginx\n").unwrap();
    let (block, _) = block.split_once("```\n").unwrap();
    assert!(block.contains("http://127.0.0.1:6789;"), "{block}");
    let block = block.replace("127.0.0.1:6789", &counter);
    let nginx = Nginx::start(|site| site.server(&block));
    assert_eq!(nginx.get("/websocket2/", "").status, 200);
    let client = nginx
        .client()
        .origin(format!("https://localhost:{}", nginx.https));
    let ws = nginx
        .connect_from("127.0.0.5", &client, "/websocket2/")
        .unwrap();
    text(&ws);
    daemon.wait_line(" 127.0.0.5 via 127.0.0.1:");
}

#[test]
fn a_proxy_that_does_not_hand_on_the_upgrade_is_told_what_it_lacks() {
    let (daemon, port) = serve("counter", &["-v"]);
    let locations = format!(
        "location /old/ {{ proxy_pass http://127.0.0.1:{port}; }}
         location /new/ {{ proxy_http_version 1.1; proxy_pass http://127.0.0.1:{port}; }}
         location /lone/ {{ proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
            proxy_pass http://127.0.0.1:{port}; }}
         location /half/ {{ proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade; proxy_pass http://127.0.0.1:{port}; }}"
    );
    let nginx = Nginx::start(|site| site.server(&locations));
    for (path, hint) in [
        ("/old/", "proxy_set_header Upgrade $http_upgrade"),
        ("/old/x", "proxy_set_header Upgrade $http_upgrade"),
        ("/new/", "proxy_set_header Upgrade $http_upgrade"),
        ("/lone/", "proxy_set_header Connection \"upgrade\""),
        ("/half/", "a WebSocket needs HTTP/1.1"),
    ] {
        let (status, body) = status(nginx.client().connect(&nginx.url(path)));
        assert_eq!(status, 426, "{path}");
        assert!(body.contains(hint), "{path}: {body}");
        // A page is one all the same.
        if path.ends_with('/') {
            assert_eq!(nginx.get(path, "").status, 200, "{path}");
        }
    }
    let line = daemon.wait_line("handshake refused with 426: a WebSocket was asked for");
    assert!(line.ends_with("Connection \"upgrade\")"), "cut: {line}");
}

mod addresses;
mod idle;
