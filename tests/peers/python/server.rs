//! Python as the server of our client.

use super::*;

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

pub(super) const SYNC_SERVER: &str = r#"
from websockets.sync.server import serve

HANDLER

with serve(handler, "127.0.0.1", 0, OPTIONS) as server:
    print(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/")
    server.serve_forever()
"#;

/// Starts a server and gives its URL. `options` are keyword
/// arguments of `serve`.
#[track_caller]
pub(super) fn server(server: &str, handler: &str, options: &str) -> (Daemon, String) {
    let script = server.replace("HANDLER", handler);
    let daemon = spawn(&script.replace("OPTIONS", options), &[]);
    let url = daemon.wait_line("ws://");
    (daemon, url)
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
    let closed = ws.closed().expect("closed");
    assert!(closed.is_normal() && !closed.received_first, "{closed}");
}

#[test]
fn our_client_talks_with_an_echo_server() {
    let echo = server(ASYNC_SERVER, ASYNC_ECHO, "max_size=2**20, compression=None");
    let (_server, url) = echo;
    echoes(&plainws::connect(&url).unwrap());
}

#[test]
fn our_client_talks_with_a_server_that_could_compress() {
    let echo = server(ASYNC_SERVER, ASYNC_ECHO, "compression='deflate'");
    let (_server, url) = echo;
    echoes(&plainws::connect(&url).unwrap());
}

#[test]
fn our_client_talks_with_an_echo_server_of_the_sync_api() {
    let (_server, url) = server(SYNC_SERVER, SYNC_ECHO, "max_size=2**20");
    echoes(&plainws::connect(&url).unwrap());
}

#[test]
fn our_client_keeps_the_order_of_many_messages() {
    let (_server, url) = server(ASYNC_SERVER, ASYNC_ECHO, "");
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
    let (_server, url) = server(ASYNC_SERVER, handler, "");
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
    let (_server, url) = server(ASYNC_SERVER, handler, "");
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
    let (_server, url) = server(ASYNC_SERVER, handler, "logger=None");
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
    let (server, url) = server(ASYNC_SERVER, ASYNC_ECHO, "");
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
    let (_server, url) = server(ASYNC_SERVER, ASYNC_ECHO, "max_size=1000");
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
    let (server, url) = server(ASYNC_SERVER, handler, "");
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
    let (_server, url) = server(ASYNC_SERVER, handler, options);
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
    let (_server, url) = server(ASYNC_SERVER, handler, "process_request=process_request");
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
    let (_server, url) = server(ASYNC_SERVER, handler, "origins=['https://app.example']");
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
    let (server, url) = server(ASYNC_SERVER, handler, "");
    let ws = plainws::connect(&url).unwrap();
    ws.write("queued before the close").unwrap();
    ws.close(CloseCode(3456), "see you").unwrap();
    server.wait_line("message queued before the close");
    server.wait_line("closed 3456 see you");
    // The last handle that is dropped closes with 1000.
    drop(plainws::connect(&url).unwrap());
    server.wait_line("closed 1000");
}
