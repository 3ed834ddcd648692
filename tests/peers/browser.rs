//! Chromium with the bundled pages: from the daemon, from disk, and the tutorial's own.

use std::fs;
use std::path::{Path, PathBuf};

use plainws::{Server, connect};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::browser::{Browser, Tab};
use crate::support::examples::start;
use crate::support::process::{plainws, stopped, url_port};
use crate::support::raw::serve;
use crate::support::tools::{PATIENCE, wait_until};

/// What the browser's console has to say in normal use.
const NOTHING: [&str; 0] = [];

/// The page's file.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("html")
        .join(name)
}

/// The page as one opens it from disk.
fn file(name: &str) -> String {
    format!("file://{}", path(name).display())
}

/// A private directory for copies of pages, removed when dropped.
fn directory() -> TempDir {
    TempDir::with_prefix("plainws-pages-").expect("a private directory can be made")
}

/// Where an application's page is: at its server, and on disk.
fn both(app: &str, port: u16) -> [String; 2] {
    let disk = file(&format!("{app}.html"));
    let disk = format!("{disk}?ws=ws://127.0.0.1:{port}/");
    [format!("http://127.0.0.1:{port}/"), disk]
}

#[track_caller]
fn wait_script(tab: &Tab<'_>, what: &str, js: &str) -> Value {
    wait_until(what, PATIENCE, || {
        let value = tab.script(js);
        (value != Value::Null && value != json!(false)).then_some(value)
    })
}

/// Waits until the page shows that it is connected, which is when its buttons can be used.
#[track_caller]
fn wait_connected(tab: &Tab<'_>) {
    // Both at once: hello shows its last connection, and a disabled button, until that is closed.
    let js = "return document.getElementById('status').textContent === 'Connected' && \
        !document.querySelector('[aria-disabled=true]')";
    wait_script(tab, "the page to be connected and its buttons enabled", js);
}

/// The buttons that are shown and read out as disabled.
#[track_caller]
fn disabled(tab: &Tab<'_>) -> Value {
    tab.script("return [...document.querySelectorAll('[aria-disabled=true]')].map(b => b.id)")
}

