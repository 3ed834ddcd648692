//! Python as the client of our applications.

use super::*;

/// A daemon whose every path is `app`, and its URL.
#[track_caller]
fn serve(app: &str, more: &[&str]) -> (Daemon, String) {
    let listen = format!("{app}=127.0.0.1:0");
    let daemon = plainws(&[&["serve", "--listen", &listen], more].concat());
    let url = url(&daemon, app);
    (daemon, url)
}

#[track_caller]
fn url(daemon: &Daemon, app: &str) -> String {
    let port = url_port(&daemon.wait_line(&format!("{app} at http://")));
    format!("ws://127.0.0.1:{port}/")
}

/// What a script prints, one JSON value a line. JSON, as it is ASCII in every locale.
#[track_caller]
fn told(script: &str, args: &[&str]) -> Vec<Value> {
    let output = run(script, args);
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("printed: {output}"));
    output.lines().map(parse).collect()
}

/// The tutorial's client, three names after the URL.
const HELLO_ASYNC: &str = r#"
import asyncio, json, sys
import websockets

async def hello(uri, name):
    async with websockets.connect(uri) as websocket:
        await websocket.send(name)
        greeting = await websocket.recv()
        await websocket.wait_closed()
    print(json.dumps([greeting, websocket.close_code, websocket.close_reason]))

for name in json.loads(sys.argv[2]):
    asyncio.run(hello(sys.argv[1], name))
"#;

const HELLO_SYNC: &str = r#"
import json, sys
from websockets.sync.client import connect
from websockets.exceptions import ConnectionClosedOK

for name in json.loads(sys.argv[2]):
    with connect(sys.argv[1]) as websocket:
        websocket.send(name)
        greeting = websocket.recv()
        try:
            websocket.recv()
        except ConnectionClosedOK as closed:
            assert closed.rcvd_then_sent
    print(json.dumps([greeting, websocket.close_code, websocket.close_reason]))
"#;

#[track_caller]
fn greets(client: &str) {
    let (_daemon, url) = serve("hello", &[]);
    let names = ["Rust", "", "Zoë 世界 👋", "a\nb\u{0}\u{1b}"];
    let greetings = names.map(|name| json!([format!("Hello {name}!"), 1000, ""]));
    assert_eq!(told(client, &[&url, &json!(names).to_string()]), greetings);
}

#[test]
fn hello_greets_the_tutorials_client_and_closes_with_1000() {
    greets(HELLO_ASYNC);
}

#[test]
fn hello_greets_a_client_of_the_sync_api() {
    greets(HELLO_SYNC);
}

#[test]
fn hello_greets_by_a_name_that_comes_in_fragments() {
    let (_daemon, url) = serve("hello", &[]);
    // A list is sent as one message in fragments.
    let names = json!([["R", "", "us", "t"], ["only one"]]).to_string();
    let expected = ["Hello Rust!", "Hello only one!"].map(|text| json!([text, 1000, ""]));
    assert_eq!(told(HELLO_SYNC, &[&url, &names]), expected);
}

#[test]
fn hello_greets_the_interactive_client() {
    let python = python();
    let (_daemon, url) = serve("hello", &[]);
    // What the README and the examples' headers say to type; cat keeps its stdin open.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"{ echo Rust; cat; } | "$0" -u -m websockets "$1""#]);
    shell.arg(python).arg(&url);
    let client = Daemon::spawn_group(shell);
    client.wait_line("< Hello Rust!");
    client.wait_line("Connection closed: 1000 (OK).");
}

/// Each client notes when it began to connect, when its texts arrived, and the texts.
const CLOCK: &str = r#"
import asyncio, json, os, sys, time
import websockets

async def client(uri, texts):
    seen, began = [], time.time()
    async with websockets.connect(uri) as websocket:
        while len(seen) < texts:
            text = await websocket.recv()
            seen.append([time.time(), text])
    # The block has been left: that took no pause of the server.
    return {"began": began, "seen": seen, "closing": time.time() - seen[-1][0]}

