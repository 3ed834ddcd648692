//! Python websockets 17 at the other end: the tutorial's clients with our three applications, and
//! its servers with our client.

use std::process::Command;
use std::time::Duration;

use plainws::{Client, CloseCode, Closed, Connection, Error, Message};
use serde_json::{Value, json};

use crate::support::process::{Daemon, plainws, plainws_command, url_port};
use crate::support::python::{python, run, spawn};
use crate::support::tools::{PATIENCE, wait_until};

// ---- Python as the client --------------------------------------------------------------------

/// A daemon whose every path is `app`, and its URL; `None` when real peers are skipped.
#[track_caller]
fn serve(app: &str, more: &[&str]) -> Option<(Daemon, String)> {
    python()?;
    let listen = format!("{app}=127.0.0.1:0");
    let daemon = plainws(&[&["serve", "--listen", &listen], more].concat());
    let url = url(&daemon, app);
    Some((daemon, url))
}

#[track_caller]
fn url(daemon: &Daemon, app: &str) -> String {
    let port = url_port(&daemon.wait_line(&format!("{app} at http://")));
    format!("ws://127.0.0.1:{port}/")
}

/// What a script prints, one JSON value a line. JSON, as it is ASCII in every locale.
#[track_caller]
fn told(script: &str, args: &[&str]) -> Vec<Value> {
    let output = run(script, args).expect("asked before");
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
    let Some((_daemon, url)) = serve("hello", &[]) else {
        return;
    };
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
    let Some((_daemon, url)) = serve("hello", &[]) else {
        return;
    };
    // A list is sent as one message in fragments.
    let names = json!([["R", "", "us", "t"], ["only one"]]).to_string();
    let expected = ["Hello Rust!", "Hello only one!"].map(|text| json!([text, 1000, ""]));
    assert_eq!(told(HELLO_SYNC, &[&url, &names]), expected);
}

#[test]
fn hello_greets_the_interactive_client() {
    let Some(python) = python() else { return };
    let Some((_daemon, url)) = serve("hello", &[]) else {
        return;
    };
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
    if python().is_none() {
        return;
    }
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
    let Some((_daemon, url)) = serve("clock", &[]) else {
        return;
    };
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
    let Some((_daemon, url)) = serve("counter", &[]) else {
        return;
    };
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
    let Some((mut daemon, url)) = serve("counter", &[]) else {
        return;
    };
    let mut client = spawn(UNTIL_THE_END, &[&url]).unwrap();
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
    let Some((mut daemon, url)) = serve("counter", &["-vv", "--ping-interval", "100ms"]) else {
        return;
    };
    let mut client = spawn(PINGS, &[&url]).unwrap();
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
    let Some((_daemon, url)) = serve("hello", &[]) else {
        return;
    };
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
    let Some((_daemon, url)) = serve("hello", &["--max-size", "2MiB"]) else {
        return;
    };
    let lengths = "[2097152, 2097153]";
    let expected = [
        json!([2_097_152, 2_097_159]),
        json!([2_097_153, "ConnectionClosedError", 1009, 1009, true]),
    ];
    assert_eq!(told(SIZES, &[&url, lengths, "null"]), expected);
}

#[test]
fn a_client_may_refuse_what_is_too_large_for_it() {
    let Some((daemon, url)) = serve("hello", &["-v"]) else {
        return;
    };
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
    let Some((_daemon, url)) = serve("hello", &[]) else {
        return;
    };
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
    let Some((_daemon, url)) = serve("hello", &[]) else {
        return;
    };
    let said = told(REFUSED, &[&url]);
    assert_eq!(said[0][0], 403);
    let body = said[0][1].as_str().unwrap();
    assert!(body.contains("Origin"), "{body:?}");
}

// ---- Python as the server --------------------------------------------------------------------

const ASYNC_SERVER: &str = r#"
import asyncio, http, json
import websockets

HANDLER

async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, OPTIONS) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"#;

const SYNC_SERVER: &str = r#"
from websockets.sync.server import serve

HANDLER

