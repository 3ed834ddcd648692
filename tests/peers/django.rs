//! The Django site of examples/django in Chromium, through nginx, which has the certificate: its pages
//! are the bundled ones, and connect by wss to where the site says.

use std::fs;
use std::path::Path;
use std::process::Command;

use openssl::x509::X509;
use serde_json::json;
use tempfile::TempDir;

use crate::support::browser::{Browser, Tab};
use crate::support::nginx::{Nginx, ours};
use crate::support::process::{Daemon, plainws, plainws_command, url_port};
use crate::support::python;
use crate::support::raw::{exchange, get};
use crate::support::tools::{PATIENCE, wait_until};

const NOTHING: [&str; 0] = [];

/// The site, with Django's own server at a free port.
#[track_caller]
fn site() -> (Daemon, u16) {
    let python = python::django();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/django");
    let mut command = Command::new(python);
    // -B: no __pycache__ in the examples.
    command.args([
        "-B",
        "-u",
        "manage.py",
        "runserver",
        "--noreload",
        "127.0.0.1:0",
    ]);
    for name in ["PLAINWS_PAGES", "DJANGO_HOSTS", "DJANGO_SETTINGS_MODULE"] {
        command.env_remove(name);
    }
    let django = Daemon::spawn_group({
        command.current_dir(folder);
        command
    });
    let port = url_port(&django.wait_line("development server at http://"));
    (django, port)
}

/// A certificate and its key, as `plainws cert` writes them.
#[track_caller]
fn certificate() -> (String, String) {
    let folder = TempDir::with_prefix("plainws-django-").unwrap();
    let mut command = plainws_command(&["cert"]);
    command.current_dir(folder.path());
    let mut cert = Daemon::spawn(command);
    assert!(cert.wait_exit(PATIENCE).success(), "{}", cert.report());
    let both = fs::read_to_string(folder.path().join("localhost.pem")).unwrap();
    let alone = fs::read_to_string(folder.path().join("localhost.crt")).unwrap();
    (alone, both)
}

/// The whole way: browser, nginx, and behind it Django and the daemon.
struct Way {
    browser: Browser,
    nginx: Nginx,
    daemon: Daemon,
    _django: Daemon,
}

#[track_caller]
fn way() -> Way {
    let (certificate, key) = certificate();
    let x509 = X509::from_pem(certificate.as_bytes()).unwrap();
    let browser = Browser::open_trusting(&x509);
    let (django, port) = site();
    let listen = [
        "--listen",
        "clock=127.0.0.1:0",
        "--listen",
        "counter=127.0.0.1:0",
    ];
    let trust = ["-v", "--trusted-proxy", "127.0.0.1"];
    let daemon = plainws(&[&["serve"], &listen[..], &trust].concat());
    let place = |app: &str| {
        let line = daemon.wait_line(&format!("{app} at "));
        format!("127.0.0.1:{}", url_port(&line))
    };
    let (clock, counter) = (place("clock"), place("counter"));
    let nginx = Nginx::with_identity(&certificate, &key, |site| {
        let text = ours(site, &clock, &counter);
        // As the comment above it says.
        let asleep = "    #location / {\n    #    proxy_pass http://127.0.0.1:8000;\n    #}\n";
        assert!(text.contains(asleep), "the last location of plainws.conf");
        let awake = asleep.replace('#', "");
        text.replace(
            asleep,
            &awake.replace("127.0.0.1:8000", &format!("127.0.0.1:{port}")),
        )
    });
    Way {
        browser,
        nginx,
        daemon,
        _django: django,
    }
}

#[track_caller]
fn wait_connected(tab: &Tab<'_>) {
    tab.wait_text("#status", "Connected");
    let js = "return document.querySelectorAll('[aria-disabled=true]').length";
    wait_until("the buttons to be enabled", PATIENCE, || {
        (tab.script(js) == json!(0)).then_some(())
    });
}

/// For people to look at.
fn shoot(tab: &Tab<'_>, name: &str) {
    tab.screenshot(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
}

#[test]
fn two_windows_on_the_sites_counter_show_the_same_through_nginx() {
    let way = way();
    let url = format!("https://localhost:{}/webskt2/", way.nginx.https);
    let ada = way.browser.tab(&url);
    ada.wait_text("#users", "1 user online");
    // Whatever a link says, the site's own word counts.
    let bob = way.browser.tab(&format!("{url}?ws=wss://evil.example/"));
    for tab in [&ada, &bob] {
        tab.wait_text("#value", "0");
        tab.wait_text("#users", "2 users online");
        wait_connected(tab);
    }
    ada.click("#plus");
    for tab in [&ada, &bob] {
        tab.wait_text("#value", "1");
    }
    bob.click("#plus");
    bob.click("#minus");
    bob.click("#minus");
    for tab in [&ada, &bob] {
        tab.wait_text("#value", "0");
        tab.wait_text("#users", "2 users online");
        assert_eq!(tab.text("#error"), "");
    }
    ada.click("#plus");
    bob.wait_text("#value", "1");
    ada.wait_text("#value", "1");
    shoot(&ada, "django-counter.png");
    assert_eq!(way.browser.console(), NOTHING);
    // By way of nginx, at the location of the counter, and with nginx's word on who it is.
    way.daemon.wait_line(" /websocket2/ opened");
    bob.close();
    ada.wait_text("#users", "1 user online");
}

#[test]
fn the_sites_clock_is_a_list_that_grows_through_nginx() {
    let way = way();
    // Without the slash at the end Django leads to it.
    let tab = way
        .browser
        .tab(&format!("https://localhost:{}/webskt", way.nginx.https));
    tab.wait_text("#status", "Connected");
    wait_until("three lines of the clock", PATIENCE, || {
        let js = "return document.querySelectorAll('#messages > li').length >= 3";
        (tab.script(js) == json!(true)).then_some(())
    });
    let line = tab.text("#messages > li:last-child");
    assert!(
        line.ends_with(", sent by the server over WebSocket."),
        "{line}"
    );
    assert_eq!(tab.script("return location.pathname"), json!("/webskt/"));
    shoot(&tab, "django-clock.png");
    way.daemon.wait_line(" /websocket/ opened");
    // The daemon's own pages at the same nginx.
    let page = way
        .browser
        .tab(&format!("https://localhost:{}/websocket/", way.nginx.https));
    page.wait_text("#status", "Connected");
    assert_eq!(way.browser.console(), NOTHING);
}

#[test]
fn the_sites_pages_are_the_bundled_ones_with_one_line_more() {
    let (_django, port) = site();
    for (path, name, socket) in [
        ("/webskt/", "clock.html", "/websocket/"),
        ("/webskt2/", "counter.html", "/websocket2/"),
    ] {
        let page = exchange(port, get(path, "Connection: close\r\n"));
        assert_eq!(page.status, 200, "{}", page.head);
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("html")
            .join(name);
        let bundled = fs::read_to_string(file).unwrap();
        let line = format!("<meta name=\"plainws-socket\" content=\"{socket}\">\n");
        assert!(page.body.contains(&line), "{line}");
        assert_eq!(page.body.replace(&line, ""), bundled);
        let script = exchange(
            port,
            get(&format!("{path}plainws.js"), "Connection: close\r\n"),
        );
        assert_eq!(script.body, include_str!("../../html/plainws.js"), "{path}");
    }
}