async def clients(uri, count, texts):
    return await asyncio.gather(*(client(uri, texts) for _ in range(count)))

os.environ["TZ"] = sys.argv[4]
time.tzset()
for result in asyncio.run(clients(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))):
    for arrived, text in result["seen"]:
        said, _, rest = text.partition(",")
        result.setdefault("rests", []).append(rest)
        # As this C library writes a time between connecting and now.
        times = range(int(result["began"]), int(arrived) + 1)
        result.setdefault("is_ctime", []).append(said in map(time.ctime, times))
        parsed = time.mktime(time.strptime(said, "%a %b %d %H:%M:%S %Y"))
        result.setdefault("ages", []).append(arrived - parsed)
    print(json.dumps(result))
"#;

/// A time zone far from the machine's, in a form that needs no files.
const ZONE: &str = "IST-5:30";

#[test]
fn clock_tells_local_time_as_ctime_at_random_intervals() {
    let mut command = plainws_command(&["serve", "--listen", "clock=127.0.0.1:0"]);
    command.env("TZ", ZONE);
    let daemon = Daemon::spawn(command);
    let url = url(&daemon, "clock");
    let clients = told(CLOCK, &[&url, "6", "4", ZONE]);
    assert_eq!(clients.len(), 6);
    let mut gaps = Vec::new();
    for client in &clients {
        for rest in client["rests"].as_array().unwrap() {
            assert_eq!(rest, " sent by the server over WebSocket.", "{client}");
        }
        assert_eq!(
            client["is_ctime"],
            json!([true, true, true, true]),
            "{client}"
        );
        for age in client["ages"].as_array().unwrap() {
            assert!((-1.0..10.0).contains(&age.as_f64().unwrap()), "{client}");
        }
        let seen = client["seen"].as_array().unwrap();
        let times: Vec<f64> = seen.iter().map(|s| s[0].as_f64().unwrap()).collect();
        gaps.extend(times.windows(2).map(|pair| pair[1] - pair[0]));
    }
    // Up to 3 s, and what a busy machine adds to some.
    assert_eq!(gaps.len(), 18);
    gaps.sort_by(f64::total_cmp);
    assert!(gaps[13] < 3.5 && gaps[17] < 10.0, "{gaps:?}");
    assert!(gaps[13] - gaps[4] > 0.2, "not at random: {gaps:?}");
}

#[test]
fn clock_tells_the_time_at_once_and_lets_its_client_go_at_once() {
    let (_daemon, url) = serve("clock", &[]);
    // Were there a pause before the first text or after the goodbye, twelve clients would not all
    // be so fast, not in one round of a thousand; again, as a machine may be busy just now.
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let clients = told(CLOCK, &[&url, "12", "1", "UTC0"]);
        let seconds = clients.iter().map(|client| {
            let arrived = client["seen"][0][0].as_f64().unwrap();
            let first = arrived - client["began"].as_f64().unwrap();
            first.max(client["closing"].as_f64().unwrap())
        });
        let slowest = seconds.fold(0.0_f64, f64::max);
        if slowest < 1.5 {
            return;
        }
        rounds.push(slowest);
    }
    panic!("the slowest of 12 clients waited {rounds:?} s");
}

/// Two of the tutorial's clients, one after the other.
const COUNTER: &str = r#"
import asyncio, json, sys
import websockets

async def main(uri):
    async with websockets.connect(uri) as ada:
        print(json.dumps(["ada", await ada.recv(), await ada.recv()]))
        async with websockets.connect(uri) as bob:
            print(json.dumps(["bob", await bob.recv(), await bob.recv()]))
            print(json.dumps(["ada", await ada.recv()]))
            for sender, action in (bob, "plus"), (ada, "plus"), (ada, "minus"):
                await sender.send(json.dumps({"action": action}))
                print(json.dumps([action, await ada.recv(), await bob.recv()]))
            await ada.send("nonsense")
            print(json.dumps(["error", json.loads(await ada.recv())["type"]]))
        print(json.dumps(["ada", await ada.recv()]))