/// Clicks through two counters: the same values and users in both, whoever clicks.
#[track_caller]
pub(crate) fn share(browser: &Browser, url: &str) {
    let ada = browser.tab(url);
    ada.wait_text("#value", "0");
    ada.wait_text("#users", "1 user online");
    let bob = browser.tab(url);
    for tab in [&ada, &bob] {
        tab.wait_text("#value", "0");
        tab.wait_text("#users", "2 users online");
        wait_connected(tab);
    }
    ada.click("#plus");
    for tab in [&ada, &bob] {
        tab.wait_text("#value", "1");
    }
    bob.click("#minus");
    bob.click("#minus");
    for tab in [&ada, &bob] {
        tab.wait_text("#value", "-1");
        assert_eq!(tab.text("#users"), "2 users online");
        assert_eq!(tab.text("#error"), "");
    }
    bob.close();
    ada.wait_text("#users", "1 user online");
    // A page that is loaded again leaves, and joins.
    ada.reload();
    ada.wait_text("#value", "-1");
    ada.wait_text("#users", "1 user online");
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn two_counter_pages_show_the_same_value_and_users() {
    let browser = Browser::open();
    // One each, and both to the end: a page that is left over would complain of a lost connection.
    let daemons = [(); 2].map(|()| serve("counter", &[]));
    for (at, (_daemon, port)) in daemons.iter().enumerate() {
        share(&browser, &both("counter", *port)[at]);
    }
}

#[test]
fn the_keyboard_reaches_the_buttons_of_the_counter() {
    let browser = Browser::open();
    let (_daemon, port) = serve("counter", &[]);
    let tab = browser.tab(&format!("http://127.0.0.1:{port}/"));
    tab.wait_text("#value", "0");
    wait_connected(&tab);
    // Enter and the space bar, on the button that has the focus.
    tab.type_text("#plus", "\n");
    tab.wait_text("#value", "1");
    tab.type_text("#plus", " ");
    tab.wait_text("#value", "2");
    tab.type_text("#minus", "\n");
    tab.wait_text("#value", "1");
    let focus = "return document.activeElement.id";
    assert_eq!(tab.script(focus), "minus", "the focus stays on the button");
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn clock_page_is_a_list_that_grows() {
    let browser = Browser::open();
    let (_daemon, port) = serve("clock", &[]);
    for url in both("clock", port) {
        let tab = browser.tab(&url);
        for lines in 1..=3 {
            let js =
                format!("return document.querySelectorAll('#messages > li').length >= {lines}");
            wait_script(&tab, &format!("line {lines} of the clock"), &js);
        }
        let last = tab.text("#messages > li:last-child");
        assert!(
            last.ends_with(", sent by the server over WebSocket."),
            "{last}"
        );
        assert_eq!(tab.text("#status"), "Connected");
    }
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn clock_page_keeps_the_last_100_lines_and_shows_the_newest() {
    let browser = Browser::open();
    // As the clock would take minutes.
    let lines = |ws: &plainws::Connection| {
        for number in 1..=250 {
            ws.write(format!("line {number} <b>&amp;"))?;
        }
        ws.recv().map(drop)
    };
    let server = Server::builder(lines)
        .listen("127.0.0.1:0")
        .start()
        .unwrap();
    let page = file("clock.html");
    let tab = browser.tab(&format!("{page}?ws=ws://{}/", server.local_addr()));
    tab.wait_text("#messages > li:last-child", "line 250 <b>&amp;");
    let count = "return document.querySelectorAll('#messages > li').length";
    assert_eq!(tab.script(count), 100);
    assert_eq!(tab.text("#messages > li:first-child"), "line 151 <b>&amp;");
    let hidden = "return box.scrollHeight - box.scrollTop - box.clientHeight";
    let hidden = wait_script(&tab, "the place of the list", hidden);
    assert!(
        hidden.as_f64().unwrap().abs() < 2.0,
        "{hidden} pixels below"
    );
    assert_eq!(browser.console(), NOTHING);
}

/// Types a name in the place of the last one.
#[track_caller]
fn name(tab: &Tab<'_>, name: &str) {
    tab.script("document.getElementById('name').value = ''");
    tab.type_text("#name", name);
}

#[test]
fn hello_page_greets_one_name_after_the_other() {
    let browser = Browser::open();
    let (_daemon, port) = serve("hello", &[]);
    for url in both("hello", port) {
        let tab = browser.tab(&url);
        wait_connected(&tab);
        tab.script(
            "window.seen = new Set(); const line = document.getElementById('status'); \
             new MutationObserver(() => seen.add(line.className)).observe(line, \
             {childList: true, attributes: true})",
        );
        name(&tab, "Ada");
        tab.click("#greet");
        tab.wait_text("#greeting", "Hello Ada!");
        // A connection for each name; the next one is made at once, and the button waits for it.
        wait_connected(&tab);
        name(&tab, "<b>Zoë</b> & Co\n");
        tab.wait_text("#greeting", "Hello <b>Zoë</b> & Co!");
        wait_connected(&tab);
        name(&tab, "");
        tab.click("#greet");
        tab.wait_text("#greeting", "Hello !");
        wait_connected(&tab);
        // The end of a greeting is not shown as a lost connection, nor followed by a pause.
        let seen = tab.script("return [...seen].sort()");
        assert_eq!(seen, json!(["", "open"]));
    }
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn index_page_leads_to_the_applications() {
    let browser = Browser::open();
    let daemon = plainws(&["serve", "--listen", "127.0.0.1:0"]);
    let port = url_port(&daemon.wait_line("index at "));
    let index = format!("http://127.0.0.1:{port}/");
    let tab = browser.tab(&index);
    let links = "return [...document.querySelectorAll('a')].map(link => link.href)";
    let three = ["hello", "clock", "counter"];
    let expected = ["topics", "hello", "clock", "counter"].map(|name| format!("{index}{name}"));
    assert_eq!(tab.script(links), json!(expected));
    tab.close();
    for app in three {
        let tab = browser.tab(&index);
        tab.click(&format!("a[href={app}]"));
        tab.wait_text("#status", "Connected");
        assert_eq!(
            tab.script("return location.pathname"),
            json!(format!("/{app}"))
        );
        assert_eq!(tab.text("h1").to_lowercase(), app);
    }
    assert_eq!(browser.console(), NOTHING);
}

// ---- Where a page connects to ----------------------------------------------------------------

/// A folder with the script that pages look for beside themselves.
fn with_script() -> TempDir {
    let folder = directory();
    fs::copy(path("plainws.js"), folder.path().join("plainws.js")).unwrap();
    folder
}

/// Copies of the pages, in which the page's WebSocket only notes its URL.
fn noting() -> TempDir {
    let folder = with_script();
    for name in ["hello.html", "clock.html", "counter.html"] {
        let page = fs::read_to_string(path(name)).unwrap();
        let noting = "<script>\nwindow.urls = [];\nwindow.WebSocket = class {\n\
            constructor(url) { urls.push(url); }\nclose() {}\n};\n</script>\n<script>";
        assert_eq!(page.matches("<script>").count(), 1, "one script in {name}");
        fs::write(folder.path().join(name), page.replace("<script>", noting)).unwrap();
    }
    folder
}

/// The URLs that the page at `url` connects to.
#[track_caller]
fn urls(browser: &Browser, url: &str) -> Value {
    let tab = browser.tab(url);
    let urls = wait_script(
        &tab,
        "the page's WebSocket",
        "return urls.length > 0 && urls",
    );
    tab.close();
    urls
}

#[test]
fn a_page_connects_to_its_own_url_or_to_the_default_port_from_disk() {
    let browser = Browser::open();
    let folder = noting();
    let folder = folder.path().to_str().unwrap();
    for (app, port) in [("hello", 8765), ("clock", 5678), ("counter", 6789)] {
        let page = format!("file://{folder}/{app}.html");
        let default = json!([format!("ws://127.0.0.1:{port}/")]);
        assert_eq!(urls(&browser, &page), default);
        let other = json!(["wss://app.example/websocket2/?a=b"]);
        let asked = format!("{page}?ws=wss://app.example/websocket2/?a=b");
        assert_eq!(urls(&browser, &asked), other);
    }
    let args = ["serve", "--html-dir", folder, "--listen", "127.0.0.1:0"];
    let daemon = plainws(&[&args[..], &["--listen", "counter=127.0.0.1:0"]].concat());
    let shared = url_port(&daemon.wait_line("index at "));
    let own = url_port(&daemon.wait_line("counter at "));
    for (port, path) in [
        (shared, "/hello"),
        (shared, "/clock"),
        (shared, "/counter"),
        (own, "/"),
        (own, "/websocket2/"),
    ] {
        let page = format!("http://127.0.0.1:{port}{path}");
        let expected = json!([page.replace("http", "ws")]);
        assert_eq!(urls(&browser, &format!("{page}?utm=1#top")), expected);
    }
    let asked = format!("http://127.0.0.1:{own}/?ws=wss://app.example/x");
    assert_eq!(urls(&browser, &asked), json!(["wss://app.example/x"]));
    assert_eq!(browser.console(), NOTHING);
}

/// A copy of a page with the line by which a site names its socket.
fn naming(folder: &Path, name: &str, socket: &str) {
    let page = fs::read_to_string(folder.join(name)).unwrap();
    let line = format!("<meta name=\"plainws-socket\" content=\"{socket}\">\n</head>");
    fs::write(folder.join(name), page.replace("</head>", &line)).unwrap();
}

#[test]
fn a_page_connects_to_the_socket_that_its_site_names_whatever_a_link_says() {
    let browser = Browser::open();
    for app in ["hello", "clock", "counter"] {
        for (named, seen) in [
            ("wss://app.example/a?b=c", "wss://app.example/a?b=c"),
            ("https://app.example/a", "wss://app.example/a"),
            ("/websocket2/?a=b#c", "ws://HOST/websocket2/?a=b"),
            ("live", "ws://HOST/folder/live"),
            ("//app.example/a", "ws://app.example/a"),
        ] {
            let folder = noting();
            naming(folder.path(), &format!("{app}.html"), named);
            let pages = folder.path().to_str().unwrap();
            let (_daemon, port) = serve(app, &["--html-dir", pages]);
            let host = format!("127.0.0.1:{port}");
            let expected = json!([seen.replace("HOST", &host)]);
            for link in ["", "?ws=wss://evil.example/", "?ws=nonsense"] {
                let page = format!("http://{host}/folder/{link}");
                assert_eq!(urls(&browser, &page), expected, "{named} {link}");
            }
        }
    }
    // From disk a whole URL does.
    let folder = noting();
    naming(folder.path(), "clock.html", "wss://app.example/a");
    let page = format!("file://{}/clock.html", folder.path().display());
    assert_eq!(urls(&browser, &page), json!(["wss://app.example/a"]));
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn a_page_says_so_when_it_is_to_connect_to_no_websocket() {
    let browser = Browser::open();
    let page = file("counter.html");
    let asked = ["http://127.0.0.1/", "", "javascript:alert(1)", "ws://"];
    let named = [
        "wss://",
        "javascript:alert(1)",
        "/path-on-disk",
        "http://[::",
    ];
    let check = |url: &str, what: &str, wrong: &str| {
        let tab = browser.tab(url);
        tab.wait_text("#status", &format!("{what} must be a ws:// or wss:// URL"));
        assert_eq!(disabled(&tab), json!(["minus", "plus"]), "{what} {wrong}");
        tab.close();
    };
    for wrong in asked {
        check(&format!("{page}?ws={wrong}"), "?ws=", wrong);
    }
    for wrong in named {
        let folder = with_script();
        let copy = folder.path().join("counter.html");
        fs::copy(path("counter.html"), &copy).unwrap();
        naming(folder.path(), "counter.html", wrong);
        check(
            &format!("file://{}", copy.display()),
            "plainws-socket",
            wrong,
        );
    }
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn the_page_of_ones_own_in_the_docs_works_from_disk() {
    let browser = Browser::open();
    let docs = include_str!("../../docs/serve.md");
    let (_, section) = docs.split_once("## A page of your own\n").unwrap();
    let (_, page) = section.split_once("```html\n").unwrap();
    let (page, _) = page.split_once("```\n").unwrap();
    assert!(page.lines().count() <= 10, "ten lines: {page}");
    let (_daemon, port) = serve("counter", &[]);
    let default = "ws://localhost:6789/";
    assert!(page.contains(default), "{page}");
    let folder = directory();
    let path = folder.path().join("page.html");
    let url = format!("ws://localhost:{port}/");
    fs::write(&path, page.replace(default, &url)).unwrap();
    let url = format!("file://{}", path.display());
    let tabs = [browser.tab(&url), browser.tab(&url)];
    for tab in &tabs {
        tab.wait_text("output", "0");
    }
    for value in ["1", "2"] {
        tabs[0].click("button");
        for tab in &tabs {
            tab.wait_text("output", value);
        }
    }
    assert_eq!(browser.console(), NOTHING);
}

// ---- When the server goes --------------------------------------------------------------------

#[track_caller]
fn wait_lost(tab: &Tab<'_>) {
    let js = "return document.getElementById('status').textContent.startsWith('Disconnected. \
        Trying again in ')";
    wait_script(tab, "the page to say that it is disconnected", js);
}

#[test]
fn counter_page_holds_its_value_and_comes_back_and_sends_no_click_twice() {
    let browser = Browser::open();
    let (daemon, port) = serve("counter", &[]);
    let tab = browser.tab(&format!("http://127.0.0.1:{port}/"));
    tab.wait_text("#users", "1 user online");
    wait_connected(&tab);
    for value in ["1", "2", "3"] {
        tab.click("#plus");
        tab.wait_text("#value", value);
    }
    stopped(daemon);
    wait_lost(&tab);
    // Noted from now on, so that nothing in between goes unseen.
    tab.script(
        "window.seen = []; new MutationObserver(() => seen.push(value.textContent)).observe(value, \
         {childList: true, characterData: true, subtree: true})",
    );
    assert_eq!(disabled(&tab), json!(["minus", "plus"]));
    assert_eq!(tab.text("#value"), "3");
    assert_eq!(tab.text("#users"), "1 user online");
    // Shown as old, and not only by its colour for who sees it.
    assert_eq!(tab.script("return value.classList.contains('stale')"), true);
    assert_eq!(tab.text("#spoken"), "Disconnected");
    // A button that is only shown as disabled can be pressed; these clicks are lost, not kept.
    for _ in 0..3 {
        tab.click("#plus");
    }
    let listen = format!("counter=127.0.0.1:{port}");
    let daemon = plainws(&["serve", "--listen", &listen]);
    daemon.wait_line("counter at ");
    tab.wait_text("#status", "Connected");
    // The new daemon starts anew, and none of those clicks came to it.
    tab.wait_text("#value", "0");
    wait_connected(&tab);
    assert_eq!(
        tab.script("return value.classList.contains('stale')"),
        false
    );
    tab.click("#plus");
    tab.wait_text("#value", "1");
    // Another client is told the value after all that the page has sent.
    let ws = connect(&format!("ws://127.0.0.1:{port}/")).unwrap();
    let said = |ws: &plainws::Connection| {
        let message = ws.recv_timeout(PATIENCE).unwrap();
        message.expect("a message of the counter").to_string()
    };
    assert_eq!(said(&ws), r#"{"type":"users","count":2}"#);
    assert_eq!(said(&ws), r#"{"type":"state","value":1}"#);
    tab.click("#minus");
    assert_eq!(said(&ws), r#"{"type":"state","value":0}"#);
    tab.wait_text("#value", "0");
    assert_eq!(tab.script("return seen"), json!(["0", "1", "0"]));
}

#[test]
fn a_page_that_was_opened_before_the_server_connects_when_it_is_there() {
    let browser = Browser::open();
    let (daemon, port) = serve("hello", &[]);
    stopped(daemon);
    let page = file("hello.html");
    let tab = browser.tab(&format!("{page}?ws=ws://127.0.0.1:{port}/"));
    wait_lost(&tab);
    assert_eq!(disabled(&tab), json!(["greet"]));
    let listen = format!("hello=127.0.0.1:{port}");
    let daemon = plainws(&["serve", "--listen", &listen]);
    daemon.wait_line("hello at ");
    wait_connected(&tab);
    name(&tab, "Ada\n");
    tab.wait_text("#greeting", "Hello Ada!");
}

#[test]
fn a_page_waits_longer_from_try_to_try() {
    let browser = Browser::open();
    // A copy in which no connection succeeds, and time flies.
    let folder = with_script();
    let page = fs::read_to_string(path("clock.html")).unwrap();
    let flying = "<script>
        let now = 0;
        window.tries = [];
        performance.now = () => now;
        // Not by a timer, which a window in the background has once a second only.
        const soon = (run) => {
            const channel = new MessageChannel();
            channel.port1.onmessage = run;
            channel.port2.postMessage(0);
        };
        window.setTimeout = (run, delay, ...rest) => {
            if (delay < 10000) soon(() => { now += delay; run(...rest); });
            return 0; // what takes longer is the time limit of a try
        };
        window.clearTimeout = () => {};
        window.WebSocket = class {
            constructor() {
                tries.push(now);
                if (tries.length < 60) soon(() => this.onclose({code: 1006}));
            }
            close() {}
        };
        </script>
        <script>";
    let path = folder.path().join("clock.html");
    fs::write(&path, page.replace("<script>", flying)).unwrap();
    let tab = browser.tab(&format!("file://{}", path.display()));
    let tries = wait_script(&tab, "sixty tries", "return tries.length === 60 && tries");
    let tries: Vec<f64> = tries
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_f64)
        .collect();
    let delays: Vec<f64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Milliseconds: soon at first, then growing, half a minute at most, and never in step.
    assert!((200.0..700.0).contains(&delays[0]), "{delays:.0?}");
    assert!(delays[5] > 2.0 * delays[0], "{delays:.0?}");
    let last = &delays[20..];
    assert!(
        last.iter().all(|d| (14_000.0..31_000.0).contains(d)),
        "{delays:.0?}"
    );
    let spread = |limit: f64| last.iter().filter(|d| **d < limit).count();
    assert!(
        spread(20_000.0) > 0 && spread(25_000.0) < last.len(),
        "{delays:.0?}"
    );
}

// ---- The tutorial's own pages ----------------------------------------------------------------

/// The second page of the tutorial, word for word but for its URL and its styles.
const TUTORIAL_COUNTER: &str = r#"<!DOCTYPE html>
<html>
    <head>
        <title>WebSocket 演示2</title>
    </head>
    <body>
        <div class="buttons">
            <div class="minus button">-</div>
            <div class="value">?</div>
            <div class="plus button">+</div>
        </div>
        <div class="state">
            <span class="users">?</span> online
        </div>
        <script>
            var minus = document.querySelector('.minus'),
                plus = document.querySelector('.plus'),
                value = document.querySelector('.value'),
                users = document.querySelector('.users'),
                websocket = new WebSocket("URL");
            minus.onclick = function (event) {
                websocket.send(JSON.stringify({action: 'minus'}));
            }
            plus.onclick = function (event) {
                websocket.send(JSON.stringify({action: 'plus'}));
            }
            websocket.onmessage = function (event) {
                data = JSON.parse(event.data);
                switch (data.type) {
                    case 'state':
                        value.textContent = data.value;
                        break;
                    case 'users':
                        users.textContent = (
                            data.count.toString() + " user" +
                            (data.count == 1 ? "" : "s"));
                        break;
                    default:
                        console.error(
                            "unsupported event", data);
                }
            };
        </script>
    </body>
</html>
"#;

/// The first one.
const TUTORIAL_CLOCK: &str = r#"<!DOCTYPE html>
<html>
    <head>
        <title>WebSocket 演示</title>
    </head>
    <body>
        <script>
            var ws = new WebSocket("URL"),
                messages = document.createElement('ul');
            ws.onmessage = function (event) {
                var messages = document.getElementsByTagName('ul')[0],
                    message = document.createElement('li'),
                    content = document.createTextNode(event.data);
                message.appendChild(content);
                messages.appendChild(message);
            };
            document.body.appendChild(messages);
        </script>
    </body>
</html>
"#;

#[test]
fn the_tutorials_own_pages_work_from_disk() {
    let browser = Browser::open();
    let folder = directory();
    let page = |name: &str, text: &str, port: u16| {
        let path = folder.path().join(name);
        let text = text.replace("URL", &format!("ws://127.0.0.1:{port}/"));
        fs::write(
            &path,
            text.replace("<head>", "<head><meta charset=\"utf-8\">"),
        )
        .unwrap();
        format!("file://{}", path.display())
    };
    let (_counter, port) = serve("counter", &[]);
    let url = page("counter.html", TUTORIAL_COUNTER, port);
    let tabs = [browser.tab(&url), browser.tab(&url)];
    for tab in &tabs {
        tab.wait_text(".value", "0");
        tab.wait_text(".state", "2 users online");
    }
    tabs[0].click(".plus");
    tabs[0].click(".plus");
    tabs[1].click(".minus");
    for tab in &tabs {
        tab.wait_text(".value", "1");
    }
    let (_clock, port) = serve("clock", &[]);
    let tab = browser.tab(&page("clock.html", TUTORIAL_CLOCK, port));
    let grown = "return document.querySelectorAll('li').length >= 2";
    wait_script(&tab, "two lines of the clock", grown);
    let line = tab.text("li");
    assert!(
        line.ends_with(", sent by the server over WebSocket."),
        "{line}"
    );
    assert_eq!(browser.console(), NOTHING);
}

#[test]
fn pages_runs_in_a_browser() {
    let browser = Browser::open();
    let (_example, port) = start("pages");
    let tab = browser.tab(&format!("http://127.0.0.1:{port}/"));
    tab.script(
        "return new Promise(done => ws.readyState === 1 ? done() : ws.addEventListener('open', done))",
    );
    tab.type_text("#said", "Zoë says hi\n");
    tab.wait_text("#shouted", "ZOË SAYS HI");
    assert_eq!(browser.console(), [""; 0]);
}
