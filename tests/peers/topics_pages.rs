//! Chromium with the pages of topics and streams.

use std::fs;

use plainws::{Answer, Connection, Response, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::browser::{Browser, Tab};
use crate::support::process::{Daemon, plainws, stopped, url_port};
use crate::support::raw::exchange;
use crate::support::tools::{PATIENCE, wait_until};

const NOTHING: [&str; 0] = [];

/// A daemon with one listener, at this port or any.
#[track_caller]
pub(crate) fn serve(port: u16, more: &[&str]) -> (Daemon, u16) {
    let listen = format!("127.0.0.1:{port}");
    let daemon = plainws(&[&["serve", "--listen", &listen], more].concat());
    let port = url_port(&daemon.wait_line("index at "));
    (daemon, port)
}

/// Sends a body as curl does, and must get 204.
#[track_caller]
pub(crate) fn send(port: u16, method: &str, path: &str, body: &str) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let answer = exchange(port, request);
    assert_eq!(answer.status, 204, "{path}: {}", answer.body);
}

pub(crate) fn url(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}")
}

/// Waits until the script says something else than null or false.
#[track_caller]
pub(crate) fn wait_script(tab: &Tab<'_>, what: &str, js: &str) -> Value {
    wait_until(what, 2 * PATIENCE, || {
        let value = tab.script(js);
        (value != Value::Null && value != json!(false)).then_some(value)
    })
}

/// Waits until the page is connected, and its form, if it has one, is shown.
#[track_caller]
fn wait_ready(tab: &Tab<'_>) {
    let js = "return document.getElementById('status').textContent === 'Connected' \
        && !document.querySelector('[aria-disabled=true]') \
        && !document.getElementById('form')?.hidden";
    wait_script(tab, "the page to be connected and its form shown", js);
}

#[track_caller]
fn wait_lost(tab: &Tab<'_>) {
    let js = "return document.getElementById('status').className === 'lost'";
    wait_script(tab, "the page to say that it is disconnected", js);
}

/// A folder with a page of this text.
pub(crate) fn folder_with(page: &str) -> TempDir {
    let folder = TempDir::with_prefix("plainws-own-").unwrap();
    fs::write(folder.path().join("index.html"), page).unwrap();
    folder
}

/// Looks at all topics below `a/`.
const BELOW: &str = "<!DOCTYPE html><meta charset=\"utf-8\"><title>Own</title>
<p id=\"status\" data-status></p>
<output id=\"shown\" data-topic=\"a/b\"></output> <output id=\"twin\" data-topic=\"a/b\"></output>
<pre id=\"all\"></pre>
<script src=\"/plainws.js\"></script>
<script>
    const seen = {};
    const a = plainws.topic('a/*', (value, { topic }) => {
        seen[topic] = value;
        all.textContent = JSON.stringify(Object.fromEntries(Object.entries(seen).sort()));
    });
</script>";

