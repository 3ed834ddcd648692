//! Python websockets 17 at the other end, plain and over TLS: the tutorial's clients with our three
//! applications, and its servers with our client.

use std::process::Command;

use plainws::{Client, ClientBuilder, CloseCode, Connection, Error, Message, Server};
use serde_json::{Value, json};

use crate::support::certificates::LOCALHOST;
use crate::support::counter::{state, users};
use crate::support::files::Folder;
use crate::support::process::{Daemon, plainws_command, url_port};
use crate::support::python::{python, run, spawn};
use crate::support::raw;
use crate::support::servers::echo;
use crate::support::talk::{end, next, text};
use crate::support::tools::{PATIENCE, wait_until};

// ---- Python as the client ---------------------------------------------------------------------

/// A daemon whose every path is `app`, and its URL.
#[track_caller]
fn serve(app: &str, more: &[&str]) -> (Daemon, String) {
    let (daemon, port) = raw::serve(app, more);
    (daemon, format!("ws://127.0.0.1:{port}/"))
}

/// What a script prints, one JSON value a line. JSON, as it is ASCII in every locale.
#[track_caller]
fn told(script: &str, args: &[&str]) -> Vec<Value> {
    let output = run(script, args);
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("printed: {output}"));
    output.lines().map(parse).collect()
}

/// The tutorial's client, names after the URL.
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

#[test]
fn hello_greets_clients_of_each_kind() {
    let (_daemon, url) = serve("hello", &[]);
    let names = ["Rust", "", "Zoë 世界 👋", "a\nb\u{0}\u{1b}"];
    let greetings = names.map(|name| json!([format!("Hello {name}!"), 1000, ""]));
    for client in [HELLO_ASYNC, HELLO_SYNC] {
        assert_eq!(told(client, &[&url, &json!(names).to_string()]), greetings);
    }
    // A list is sent as one message in fragments.
    let names = json!([["R", "", "us", "t"], ["only one"]]).to_string();
    let expected = ["Hello Rust!", "Hello only one!"].map(|text| json!([text, 1000, ""]));
    assert_eq!(told(HELLO_SYNC, &[&url, &names]), expected);
    // What the README and the examples' headers say to type; cat keeps its stdin open.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"{ echo Rust; cat; } | "$0" -u -m websockets "$1""#]);
    shell.arg(python()).arg(&url);
    let client = Daemon::spawn_group(shell);
    client.wait_line("< Hello Rust!");
    client.wait_line("Connection closed: 1000 (OK).");
}

/// Texts as this C library writes a time between connecting and now.
const CLOCK: &str = r#"
import os, sys, time
from websockets.sync.client import connect

os.environ["TZ"] = sys.argv[2]
time.tzset()
began = int(time.time())
with connect(sys.argv[1]) as websocket:
    for _ in range(3):
        said, _, rest = websocket.recv().partition(",")
        assert rest == " sent by the server over WebSocket.", rest
        assert said in map(time.ctime, range(began, int(time.time()) + 1)), said
"#;

#[test]
fn clock_tells_local_time_as_ctime() {
    // A time zone far from the machine's, in a form that needs no files.
    let zone = "IST-5:30";
    let mut command = plainws_command(&["serve", "--listen", "clock=127.0.0.1:0"]);
    let daemon = Daemon::spawn({
        command.env("TZ", zone);
        command
    });
    let port = url_port(&daemon.wait_line("clock at "));
    run(CLOCK, &[&format!("ws://127.0.0.1:{port}/"), zone]);
}

/// Two of the tutorial's clients, and one that stays to the end.
const COUNTER: &str = r#"
import asyncio, json, sys
import websockets

async def main(uri):
    async with websockets.connect(uri, ping_interval=0.1, ping_timeout=20) as ada:
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
        pong = await ada.ping(b"any bytes \x00\xff")
        print(json.dumps(["pong", 0 < await pong < 20]))
        # Keepalive of this side, which measures, too; the other side's pings are answered meanwhile.
        first = ada.latency
        while ada.latency == first:
            await asyncio.sleep(0.01)
        async for message in ada: # ends quietly on a normal close
            print(json.dumps(message))
    print(json.dumps([ada.close_code, ada.close_reason]))

