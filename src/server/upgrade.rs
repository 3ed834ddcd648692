//! The upgrade from HTTP to WebSocket (RFC 6455, section 4.2): whether a request asks for it
//! properly, and the answer that grants it.
//!
//! tungstenite's handshake is not used: it answers a request that it refuses with nothing at all,
//! refuses legal ones, and has no deadline.

use tungstenite::handshake::derive_accept_key;

use crate::http::request::Request;
use crate::http::response::Response;

/// The checks of section 4.2.1 but for the origin; gives the key of the client.
pub(crate) fn check(request: &Request) -> Result<&str, Response> {
    if request.is_head() || request.is_http_1_0() || !request.is_upgrade() {
        check_not_lost(request)?;
        let why = if request.is_http_1_0() && request.header("Upgrade").is_some() {
            "a WebSocket needs HTTP/1.1; a proxy in front must be told to speak it"
        } else {
            "this is a WebSocket; open it with a WebSocket client"
        };
        return Err(required(why));
    }
    match request.single("Sec-WebSocket-Version") {
        Ok(Some("13")) => {}
        _ => return Err(required("Sec-WebSocket-Version must be 13")),
    }
    let key = request.single("Sec-WebSocket-Key")?.unwrap_or_default();
    if !is_key(key) {
        let text = "Sec-WebSocket-Key is not 16 bytes in base64";
        return Err(Response::text(400, text));
    }
    Ok(key)
}

/// What a proxy makes of an upgrade that it does not know: it takes off what is meant for itself,
/// `Connection` and `Upgrade`, and hands on the rest.
pub(crate) fn check_not_lost(request: &Request) -> Result<(), Response> {
    if !request.lost_its_upgrade() {
        return Ok(());
    }
    Err(required(
        "a WebSocket was asked for, but a proxy in front took off Upgrade or Connection (nginx: \
         proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \
         \"upgrade\")",
    ))
}

/// The head of the answer that is the last of HTTP.
pub(crate) fn switching(key: &str, subprotocol: Option<&str>) -> String {
    let accept = derive_accept_key(key.as_bytes());
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    if let Some(name) = subprotocol {
        head.push_str(&format!("Sec-WebSocket-Protocol: {name}\r\n"));
    }
    head + "\r\n"
}

fn required(why: &str) -> Response {
    Response::text(426, why)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
}

/// 16 bytes in base64: 22 digits, of which the last has four bits to spare, and `==`.
fn is_key(key: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    match key.strip_suffix("==").map(str::as_bytes) {
        Some(digits) => digits.len() == 22 && digits.iter().all(|&byte| digit(byte)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_key_passes() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        let wrong = [
            "",
            "abc",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZ====",
            "dGhlIHNhbXBsZSBub25jZQAA==",
        ];
        for key in wrong {
            assert!(!is_key(key), "{key}");
        }
        assert!(!is_key(&"x".repeat(1000)));
    }
}
