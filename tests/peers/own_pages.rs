//! Chromium with pages of one's own, which load the daemon's scripts: by their elements, and by functions.

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::raw::{exchange, get};
use crate::support::tools::{PATIENCE, wait_until};
use crate::topics_pages::{folder_with, send, serve, url, wait_script};

const NOTHING: [&str; 0] = [];

#[test]
fn the_page_in_the_docs_works_from_the_daemon_and_from_disk() {
    let browser = Browser::open();
    let docs = include_str!("../../docs/pages.md");
    let (_, page) = docs.split_once("```html\n").unwrap();
    let (page, _) = page.split_once("```\n").unwrap();
    assert_eq!(page.lines().count(), 14, "as the heading says");
    let folder = folder_with(page);
    let (_daemon, port) = serve(0, &["--html-dir", folder.path().to_str().unwrap()]);
    // From disk it names the daemon.
    let from_disk = page.replace("src=\"/", &format!("src=\"http://127.0.0.1:{port}/"));
    let disk = folder_with(&from_disk);
    send(port, "POST", "/topic/kitchen/temperature", "21.5");
    send(port, "POST", "/stream/kitchen/log", "The kettle boils");
    let tabs = [
        browser.tab(&url(port, "/")),
        browser.tab(&format!("file://{}/index.html", disk.path().display())),
    ];
    for tab in &tabs {
        tab.wait_text("[data-topic='kitchen/temperature']", "21.5");
        tab.wait_text("li", "The kettle boils");
        tab.wait_text("[data-status]", "Connected");
        wait_script(
            tab,
            "a point",
            "return document.querySelector('[data-chart] circle') !== null",
        );
    }
    tabs[1].click("#on");
    for tab in &tabs {
        tab.wait_text("[data-topic='kitchen/lamp']", "on");
    }
    // What a foreign page may not ask for, the browser notes: the past of the chart.
    let console = browser.console();
    assert!(
        console.iter().all(|line| line.contains("?history")),
        "{console:?}"
    );
    // curl gets no page.
    assert_eq!(exchange(port, get("/topic/kitchen/lamp", "")).body, "on");
}

#[test]
fn functions_of_ones_own_get_values_users_and_errors() {
    let browser = Browser::open();
    let page = "<!DOCTYPE html><meta charset=\"utf-8\"><title>Own</title>
        <pre id=\"said\"></pre><script src=\"/plainws.js\"></script><script>
        const say = (...what) => said.append(JSON.stringify(what) + '\\n');
        const a = plainws.topic('a', (value, { version }) => say('value', value, version), {
            users: (count) => say('users', count), error: (text) => say('error', text) });
        const b = plainws.stream('b', (message, { id }) => say('message', message, id), { last: 2 });
        </script>";
    let folder = folder_with(page);
    let pages = folder.path().to_str().unwrap();
    let (_daemon, port) = serve(0, &["--html-dir", pages]);
    for message in ["one", "two", "3"] {
        send(port, "POST", "/stream/b", message);
    }
    let tab = browser.tab(&url(port, "/"));
    let said = |what: &str| {
        let js = format!("return said.textContent.split('\\n').includes({what:?})");
        wait_script(&tab, what, &js);
    };
    said(r#"["users",1]"#);
    said(r#"["message","two",2]"#);
    said(r#"["message",3,3]"#);
    assert_eq!(tab.script("return a.set([1, null])"), json!(true));
    said(r#"["value",[1,null],1]"#);
    tab.script("b.send('four')");
    said(r#"["message","four",4]"#);
    // The second for the same topic shares the socket, and is told what is known.
    tab.script("window.c = plainws.topic('a', (value) => say('second', value))");
    said(r#"["second",[1,null]]"#);
    tab.script("a.close()");
    send(port, "PUT", "/topic/a", "5");
    said(r#"["second",5]"#);
    let all = tab.text("#said");
    assert!(!all.contains(r#"["value",5"#), "{all}");
    assert_eq!(all.matches("users").count(), 1, "one socket: {all}");
    assert!(!all.contains("one"), "the last two only: {all}");
    tab.script("c.close()");
    wait_until("the topic to be left", PATIENCE, || {
        let list = exchange(port, get("/topics", "")).body;
        list.contains(r#""size":1,"clients":0"#).then_some(())
    });
    assert_eq!(browser.console(), NOTHING);
}