asyncio.run(main(sys.argv[1]))
"#;

#[test]
fn counter_serves_the_tutorials_clients_to_the_end() {
    let (mut daemon, url) = serve("counter", &["-vv", "--ping-interval", "100ms"]);
    let mut client = spawn(COUNTER, &[&url]);
    client.wait_line("pong");
    wait_until("three pongs of the client in the log", PATIENCE, || {
        let lines = daemon.lines();
        (lines.iter().filter(|line| line.contains(" < PONG")).count() >= 3).then_some(())
    });
    daemon.signal("TERM");
    assert!(daemon.wait_exit(PATIENCE).success(), "{}", daemon.report());
    assert!(client.wait_exit(PATIENCE).success(), "{}", client.report());
    let lines = client.stdout_lines();
    let told: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = [
        json!(["ada", users(1), state(0)]),
        json!(["bob", users(2), state(0)]),
        json!(["ada", users(2)]),
        json!(["plus", state(1), state(1)]),
        json!(["plus", state(2), state(2)]),
        json!(["minus", state(1), state(1)]),
        json!(["error", "error"]),
        json!(["ada", users(1)]),
        json!(["pong", true]),
        json!([1001, "server is shutting down"]),
    ];
    assert_eq!(told, expected);
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
            print(json.dumps([size, *frames, closed.rcvd_then_sent]))
"#;

#[test]
fn a_message_above_the_limit_of_either_side_is_closed_with_1009() {
    let (_daemon, url) = serve("hello", &["--max-size", "2MiB"]);
    let expected = [
        json!([2_097_152, 2_097_159]),
        json!([2_097_153, 1009, 1009, true]),
    ];
    assert_eq!(told(SIZES, &[&url, "[2097152, 2097153]", "null"]), expected);
    let (daemon, url) = serve("hello", &["-v"]);
    // The greeting is longer than the name.
    assert_eq!(told(SIZES, &[&url, "[1000]", "1000"])[0][2], 1009);
    // The handler had returned, so both sides close at once, and either may be the first.
    let line = daemon.wait_line(" closed ");
    assert!(line.contains("received 1009 (message too big)"), "{line}");
    assert!(line.contains("sent 1000 (OK)"), "{line}");
}

const OFFERS: &str = r#"
import json, sys
from websockets.sync.client import connect
from websockets.exceptions import InvalidStatus

with connect(
    sys.argv[1],
    compression="deflate",
    subprotocols=["chat", "superchat"],
    origin="null",
    additional_headers={"Cookie": "a=b; c=d", "X-Forwarded-For": "10.0.0.1"},
) as websocket:
    assert "permessage-deflate" in websocket.request.headers["Sec-WebSocket-Extensions"]
    print(json.dumps([websocket.protocol.extensions, websocket.subprotocol]))
    # Long enough for a client that may compress to do so.
    websocket.send("x" * 10000)
    assert websocket.recv() == "Hello " + "x" * 10000 + "!"
try:
    connect(sys.argv[1], origin="https://evil.example")
except InvalidStatus as refused:
    print(json.dumps([refused.response.status_code, b"Origin" in refused.response.body]))
"#;

#[test]
fn offers_that_are_not_taken_and_a_refusal_reach_the_client() {
    let (_daemon, url) = serve("hello", &[]);
    assert_eq!(
        told(OFFERS, &[&url]),
        [json!([[], null]), json!([403, true])]
    );
}

const ECHO_CLIENT: &str = r#"
import ssl, sys
from websockets.sync.client import connect

context = None
if sys.argv[2] != "plain":
    context = ssl.create_default_context(cafile=sys.argv[3])
    context.maximum_version = ssl.TLSVersion[sys.argv[2]]
with connect(sys.argv[1], ssl=context, max_size=2**21) as websocket:
    for size in [0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 70000, 2**20]:
        for message in (bytes(i % 251 for i in range(size)), "\u00e9" * (size // 2)):
            websocket.send(message)
            assert websocket.recv(timeout=20) == message, size
    # Many at once.
    for number in range(1000):
        websocket.send(str(number))
    assert [websocket.recv(timeout=20) for _ in range(1000)] == [str(n) for n in range(1000)]
    if context:
        assert websocket.socket.version().replace(".", "_") == sys.argv[2]
print(websocket.close_code)
"#;

/// Plain, and the versions of TLS as Python names them.
const SCHEMES: [&str; 3] = ["plain", "TLSv1_2", "TLSv1_3"];

#[test]
fn python_echoes_through_our_server_by_each_scheme() {
    let server = Server::builder(echo)
        .max_size(2 << 20)
        .listen("127.0.0.1:0");
    let server = server
        .listen_tls("127.0.0.1:0", &LOCALHOST.tls())
        .start()
        .unwrap();
    let folder = Folder::new();
    folder.write("ca.pem", LOCALHOST.pem());
    let ports = server
        .local_addrs()
        .iter()
        .map(|address| address.port().unwrap());
    let [plain, tls] = ports.collect::<Vec<_>>()[..] else {
        panic!("two listeners");
    };
    for scheme in SCHEMES {
        let url = match scheme {
            "plain" => format!("ws://127.0.0.1:{plain}/"),
            _ => format!("wss://localhost:{tls}/"),
        };
        assert_eq!(
            run(ECHO_CLIENT, &[&url, scheme, &folder.arg("ca.pem")]),
            "1000"
        );
    }
}

// ---- Python as the server ---------------------------------------------------------------------

const ASYNC_SERVER: &str = r#"
import asyncio, http, json, ssl, sys
import websockets
HANDLER
context = None
if sys.argv[1] != "plain":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    context.maximum_version = ssl.TLSVersion[sys.argv[1]]
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, ssl=context, OPTIONS) as server:
        print(f"localhost:{server.sockets[0].getsockname()[1]}/")
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"#;

const SYNC_SERVER: &str = r#"
from websockets.sync.server import basic_auth, serve
HANDLER
with serve(handler, "127.0.0.1", 0, OPTIONS) as server:
    print(f"localhost:{server.socket.getsockname()[1]}/")
    server.serve_forever()
"#;

const ASYNC_ECHO: &str = "
async def handler(websocket):
    async for message in websocket:
        await websocket.send(message)
";

const SYNC_ECHO: &str = "
def handler(websocket):
    for message in websocket:
        websocket.send(message)
";

/// Starts a server by a scheme and gives its URL. `options` are keyword arguments of `serve`.
#[track_caller]
fn by(scheme: &str, server: &str, handler: &str, options: &str) -> (Daemon, String) {
    let script = server
        .replace("HANDLER", handler)
        .replace("OPTIONS", options);
    let folder = Folder::new();
    folder.write("localhost.pem", LOCALHOST.combined());
    let daemon = spawn(&script, &[scheme, &folder.arg("localhost.pem")]);
    let place = daemon.wait_line("localhost:");
    let scheme = if scheme == "plain" { "ws" } else { "wss" };
    (daemon, format!("{scheme}://{place}"))
}

#[track_caller]
fn server(server: &str, handler: &str, options: &str) -> (Daemon, String) {
    by("plain", server, handler, options)
}

fn client() -> ClientBuilder {
    Client::builder().ca(LOCALHOST.pem()).max_size(2 << 20)
}

#[test]
fn our_client_talks_with_echo_servers_of_each_kind() {
    let plain = [
        (SYNC_SERVER, SYNC_ECHO, "max_size=2**20"),
        (ASYNC_SERVER, ASYNC_ECHO, "max_size=2**20, compression=None"),
    ];
    let mut servers: Vec<_> = plain
        .map(|(kind, echo, options)| server(kind, echo, options))
        .into();
    servers.extend(
        SCHEMES.map(|scheme| by(scheme, ASYNC_SERVER, ASYNC_ECHO, "compression='deflate'")),
    );
    let messages = [
        Message::from(""),
        Message::from("Zoë 世界 👋\0\r\n"),
        Message::from(&[0, 255, 128]),
        Message::from("x".repeat(125)),
        Message::from("x".repeat(126)),
        Message::from(vec![7; 16_385]),
        Message::from(vec![7; 65_535]),
        Message::from(vec![7; 65_536]),
        Message::from("é".repeat(1 << 19)),
    ];
    for (_server, url) in servers {
        let ws = client()
            .connect(&url)
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        for message in &messages {
            ws.send(message.clone()).unwrap();
            assert!(next(&ws) == *message, "another message than {message:.40}");
        }
        for number in 0..1000 {
            ws.write(number.to_string()).unwrap();
        }
        for number in 0..1000 {
            assert_eq!(text(&ws), number.to_string());
        }
        ws.close(CloseCode::NORMAL, "done").unwrap();
        let closed = ws.closed().expect("closed");
        assert!(closed.is_normal() && !closed.received_first, "{closed}");
    }
}

#[test]
fn our_client_learns_how_the_server_ends() {
    let handler = r#"
async def handler(websocket):
    path = websocket.request.path
    await websocket.send(path)
    if path == "/close":
        await websocket.close(4001, "Zo\u00eb is tired")
    if path == "/fail":
        raise RuntimeError("that was it")
    if path == "/wait":
        await websocket.recv()
    if path == "/large":
        await websocket.send("x" * 1001)
        await websocket.wait_closed()
        print("closed", websocket.close_code)
"#;
    let (server, url) = server(ASYNC_SERVER, handler, "logger=None, max_size=1000");
    let open = |path: &str| -> Connection {
        let ws = client()
            .max_size(1000)
            .connect(&format!("{url}{path}"))
            .unwrap();
        assert_eq!(text(&ws), format!("/{path}"));
        ws
    };
    for (path, code, received_first) in [
        ("return", CloseCode::NORMAL, true),
        ("close", CloseCode(4001), true),
        ("fail", CloseCode::INTERNAL_ERROR, true),
        ("large", CloseCode::TOO_BIG, false),
    ] {
        let ws = open(path);
        let closed = end(&ws);
        assert_eq!(
            (closed.code(), closed.received_first),
            (code, received_first),
            "{closed}"
        );
        assert!(closed.lost.is_none(), "{closed}");
        if path == "close" {
            assert_eq!(closed.received.unwrap().reason, "Zoë is tired");
        }
        assert!(ws.send("more").unwrap_err().is_closed());
    }
    server.wait_line("closed 1009");
    // What is too large for it, and that it was killed.
    let ws = open("wait");
    ws.send("x".repeat(1001)).unwrap();
    assert_eq!(end(&ws).code(), CloseCode::TOO_BIG);
    let ws = open("wait");
    server.signal("KILL");
    let closed = end(&ws);
    assert_eq!(
        (closed.code(), &closed.received),
        (CloseCode::ABNORMAL, &None)
    );
    assert!(closed.lost.is_some(), "{closed}");
}

#[test]
fn our_client_answers_pings_and_its_goodbye_reaches_the_server() {
    let handler = r#"
async def handler(websocket):
    await (await websocket.ping(b"\x00\xff"))
    await websocket.send("answered")
    try:
        async for message in websocket:
            print("message", message)
    finally:
        print("closed", websocket.close_code, websocket.close_reason)
"#;
    let (server, url) = server(ASYNC_SERVER, handler, "ping_interval=0.1, ping_timeout=20");
    let ws = plainws::connect(&url).unwrap();
    assert_eq!(text(&ws), "answered");
    ws.ping().unwrap();
    let latency = wait_until("the answer to a ping", PATIENCE, || {
        // Answers are seen by a thread that receives.
        let _ = ws.recv_timeout(PATIENCE / 1000).unwrap();
        ws.latency()
    });
    assert!(latency < PATIENCE && !latency.is_zero());
    ws.write("queued before the close").unwrap();
    ws.close(CloseCode(3456), "see you").unwrap();
    server.wait_line("message queued before the close");
    server.wait_line("closed 3456 see you");
}

#[test]
fn our_client_learns_why_a_server_refuses_and_follows_where_it_leads() {
    let handler = r#"
async def handler(websocket):
    names = ["Host", "Origin", "X-Twice", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"]
    headers = {name: websocket.request.headers.get_all(name) for name in names}
    await websocket.send(json.dumps([websocket.request.path, headers]))

def process_request(connection, request):
    if request.path == "/closed":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "members only, Zo\u00eb\n")
    if request.path == "/empty":
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "")
    if request.path == "/long":
        return connection.respond(http.HTTPStatus.NOT_FOUND, "x" * 100_000)
    if request.path == "/old/x":
        response = connection.respond(308, "moved\n")
        response.headers["Location"] = "../a/b%20c?d=e&f"
        return response
"#;
    let options = "process_request=process_request, origins=['https://app.example']";
    let (_server, url) = server(ASYNC_SERVER, handler, options);
    let long = "x".repeat(4096);
    for (path, status, body, shown) in [
        (
            "closed",
            403,
            "members only, Zoë\n",
            "server answered HTTP 403: members only, Zoë",
        ),
        ("empty", 503, "", "server answered HTTP 503"),
        ("long", 404, &long, "server answered HTTP 404: xxx"),
        // Another origin than the one that it wants.
        (
            "open",
            403,
            "Failed to open a WebSocket connection: missing Origin header.\n",
            "server answered HTTP 403: ",
        ),
    ] {
        match plainws::connect(&format!("{url}{path}")) {
            Err(Error::Refused(refused)) => {
                assert_eq!((refused.status, &*refused.body), (status, body));
                let told = refused.to_string();
                assert!(told.starts_with(shown) && told.len() < 300, "{told}");
            }
            other => panic!("awaited a refusal of /{path}, got {other:?}"),
        }
    }
    let client = Client::builder().header("Origin", "https://app.example");
    let client = client.header("X-Twice", "1").header("X-Twice", "2");
    let ws = client.connect(&format!("{url}old/x")).unwrap();
    let said: Value = serde_json::from_str(&text(&ws)).unwrap();
    let host = url.trim_start_matches("ws://").trim_end_matches('/');
    let expected = json!(["/a/b%20c?d=e&f", {
        "Host": [host],
        "Origin": ["https://app.example"],
        "X-Twice": ["1", "2"],
        "Sec-WebSocket-Protocol": [],
        "Sec-WebSocket-Extensions": [],
    }]);
    assert_eq!(said, expected);
}

#[test]
fn subprotocol_and_login_are_agreed_with_python() {
    let handler = "
def handler(websocket):
    websocket.send(f'{websocket.username} {websocket.subprotocol}')
";
    let options = "subprotocols=['chat.v3', 'chat.v1', 'chat.v2'], \
         process_request=basic_auth('tutorial', ('zo\\u00eb', 'open: s\\u00e9same'))";
    let (_server, url) = server(SYNC_SERVER, handler, options);
    let in_url = url.replace("//", "//zo%C3%AB:open%3A%20s%C3%A9same@");
    let by_call = || Client::builder().basic_auth("zoë", "open: sésame");
    let offering = |offers: &[&str]| by_call().subprotocols(offers.iter().copied());
    for (ws, agreed) in [
        (offering(&["chat.v1"]).connect(&in_url), "chat.v1"),
        (offering(&["other", "chat.v2"]).connect(&url), "chat.v2"),
    ] {
        let ws = ws.unwrap();
        assert_eq!(text(&ws), format!("zoë {agreed}"));
        assert_eq!(ws.subprotocol(), Some(agreed));
    }
    // Without a common one Python refuses. What is given by call counts before what the URL has.
    let wrong = Client::builder().basic_auth("zoë", "secret");
    for (result, why) in [
        (offering(&["other"]).connect(&url), "400: "),
        (plainws::connect(&url), "401: Missing credentials"),
        (wrong.connect(&in_url), "401: Invalid credentials"),
    ] {
        let error = result.expect_err("a refusal").to_string();
        assert!(
            error.starts_with(&format!("server answered HTTP {why}")),
            "{error}"
        );
    }
}
