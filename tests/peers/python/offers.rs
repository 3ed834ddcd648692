//! What our client offers and asks for, at Python's servers: subprotocols, logins, redirects.

use super::server::{SYNC_SERVER, server};
use super::*;

#[test]
fn a_subprotocol_is_agreed_with_python() {
    let handler = r#"
def handler(websocket):
    websocket.send(str(websocket.subprotocol))
"#;
    let options = "subprotocols=['chat.v3', 'chat.v1', 'chat.v2']";
    let (_server, url) = server(SYNC_SERVER, handler, options);
    let agreed = |names: &[&str]| {
        let client = Client::builder().subprotocols(names.iter().copied());
        let ws = client.connect(&url).unwrap();
        let theirs = next(&ws);
        let ours = ws.subprotocol().unwrap_or("None").to_owned();
        assert_eq!(theirs, Message::from(ours.as_str()));
        ours
    };
    assert_eq!(agreed(&["chat.v1"]), "chat.v1");
    assert_eq!(agreed(&["other", "chat.v2"]), "chat.v2");
    assert!(["chat.v1", "chat.v2"].contains(&&*agreed(&["chat.v2", "chat.v1"])));
    // Without a common one Python refuses.
    let client = Client::builder().subprotocols(["other"]);
    let refused = client.connect(&url).expect_err("no common subprotocol");
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
}

#[test]
fn python_knows_us_by_basic_authentication() {
    let handler = r#"
from websockets.sync.server import basic_auth

def handler(websocket):
    websocket.send(websocket.username)
"#;
    let options = "process_request=basic_auth('tutorial', ('zo\\u00eb', 'open: s\\u00e9same'))";
    let (_server, url) = server(SYNC_SERVER, handler, options);
    let in_url = url.replace("//", "//zo%C3%AB:open%3A%20s%C3%A9same@");
    let by_call = Client::builder().basic_auth("zoë", "open: sésame");
    for ws in [plainws::connect(&in_url), by_call.connect(&url)] {
        assert_eq!(next(&ws.unwrap()), Message::from("zoë"));
    }
    // What is given by call counts before what the URL has.
    let wrong = Client::builder().basic_auth("zoë", "secret");
    for (result, why) in [
        (plainws::connect(&url), "Missing credentials"),
        (wrong.connect(&in_url), "Invalid credentials"),
    ] {
        let error = result.expect_err("a refusal");
        let text = error.to_string();
        assert_eq!(text, format!("server answered HTTP 401: {why}"));
        match error {
            Error::Refused(refused) => {
                let is = |(name, _): &&(String, String)| name == "WWW-Authenticate";
                let (_, value) = refused.headers.iter().find(is).unwrap();
                assert!(value.contains("tutorial"), "{value}");
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_redirect_of_python_is_followed() {
    let handler = r#"
def handler(websocket):
    websocket.send(websocket.request.path)

def process_request(connection, request):
    if request.path == "/old/x":
        response = connection.respond(308, "moved\n")
        response.headers["Location"] = "../new?y"
        return response
"#;
    let (_server, url) = server(SYNC_SERVER, handler, "process_request=process_request");
    let ws = plainws::connect(&format!("{url}old/x")).unwrap();
    assert_eq!(next(&ws), Message::from("/new?y"));
    assert_eq!(ws.path(), "/new");
}