with serve(handler, "127.0.0.1", 0, OPTIONS) as server:
    print(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/")
    server.serve_forever()
"#;

/// Starts a server and gives its URL; `None` when real peers are skipped. `options` are keyword
/// arguments of `serve`.
#[track_caller]
fn server(server: &str, handler: &str, options: &str) -> Option<(Daemon, String)> {
    let script = server.replace("HANDLER", handler);
    let daemon = spawn(&script.replace("OPTIONS", options), &[])?;
    let url = daemon.wait_line("ws://");
    Some((daemon, url))
}

#[track_caller]
fn next(ws: &Connection) -> Message {
    let message = ws.recv_timeout(PATIENCE).expect("the connection is open");
    message.unwrap_or_else(|| panic!("awaited a message for {PATIENCE:?}"))
}

/// How the connection ends, past what is received before.
#[track_caller]
fn end(ws: &Connection) -> Closed {
    loop {
        match ws.recv_timeout(PATIENCE) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the server has not closed within {PATIENCE:?}"),
            Err(Error::Closed(closed)) => return *closed,
            Err(error) => panic!("awaited the end of the connection, got {error}"),
        }
    }
}

const ASYNC_ECHO: &str = r#"
async def handler(websocket):
    async for message in websocket:
        await websocket.send(message)
"#;

const SYNC_ECHO: &str = r#"
def handler(websocket):
    for message in websocket:
        websocket.send(message)
"#;

/// What an echo sends back: all kinds, empty ones, and each length of header.
#[track_caller]
fn echoes(ws: &Connection) {
    let mebibyte: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
    let messages = [
        Message::from("Rust"),
        Message::from(""),
        Message::from(&[]),
        Message::from("Zoë 世界 👋\0\r\n"),
        Message::from(&[0, 255, 128]),
        Message::from("x".repeat(125)),
        Message::from("x".repeat(126)),
        Message::from(vec![7; 65_535]),
        Message::from(vec![7; 65_536]),
        Message::from("é".repeat(1 << 19)),
        Message::from(mebibyte),
    ];
    for message in messages {
        ws.send(message.clone()).unwrap();
        assert!(next(ws) == message, "another message than {message:.40}");
    }
    ws.close(CloseCode::NORMAL, "done").unwrap();
    let closed = ws.closed();
    assert!(closed.is_normal() && !closed.received_first, "{closed}");
}

#[test]
fn our_client_talks_with_an_echo_server() {
    let echo = server(ASYNC_SERVER, ASYNC_ECHO, "max_size=2**20, compression=None");
    let Some((_server, url)) = echo else { return };
    echoes(&plainws::connect(&url).unwrap());
}

#[test]
fn our_client_talks_with_a_server_that_could_compress() {
    let echo = server(ASYNC_SERVER, ASYNC_ECHO, "compression='deflate'");
    let Some((_server, url)) = echo else { return };
    echoes(&plainws::connect(&url).unwrap());
}

#[test]
fn our_client_talks_with_an_echo_server_of_the_sync_api() {
    let Some((_server, url)) = server(SYNC_SERVER, SYNC_ECHO, "max_size=2**20") else {
        return;
    };
    echoes(&plainws::connect(&url).unwrap());
}

#[test]
fn our_client_keeps_the_order_of_many_messages() {
    let Some((_server, url)) = server(ASYNC_SERVER, ASYNC_ECHO, "") else {
        return;
    };
    let ws = plainws::connect(&url).unwrap();
    for number in 0..1000 {
        ws.write(number.to_string()).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(next(&ws), Message::from(number.to_string()));
    }
}

#[test]
fn our_client_learns_code_and_reason_of_the_server() {
    let handler = r#"
async def handler(websocket):
    await websocket.send("first")
    await websocket.close(4001, "Zo\u00eb is tired")
"#;
    let Some((_server, url)) = server(ASYNC_SERVER, handler, "") else {
        return;
    };
    let ws = plainws::connect(&url).unwrap();
    assert_eq!(next(&ws), Message::from("first"));
    let closed = end(&ws);
    let frame = closed.received.as_ref().expect("a close frame came");
    assert_eq!(
        (frame.code, &*frame.reason),
        (CloseCode(4001), "Zoë is tired")
    );
    assert!(closed.received_first && closed.lost.is_none(), "{closed}");
    assert_eq!(closed.code(), CloseCode(4001));
    assert!(!closed.is_normal(), "4001 is not 1000: {closed}");
    let sent = ws.send("more").expect_err("nothing can be sent any more");
    assert!(sent.is_closed(), "{sent}");
}

