//! Hubs, and the servers that register every client with one.

use std::sync::mpsc;

use plainws::{Connection, Hub, Server, ServerBuilder};

use super::tools::{PATIENCE, wait_until};

pub fn hub<S: Send + 'static>(state: S) -> Hub<S> {
    Hub::builder(state).start().unwrap()
}

/// A server that registers every client with the hub until it leaves.
pub fn registering<S: Send + 'static>(hub: &Hub<S>) -> ServerBuilder {
    let hub = hub.clone();
    let server = Server::builder(move |ws: &Connection| {
        let _registration = hub.register(ws);
        for message in ws {
            message?;
        }
        Ok(())
    });
    server.backlog(64 * 1024).ping_interval(None)
}

/// Waits until this many are registered.
#[track_caller]
pub fn wait_registered<S: Send + 'static>(hub: &Hub<S>, count: usize) {
    wait_until(&format!("{count} registered clients"), PATIENCE, || {
        let (tell, told) = mpsc::channel();
        hub.update(move |_, clients| tell.send(clients.len()).expect("it is awaited"));
        (told.recv_timeout(PATIENCE).expect("the hub goes on") == count).then_some(())
    });
}
