//! Topics and streams with the programs that people have: Python's requests and websockets, curl, and a
//! browser's EventSource.

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::python;
use crate::support::tools::require;
use crate::topics_pages::{send, serve, url, wait_script};

const SCRIPT: &str = r#"
import sys, requests
from websockets.sync.client import connect
port = sys.argv[1]
http, ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
lamp = http + "/topic/room/lamp"
assert requests.get(lamp).status_code == 404
set = requests.put(lamp, "on", headers={"If-None-Match": "*"})
assert (set.status_code, set.headers["ETag"]) == (204, '"1"'), set
assert requests.put(lamp, "off", headers={"If-Match": '"7"'}).status_code == 412
assert requests.get(lamp, headers={"If-None-Match": '"1"'}).status_code == 304
def pieces():
    yield b"o"
    yield b"ff"
assert requests.put(lamp, data=pieces()).status_code == 204  # in chunks
assert requests.get(lamp).text == "off"
with connect(ws + "/topic/room/lamp") as one, connect(ws + "/topic/room/*") as all:
    assert one.recv() == "off"
    assert '"value":"off"' in all.recv()
    one.send(b"\x00\xff")
    assert one.recv() == b"\x00\xff"
    assert '"base64":"AP8="' in all.recv()
patched = requests.patch(http + "/topic/doc", json={"a": 1}, headers={"Content-Type": "application/merge-patch+json"})
assert patched.status_code == 204, patched
assert requests.get(http + "/topic/doc").json() == {"a": 1}
with connect(ws + "/stream/log") as log:
    assert requests.post(http + "/stream/log", "line").status_code == 204
    assert log.recv() == "line"
assert requests.delete(lamp).status_code == 204
with requests.get(http + "/topic/doc", headers={"Accept": "text/event-stream"}, stream=True) as events:
    lines = events.iter_lines(chunk_size=1, decode_unicode=True)
    assert [next(lines) for _ in range(2)] == ["id: 1", 'data: {"a":1}']
print("fine")
"#;

#[test]
fn python_sets_reads_patches_and_listens() {
    let (_daemon, port) = serve(0, &[]);
    assert_eq!(python::run(SCRIPT, &[&port.to_string()]), "fine");
}

#[test]
fn an_event_source_gets_what_it_missed() {
    let (_daemon, port) = serve(0, &[]);
    let browser = Browser::open();
    let tab = browser.tab(&url(port, "/topics"));
    let open = "window.got = []; window.events = new EventSource('/stream/log'); \
        events.onmessage = (event) => got.push(event.lastEventId + ' ' + event.data); return null";
    tab.script(open);
    wait_script(
        &tab,
        "the stream to be open",
        "return events.readyState === 1",
    );
    for n in 1..=3 {
        send(port, "POST", "/stream/log", &format!("line {n}"));
    }
    wait_script(&tab, "three events", "return got.length === 3");
    let got = tab.script("return got");
    assert_eq!(got, json!(["1 line 1", "2 line 2", "3 line 3"]));
    tab.script("events.close(); return null");
}

#[test]
fn curl_waits_for_100_continue_and_for_events() {
    let (_daemon, port) = serve(0, &["--max-size", "1MiB"]);
    let curl = require("curl", "apt-get install curl");
    let body = "x".repeat(900_000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, &body).unwrap();
    // So large that curl asks first.
    let data = format!("@{}", file.display());
    let topic = url(port, "/topic/large");
    let args = [
        "-sS",
        "-w",
        "%{http_code}",
        "-H",
        "Expect: 100-continue",
        "--data-binary",
        &data,
        &topic,
    ];
    let run = |args: &[&str]| {
        let output = std::process::Command::new(&curl)
            .args(args)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&args), "204");
    assert_eq!(run(&["-sS", &topic]), body);
    let accept = "Accept: text/event-stream";
    let streamed = run(&["-sSN", "--max-time", "1", "-H", accept, &topic]);
    assert!(streamed.starts_with("id: 1\ndata: xxx"), "{:.40}", streamed);
}