#[test]
fn our_clients_messages_end_quietly_when_the_server_returns() {
    let handler = r#"
async def handler(websocket):
    for number in range(3):
        await websocket.send(str(number))
"#;
    let Some((_server, url)) = server(ASYNC_SERVER, handler, "") else {
        return;
    };
    let ws = plainws::connect(&url).unwrap();
    let messages: plainws::Result<Vec<Message>> = ws.into_iter().collect();
    let messages = messages.expect("1000 is no error");
    assert_eq!(messages, ["0", "1", "2"].map(Message::from));
}

#[test]
fn our_clients_messages_end_with_an_error_when_the_server_fails() {
    let handler = r#"
async def handler(websocket):
    await websocket.send("so far so good")
    raise RuntimeError("that was it")
"#;
    let Some((_server, url)) = server(ASYNC_SERVER, handler, "logger=None") else {
        return;
    };
    let ws = plainws::connect(&url).unwrap();
    let mut messages = ws.into_iter();
    let first = messages.next().unwrap().unwrap();
    assert_eq!(first, Message::from("so far so good"));
    let failed = messages.next().expect("an end that is told").unwrap_err();
    let closed = failed.closed().expect("the connection is closed");
    assert_eq!(closed.code(), CloseCode::INTERNAL_ERROR, "{closed}");
    assert!(messages.next().is_none());
}

#[test]
fn our_client_learns_that_the_server_was_killed() {
    let Some((server, url)) = server(ASYNC_SERVER, ASYNC_ECHO, "") else {
        return;
    };
    let ws = plainws::connect(&url).unwrap();
    ws.send("there?").unwrap();
    assert_eq!(next(&ws), Message::from("there?"));
    server.signal("KILL");
    let closed = end(&ws);
    assert_eq!(closed.received, None);
    assert_eq!(closed.code(), CloseCode::ABNORMAL);
    assert!(closed.lost.is_some(), "{closed}");
}

#[test]
fn our_client_is_told_what_is_too_large_for_the_server() {
    let Some((_server, url)) = server(ASYNC_SERVER, ASYNC_ECHO, "max_size=1000") else {
        return;
    };
    let ws = plainws::connect(&url).unwrap();
    ws.send("x".repeat(1000)).unwrap();
    assert_eq!(next(&ws).len(), 1000);
    ws.send("x".repeat(1001)).unwrap();
    assert_eq!(end(&ws).code(), CloseCode::TOO_BIG);
}

#[test]
fn our_client_refuses_what_is_too_large_for_it() {
    let handler = r#"
async def handler(websocket):
    try:
        await websocket.send("x" * 1000)
        await websocket.send("x" * 1001)
        await websocket.wait_closed()
    finally:
        print("closed", websocket.close_code)
"#;
    let Some((server, url)) = server(ASYNC_SERVER, handler, "") else {
        return;
    };
    let ws = Client::builder().max_size(1000).connect(&url).unwrap();
    assert_eq!(next(&ws).len(), 1000);
    let closed = end(&ws);
    assert_eq!(closed.code(), CloseCode::TOO_BIG, "{closed}");
    drop(ws);
    server.wait_line("closed 1009");
}

#[test]
fn our_client_answers_pings_and_measures_its_own() {
    let handler = r#"
async def handler(websocket):
    for data in (b"", b"any bytes \x00\xff", b"x" * 125):
        await (await websocket.ping(data))
    await websocket.send("answered")
    async for message in websocket:
        pass
"#;
    // Also every 50 ms from the library; without answers it would close with 1011.
    let options = "ping_interval=0.05, ping_timeout=20";
    let Some((_server, url)) = server(ASYNC_SERVER, handler, options) else {
        return;
    };
    let client = Client::builder().ping_interval(Duration::from_millis(100));
    let ws = client.connect(&url).unwrap();
    assert_eq!(ws.latency(), None, "no ping was answered yet");
    assert_eq!(next(&ws), Message::from("answered"));
    let latency = wait_until("the answer to a keepalive ping", PATIENCE, || {
        // Answers are seen by a thread that receives.
        assert_eq!(ws.recv_timeout(Duration::from_millis(10)).unwrap(), None);
        ws.latency()
    });
    assert!(latency < PATIENCE && !latency.is_zero());
    // One of our own changes it.
    ws.ping().unwrap();
    wait_until("another latency", PATIENCE, || {
        assert_eq!(ws.recv_timeout(Duration::from_millis(10)).unwrap(), None);
        ws.latency().filter(|now| *now != latency)
    });
}

