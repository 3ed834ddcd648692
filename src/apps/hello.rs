//! hello: the first message is a name, the answer a greeting.

use plainws::{CloseCode, Connection, Message, Result};

pub(crate) fn hello(ws: &Connection) -> Result<()> {
    match ws.recv()? {
        Message::Text(name) => ws.send(format!("Hello {name}!")),
        Message::Binary(_) => ws.close(CloseCode::UNSUPPORTED, "a name is a text message"),
    }
}
