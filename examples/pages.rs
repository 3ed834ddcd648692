//! A page of one's own on the same port as the WebSocket.
//!
//!     cargo run --example pages
//!     xdg-open http://localhost:8765/

use plainws::{Answer, Connection, Response, Result, Server};

const PAGE: &str = r#"<!DOCTYPE html>
<title>Shout</title>
<input id="said" placeholder="Say something" autofocus> <output id="shouted"></output>
<script>
    const ws = new WebSocket(location.href.replace(/^http/, "ws"));
    ws.onmessage = (event) => { shouted.textContent = event.data; };
    said.onchange = () => { ws.send(said.value); };
</script>"#;

/// The page runs its own script and talks to its own server, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; connect-src 'self'";

fn shout(ws: &Connection) -> Result<()> {
    for message in ws {
        ws.send(message?.to_string().to_uppercase())?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "localhost:8765".to_owned());
    let page = || Response::html(PAGE).header("Content-Security-Policy", POLICY);
    Server::builder(shout)
        .route(move |request| match request.path() {
            "/" if !request.is_upgrade() => Some(Answer::from(page())),
            "/" => None,
            _ => Some(Answer::from(Response::text(404, "the page is at /"))),
        })
        .listen(address)
        .run()
}