#[test]
fn our_client_learns_why_a_server_refuses() {
    let handler = r#"
async def handler(websocket):
    pass

def process_request(connection, request):
    if request.path == "/closed":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "members only, Zo\u00eb\n")
    if request.path == "/empty":
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "")
    if request.path == "/long":
        return connection.respond(http.HTTPStatus.NOT_FOUND, "x" * 100_000)
"#;
    let Some((_server, url)) = server(ASYNC_SERVER, handler, "process_request=process_request")
    else {
        return;
    };
    let refused = |path: &str| match plainws::connect(&format!("{url}{path}")) {
        Err(Error::Refused(refused)) => (refused.status, refused.body.clone(), refused.to_string()),
        other => panic!("awaited a refusal of /{path}, got {other:?}"),
    };
    let (status, body, shown) = refused("closed");
    assert_eq!((status, &*body), (403, "members only, Zoë\n"));
    assert_eq!(shown, "server answered HTTP 403: members only, Zoë");
    let (status, body, shown) = refused("empty");
    assert_eq!((status, &*body), (503, ""));
    assert_eq!(shown, "server answered HTTP 503");
    let (status, body, shown) = refused("long");
    assert_eq!((status, body.len()), (404, 4096));
    assert!(shown.len() < 300, "{shown}");
    // Anything else is open.
    end(&plainws::connect(&format!("{url}open")).unwrap());
}

#[test]
fn a_server_sees_what_our_client_asks_for() {
    let handler = r#"
async def handler(websocket):
    request = websocket.request
    names = ["Host", "Origin", "X-Twice", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"]
    headers = {name: request.headers.get_all(name) for name in names}
    await websocket.send(json.dumps([request.path, headers]))
"#;
    let Some((_server, url)) = server(ASYNC_SERVER, handler, "origins=['https://app.example']")
    else {
        return;
    };
    let client = Client::builder()
        .header("Origin", "https://app.example")
        .header("X-Twice", "1")
        .header("X-Twice", "2");
    let ws = client.connect(&format!("{url}a/b%20c?d=e&f")).unwrap();
    let said: Value = serde_json::from_slice(next(&ws).as_bytes()).unwrap();
    let host = url.trim_start_matches("ws://").trim_end_matches('/');
    let expected = json!(["/a/b%20c?d=e&f", {
        "Host": [host],
        "Origin": ["https://app.example"],
        "X-Twice": ["1", "2"],
        "Sec-WebSocket-Protocol": [],
        "Sec-WebSocket-Extensions": [],
    }]);
    assert_eq!(said, expected);
    let other = Client::builder().header("Origin", "https://evil.example");
    let refused = other.connect(&url).expect_err("another origin");
    assert!(
        matches!(refused, Error::Refused(ref r) if r.status == 403),
        "{refused}"
    );
}

#[test]
fn our_clients_goodbye_reaches_the_server() {
    let handler = r#"
async def handler(websocket):
    try:
        async for message in websocket:
            print("message", message)
    finally:
        print("closed", websocket.close_code, websocket.close_reason)
"#;
    let Some((server, url)) = server(ASYNC_SERVER, handler, "") else {
        return;
    };
    let ws = plainws::connect(&url).unwrap();
    ws.write("queued before the close").unwrap();
    ws.close(CloseCode(3456), "see you").unwrap();
    server.wait_line("message queued before the close");
    server.wait_line("closed 3456 see you");
    // The last handle that is dropped closes with 1000.
    drop(plainws::connect(&url).unwrap());
    server.wait_line("closed 1000");
}
