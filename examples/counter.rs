//! A counter that all clients share: each sees every change, and how many they are.
//!
//!     cargo run --example counter
//!     python3 -m websockets ws://localhost:6789/      then type {"action":"plus"}

use plainws::{Clients, Connection, Hub, Result};
use serde_json::Value;

fn publish_users(clients: &mut Clients) {
    let count = clients.len();
    clients.publish("users", format!(r#"{{"type":"users","count":{count}}}"#));
}

fn state(value: i64) -> String {
    format!(r#"{{"type":"state","value":{value}}}"#)
}

fn counter(ws: &Connection, hub: &Hub<i64>) -> Result<()> {
    let _user = hub.register(ws);
    for message in ws {
        let event: Value = serde_json::from_slice(message?.as_bytes()).unwrap_or_default();
        let step = i64::from(event["action"] == "plus") - i64::from(event["action"] == "minus");
        hub.update(move |value, clients| {
            *value += step;
            clients.publish("state", state(*value));
        });
    }
    Ok(())
}

fn main() -> Result<()> {
    let hub = Hub::builder(0).on_leave(|_, clients, _| publish_users(clients));
    let hub = hub.on_join(|value, clients, newcomer| {
        publish_users(clients);
        clients.send_to(newcomer, state(*value));
    });
    let hub = hub.start()?;
    let address = std::env::args().nth(1).unwrap_or("localhost:6789".into());
    plainws::serve(&address, move |ws| counter(ws, &hub))
}