#[test]
fn two_windows_and_a_page_below_a_prefix_see_what_each_changes() {
    let browser = Browser::open();
    let folder = folder_with(BELOW);
    let (_daemon, port) = serve(0, &["--html-dir", folder.path().to_str().unwrap()]);
    send(port, "PUT", "/topic/a/c/d", "false");
    let ada = browser.tab(&url(port, "/topic/a/b"));
    ada.wait_text("#value", "No value yet");
    ada.wait_text("#users", "1 online");
    let bob = browser.tab(&url(port, "/topic/a/b"));
    let below = browser.tab(&url(port, "/"));
    below.wait_text("#all", r#"{"a/c/d":false}"#);
    for tab in [&ada, &bob] {
        wait_ready(tab);
        // The two, and the socket that both elements of the third share.
        tab.wait_text("#users", "3 online");
    }
    // By the form, as text and by the keyboard.
    ada.type_text("#new", "<b>21.5</b> °C\n");
    for tab in [&ada, &bob] {
        tab.wait_text("#value", "<b>21.5</b> °C");
    }
    below.wait_text("#shown", "<b>21.5</b> °C");
    below.wait_text("#twin", "<b>21.5</b> °C");
    below.wait_text("#all", r#"{"a/b":"<b>21.5</b> °C","a/c/d":false}"#);
    ada.wait_text("#new", "");
    // By the script.
    assert_eq!(
        below.script("return a.set({ on: true }, 'a/b')"),
        json!(true)
    );
    for tab in [&ada, &bob] {
        tab.wait_text("#json", "{\n  \"on\": true\n}");
    }
    // By a button, with what is there to begin with.
    bob.click("#edit");
    bob.wait_text("#new", "{\n  \"on\": true\n}");
    send(port, "PUT", "/topic/a/b", "7");
    bob.wait_text("#value", "7");
    bob.click("[type=submit]");
    bob.wait_text(
        "#error",
        "Somebody else has changed it meanwhile. Set again to overwrite that.",
    );
    bob.click("[type=submit]");
    ada.wait_text("#json", "{\n  \"on\": true\n}");
    bob.wait_text("#error", "");
    send(port, "DELETE", "/topic/a/b", "");
    ada.wait_text("#value", "No value");
    below.wait_text("#shown", "");
    below.wait_text("#all", r#"{"a/c/d":false}"#);
    bob.close();
    ada.wait_text("#users", "2 online");
    // The browser itself notes the 412.
    let console = browser.console();
    assert!(
        console.iter().all(|line| line.contains("412")),
        "{console:?}"
    );
}

#[test]
fn numbers_are_lines_that_tell_values_and_times() {
    let browser = Browser::open();
    let (_daemon, port) = serve(0, &[]);
    for value in ["20", "21.5", "18"] {
        send(port, "PUT", "/topic/kitchen/temperature", value);
    }
    let tab = browser.tab(&url(port, "/topic/kitchen/temperature"));
    let points = |tab: &Tab<'_>, count: usize| {
        let js = format!("return document.querySelectorAll('#chart circle').length === {count}");
        wait_script(tab, &format!("{count} points"), &js);
    };
    tab.wait_text("#value", "18");
    points(&tab, 3);
    send(port, "PUT", "/topic/kitchen/temperature", "19");
    points(&tab, 4);
    let told = "return [document.querySelector('#chart p').textContent, \
        document.querySelector('[role=slider]').getAttribute('aria-valuetext')]";
    // With the keyboard.
    for (key, value) in [("\u{e012}", "19"), ("\u{e012}", "18"), ("\u{e011}", "20")] {
        tab.type_text("[role=slider]", key);
        let [shown, spoken] = [0, 1].map(|at| tab.script(told)[at].clone());
        assert_eq!(shown, spoken);
        let shown = shown.as_str().unwrap();
        assert!(shown.ends_with(&format!(": {value}")), "{shown}");
    }
    // By pointing at the right end.
    tab.script(
        "const box = document.querySelector('[role=slider]'), place = box.getBoundingClientRect(); \
         box.dispatchEvent(new PointerEvent('pointermove', {clientX: place.right, clientY: place.top}))",
    );
    let shown = tab.script(told)[0].clone();
    assert!(shown.as_str().unwrap().ends_with(": 19"), "{shown}");
    // What is no number is shown, and the line stays.
    send(port, "PUT", "/topic/kitchen/temperature", "broken");
    tab.wait_text("#value", "broken");
    points(&tab, 4);

    for (inside, outside) in [(21, 5), (22, 6)] {
        let both = format!(r#"{{"inside":{inside},"name":"x","outside":{outside}}}"#);
        send(port, "PUT", "/topic/room", &both);
    }
    let tab = browser.tab(&url(port, "/topic/room"));
    points(&tab, 4);
    let legend =
        "return [...document.querySelectorAll('#chart li')].map(item => item.textContent.trim())";
    assert_eq!(tab.script(legend), json!(["inside", "outside"]));
    // Not by their colours alone.
    let dashes = "return new Set([...document.querySelectorAll('#chart polyline')].map(line => \
        line.getAttribute('stroke-dasharray'))).size";
    assert_eq!(tab.script(dashes), json!(2));
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn bytes_are_a_size_and_a_link_and_what_is_refused_is_told() {
    let browser = Browser::open();
    let (_daemon, port) = serve(0, &["--max-size", "64"]);
    send(port, "PUT", "/topic/picture", "");
    let tab = browser.tab(&url(port, "/topic/picture"));
    tab.wait_text("#value", "(empty)");
    wait_ready(&tab);
    tab.script(
        "return fetch(location.href, {method: 'PUT', body: new Uint8Array([255, 0, 1]), \
         headers: {'Content-Type': 'image/png'}}).then(() => null)",
    );
    tab.wait_text("#value", "3 bytes");
    let bytes = "return fetch(document.querySelector('#file a').href).then(answer => \
        answer.arrayBuffer()).then(bytes => [...new Uint8Array(bytes)])";
    assert_eq!(tab.script(bytes), json!([255, 0, 1]));
    assert_eq!(browser.console(), NOTHING);
    tab.type_text("#new", &"x".repeat(65));
    tab.click("[type=submit]");
    wait_script(
        &tab,
        "the reason",
        "return document.getElementById('error').textContent.includes('64')",
    );
    let kept = "return document.getElementById('new').value.length";
    assert_eq!(tab.script(kept), json!(65), "what was typed is still there");
}

#[test]
fn the_page_of_a_stream_follows_the_newest_and_sends() {
    let browser = Browser::open();
    let (_daemon, port) = serve(0, &[]);
    for number in 1..=30 {
        send(port, "POST", "/stream/chat", &format!("message {number}"));
    }
    let ada = browser.tab(&url(port, "/stream/chat"));
    let bob = browser.tab(&url(port, "/stream/chat"));
    let count = "return document.querySelectorAll('#messages > li').length";
    let last = "return document.querySelector('#messages > li:last-child')?.textContent \
        .replace(/^.*? (?=message|<b>)/, '')";
    let wait_last = |tab: &Tab<'_>, text: &str| {
        wait_until(text, PATIENCE, || {
            (tab.script(last) == json!(text)).then_some(())
        });
    };
    for tab in [&ada, &bob] {
        wait_ready(tab);
        tab.wait_text("#users", "2 online");
        wait_last(tab, "message 30");
        assert_eq!(tab.script(count), json!(20));
    }
    ada.type_text("#message", "<b>Zoë\n");
    for tab in [&ada, &bob] {
        wait_last(tab, "<b>Zoë");
    }
    ada.wait_text("#message", "");
    // Who has scrolled up stays there, and is led to the newest.
    bob.script("box.scrollTop = 0");
    wait_script(&bob, "the scrolling", "return !following");
    send(port, "POST", "/stream/chat", "message 32");
    wait_last(&bob, "message 32");
    assert_eq!(bob.script("return box.scrollTop"), json!(0));
    bob.click("#newest");
    wait_script(
        &bob,
        "the newest",
        "return following && document.getElementById('newest').hidden",
    );
    // Away and back: what came meanwhile is there, and nothing twice.
    let shown = bob.script(count);
    bob.script("dispatchEvent(new Event('pagehide'))");
    ada.wait_text("#users", "1 online");
    send(port, "POST", "/stream/chat", "message 33");
    send(port, "POST", "/stream/chat", "message 34");
    bob.script("dispatchEvent(new Event('pageshow'))");
    wait_last(&bob, "message 34");
    assert_eq!(bob.script(count).as_i64(), shown.as_i64().map(|n| n + 2));
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn what_there_is_is_listed_and_more_is_opened_from_there() {
    let browser = Browser::open();
    let (_daemon, port) = serve(0, &[]);
    let tab = browser.tab(&url(port, "/topics"));
    tab.wait_text("#status", "Up to date");
    send(port, "PUT", "/topic/a/b", "1");
    send(port, "POST", "/stream/log", "x");
    tab.wait_text("#topics a", "a/b");
    tab.wait_text("#streams a", "log");
    tab.type_text("#name", "kitchen/lamp\n");
    tab.wait_text("h1", "kitchen/lamp");
    assert_eq!(
        tab.script("return location.pathname"),
        json!("/topic/kitchen/lamp")
    );
    tab.click("#all");
    tab.wait_text("#status", "Up to date");
    tab.click("#streams a");
    tab.wait_text("h1", "log");
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn the_page_of_a_topic_holds_its_value_and_comes_back() {
    let browser = Browser::open();
    let (daemon, port) = serve(0, &[]);
    send(port, "PUT", "/topic/a", "1");
    let tab = browser.tab(&url(port, "/topic/a"));
    tab.wait_text("#value", "1");
    wait_ready(&tab);
    stopped(daemon);
    wait_lost(&tab);
    assert_eq!(tab.text("#value"), "1");
    assert_eq!(
        tab.script("return document.getElementById('value').className"),
        json!("stale")
    );
    assert_eq!(tab.text("#spoken"), "Disconnected");
    let disabled = "return document.querySelectorAll('[aria-disabled=true]').length";
    assert_eq!(tab.script(disabled), json!(1));
    // The new daemon has nothing: the page does not go on to show what is not there.
    let (daemon, _) = serve(port, &[]);
    tab.wait_text("#value", "No value");
    wait_ready(&tab);
    // The same number of a version is not the same value.
    send(port, "PUT", "/topic/a", "2");
    tab.wait_text("#value", "2");
    stopped(daemon);
    wait_lost(&tab);
    let (_daemon, _) = serve(port, &[]);
    send(port, "PUT", "/topic/a", "3");
    tab.wait_text("#value", "3");
}

#[test]
fn a_connection_that_is_dead_but_not_closed_is_given_up() {
    let browser = Browser::open();
    let (daemon, port) = serve(0, &[]);
    send(port, "PUT", "/topic/a", "1");
    let topic = browser.tab(&url(port, "/topic/a"));
    topic.wait_text("#value", "1");
    wait_ready(&topic);
    let counter = browser.tab(&url(port, "/counter"));
    counter.wait_text("#value", "0");
    wait_ready(&counter);
    daemon.signal("STOP");
    // A click that is not answered.
    counter.click("#plus");
    // Half a minute without a word.
    topic.script(
        "const now = performance.now.bind(performance); performance.now = () => now() + 30000; \
         dispatchEvent(new Event('online'))",
    );
    for tab in [&counter, &topic] {
        wait_lost(tab);
    }
    counter.wait_text("#error", "No answer came. Please try again.");
    daemon.signal("CONT");
    for tab in [&counter, &topic] {
        wait_ready(tab);
    }
    send(port, "PUT", "/topic/a", "2");
    topic.wait_text("#value", "2");
}

#[test]
fn who_is_not_known_is_led_to_the_login_page_and_who_may_only_read_sees_no_form() {
    let browser = Browser::open();
    // Only what the page of a topic asks for by HTTP, with this status and access.
    let site = |status: u16, access: &'static str| {
        let page = include_str!("../../html/topic.html");
        let page = page.replace("src=\"plainws", "src=\"/live/plainws");
        let route = move |request: &plainws::Request| {
            let html = |page: String| {
                let policy = "default-src 'self' 'unsafe-inline'";
                Response::html(page).header("Content-Security-Policy", policy)
            };
            let is_page = request.header("Sec-Fetch-Dest") == Some("document");
            let script =
                |text: &'static str| Response::new(200, "text/javascript", text.as_bytes());
            Some(Answer::from(match request.path() {
                "/live/plainws.js" => script(include_str!("../../html/plainws.js")),
                "/live/plainws-chart.js" => script(include_str!("../../html/plainws-chart.js")),
                "/live/topic/a" if is_page => html(page.clone()),
                "/live/topic/a" => Response::empty(status).header("Plainws-Access", access),
                "/live/login" => html(include_str!("../../html/login.html").to_owned()),
                _ => return None,
            }))
        };
        let nothing = |_: &Connection| Ok(());
        let server = Server::builder(nothing).route(route).listen("127.0.0.1:0");
        server.start().unwrap()
    };
    let server = site(401, "");
    let tab = browser.tab(&format!("http://{}/live/topic/a?x=1", server.local_addr()));
    tab.wait_text("h1", "Log in");
    assert_eq!(tab.script("return location.pathname"), json!("/live/login"));
    let next = "return document.getElementById('next').value";
    assert_eq!(tab.script(next), json!("/live/topic/a?x=1"));
    let action = "return document.getElementById('form').action";
    let expected = format!("http://{}/live/login", server.local_addr());
    assert_eq!(tab.script(action), json!(expected));
    for (access, is_hidden) in [("read,write", false), ("read", true)] {
        let server = site(200, access);
        let tab = browser.tab(&format!("http://{}/live/topic/a", server.local_addr()));
        tab.script("return plainws.request('topic/a', {method: 'HEAD'}).then(() => null)");
        let form = format!("return document.getElementById('form').hidden === {is_hidden}");
        wait_script(&tab, &format!("the form for {access}"), &form);
    }
}