asyncio.run(main(sys.argv[1]))
"#;

#[test]
fn counter_serves_two_of_the_tutorials_clients() {
    let (_daemon, url) = serve("counter", &[]);
    let users = |count: u32| format!(r#"{{"type":"users","count":{count}}}"#);
    let state = |value: i32| format!(r#"{{"type":"state","value":{value}}}"#);
    let expected = [
        json!(["ada", users(1), state(0)]),
        json!(["bob", users(2), state(0)]),
        json!(["ada", users(2)]),
        json!(["plus", state(1), state(1)]),
        json!(["plus", state(2), state(2)]),
        json!(["minus", state(1), state(1)]),
        json!(["error", "error"]),
        json!(["ada", users(1)]),
    ];
    assert_eq!(told(COUNTER, &[&url]), expected);
}

const UNTIL_THE_END: &str = r#"
import json, sys
from websockets.sync.client import connect

with connect(sys.argv[1]) as websocket:
    print(json.dumps([websocket.recv(), websocket.recv()]))
    for message in websocket: # ends quietly on a normal close
        print(json.dumps(message))
print(json.dumps([websocket.close_code, websocket.close_reason]))
"#;

#[test]
fn a_client_is_told_1001_when_the_daemon_stops() {
    let (mut daemon, url) = serve("counter", &[]);
    let mut client = spawn(UNTIL_THE_END, &[&url]);
    client.wait_line("state");
    daemon.signal("TERM");
    assert!(daemon.wait_exit(PATIENCE).success(), "{}", daemon.report());
    assert!(client.wait_exit(PATIENCE).success(), "{}", client.report());
    let last = client.stdout_lines().pop().unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last, json!([1001, "server is shutting down"]));
}

const PINGS: &str = r#"
import asyncio, json, sys
import websockets

async def main(uri):
    async with websockets.connect(uri, ping_interval=0.1, ping_timeout=20) as websocket:
        pong = await websocket.ping(b"any bytes \x00\xff")
        print(json.dumps(["waiter", 0 < await pong < 20]))
        # Keepalive of this side, which measures, too.
        first = websocket.latency
        while websocket.latency == first:
            await asyncio.sleep(0.01)
        print(json.dumps(["latency", 0 < websocket.latency < 20]))
        # The other side's pings are answered meanwhile, by the library.
        await websocket.wait_closed()
        print(json.dumps(["closed", websocket.close_code]))

asyncio.run(main(sys.argv[1]))
"#;

#[test]
fn keepalive_pings_are_answered_in_both_directions() {
    let (mut daemon, url) = serve("counter", &["-vv", "--ping-interval", "100ms"]);
    let mut client = spawn(PINGS, &[&url]);
    assert_eq!(client.wait_line("waiter"), r#"["waiter", true]"#);
    assert_eq!(client.wait_line("latency"), r#"["latency", true]"#);
    wait_until("three pongs of the client in the log", PATIENCE, || {
        let lines = daemon.lines();
        let pongs = lines.iter().filter(|line| line.contains(" < PONG"));
        (pongs.count() >= 3).then_some(())
    });
    assert!(client.is_running(), "{}", client.report());
    daemon.signal("TERM");
    assert!(daemon.wait_exit(PATIENCE).success(), "{}", daemon.report());
    assert!(client.wait_exit(PATIENCE).success(), "{}", client.report());
    client.wait_line(r#"["closed", 1001]"#);
}

/// Names of these lengths, and how each connection ends; `max_size` is the client's own.
const SIZES: &str = r#"
import json, sys
from websockets.sync.client import connect
from websockets.exceptions import ConnectionClosed

for size in json.loads(sys.argv[2]):
    with connect(sys.argv[1], max_size=json.loads(sys.argv[3])) as websocket:
        try:
            websocket.send("x" * size)
            print(json.dumps([size, len(websocket.recv())]))
        except ConnectionClosed as closed:
            frames = [frame and frame.code for frame in (closed.rcvd, closed.sent)]
            print(json.dumps([size, type(closed).__name__, *frames, closed.rcvd_then_sent]))
"#;

#[test]
fn a_message_above_the_limit_is_closed_with_1009() {
    let (_daemon, url) = serve("hello", &[]);
    let lengths = "[65536, 65537, 1000000]";
    let expected = [
        json!([65536, 65543]),
        json!([65537, "ConnectionClosedError", 1009, 1009, true]),
        json!([1_000_000, "ConnectionClosedError", 1009, 1009, true]),
    ];
    assert_eq!(told(SIZES, &[&url, lengths, "null"]), expected);
}

#[test]
fn max_size_moves_the_limit() {
    let (_daemon, url) = serve("hello", &["--max-size", "2MiB"]);
    let lengths = "[2097152, 2097153]";
    let expected = [
        json!([2_097_152, 2_097_159]),
        json!([2_097_153, "ConnectionClosedError", 1009, 1009, true]),
    ];
    assert_eq!(told(SIZES, &[&url, lengths, "null"]), expected);
}

#[test]
fn a_client_may_refuse_what_is_too_large_for_it() {
    let (daemon, url) = serve("hello", &["-v"]);
    // The greeting is longer than the name.
    let said = told(SIZES, &[&url, "[1000]", "1000"]);
    let (error, sent) = (&said[0][1], &said[0][3]);
    assert_eq!(
        (error, sent),
        (&json!("ConnectionClosedError"), &json!(1009))
    );
    // The handler had returned, so both sides close at once, and either may be the first.
    let line = daemon.wait_line(" closed ");
    assert!(line.contains("received 1009 (message too big)"), "{line}");
    assert!(line.contains("sent 1000 (OK)"), "{line}");
}

const OFFERS: &str = r#"
import json, sys
from websockets.sync.client import connect

with connect(
    sys.argv[1],
    compression="deflate",
    subprotocols=["chat", "superchat"],
    origin="null",
    user_agent_header="Tutorial/1",
    additional_headers={"Cookie": "a=b; c=d", "X-Forwarded-For": "10.0.0.1"},
) as websocket:
    asked = websocket.request.headers
    assert "permessage-deflate" in asked["Sec-WebSocket-Extensions"]
    answer = websocket.response.headers
    print(json.dumps([websocket.protocol.extensions, websocket.subprotocol, "Server" in answer]))
    # Long enough for a client that may compress to do so.
    websocket.send("x" * 10000)
    print(json.dumps(websocket.recv() == "Hello " + "x" * 10000 + "!"))
"#;

#[test]
fn compression_and_subprotocols_may_be_offered_and_are_not_taken() {
    let (_daemon, url) = serve("hello", &[]);
    let said = told(OFFERS, &[&url]);
    assert_eq!(said[0][0], json!([]), "no extension");
    assert_eq!(said[0][1], Value::Null, "no subprotocol");
    assert_eq!(said[1], json!(true));
}

const REFUSED: &str = r#"
import json, sys
from websockets.sync.client import connect
from websockets.exceptions import InvalidStatus

try:
    connect(sys.argv[1], origin="https://evil.example")
except InvalidStatus as refused:
    response = refused.response
    print(json.dumps([response.status_code, bytes(response.body).decode()]))
"#;

#[test]
fn a_refusal_reaches_the_client_with_status_and_sentence() {
    let (_daemon, url) = serve("hello", &[]);
    let said = told(REFUSED, &[&url]);
    assert_eq!(said[0][0], 403);
    let body = said[0][1].as_str().unwrap();
    assert!(body.contains("Origin"), "{body:?}");
}
