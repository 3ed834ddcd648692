//! The handlers of sockets and event streams: each looks at one topic or stream, or at all topics below
//! a prefix. In the thread of its client; what it asks for is done by the hub's.

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::BASE64;
use log::info;
use plainws::{Clients, Connection, Hub, Message, Registration, Result};
use serde_json::value::RawValue;

use super::super::grant::Grant;
use super::super::journal::Kind;
use super::board::{Board, If};
use super::look::Look;
use super::name;
use super::refused::Refused;
use super::value::Value;
use super::view::Form;

/// What a socket looks at, and may do there.
pub(super) struct Socket {
    pub(super) hub: Hub<Board>,
    pub(super) look: Look,
    /// What it sends are merge patches.
    pub(super) patch: bool,
    pub(super) grant: Grant,
}

impl Socket {
    pub(super) fn serve(&self, ws: &Connection) -> Result<()> {
        let Some(viewer) = self.join(ws)? else {
            return Ok(());
        };
        let (kind, form, patch) = (self.look.kind, self.look.form, self.patch);
        for message in ws {
            let message = message?;
            let name = Arc::clone(&self.look.name);
            if !self.grant.may_write(ws.path()) {
                viewer.update(move |board, clients, id| {
                    board.figures.refused(&Refused::ReadOnly);
                    tell(clients, id, form, Refused::ReadOnly);
                });
                continue;
            }
            viewer.update(move |board, clients, id| {
                let (size, always) = (message.len(), If::Always);
                let done = match patch {
                    true => board.patch(clients, &name, message.as_bytes(), &always),
                    false => board.put(clients, kind, &name, Value::from(message), &always),
                };
                match done {
                    Ok(version) => log_write(id, kind, &name, version, size),
                    Err(why) => tell(clients, id, form, why),
                }
            });
        }
        Ok(())
    }

    /// Until the client is gone.
    pub(super) fn events(&self, events: &Connection) -> Result<()> {
        let viewer = self.join(events)?;
        until_gone(events, viewer)
    }

    /// `None` for who may not look any more.
    fn join(&self, ws: &Connection) -> Result<Option<Registration<Board>>> {
        if !self.grant.admits(ws)? {
            return Ok(None);
        }
        let viewer = self.hub.register(ws);
        let look = self.look.clone();
        viewer.update(move |board, clients, id| board.join(clients, id, &look));
        Ok(Some(viewer))
    }
}

/// What a socket below a prefix may do.
pub(super) struct Below {
    pub(super) hub: Hub<Board>,
    pub(super) prefix: Arc<str>,
    pub(super) form: Form,
    pub(super) grant: Grant,
}

impl Below {
    pub(super) fn serve(&self, ws: &Connection) -> Result<()> {
        let Some(viewer) = self.join(ws)? else {
            return Ok(());
        };
        for message in ws {
            let parsed = self.parse(&message?);
            viewer.update(move |board, clients, id| {
                let (name, value) = match parsed {
                    Ok(parsed) => parsed,
                    Err(why) => return clients.send_to(id, error(&why)),
                };
                let size = value.body.len();
                match board.put(clients, Kind::Topic, &name, value, &If::Always) {
                    Ok(version) => log_write(id, Kind::Topic, &name, version, size),
                    Err(why) => clients.send_to(id, error(&why.to_string())),
                }
            });
        }
        Ok(())
    }

    pub(super) fn events(&self, events: &Connection) -> Result<()> {
        let viewer = self.join(events)?;
        until_gone(events, viewer)
    }

    fn join(&self, ws: &Connection) -> Result<Option<Registration<Board>>> {
        if !self.grant.admits(ws)? {
            return Ok(None);
        }
        let viewer = self.hub.register(ws);
        let (prefix, form) = (Arc::clone(&self.prefix), self.form);
        viewer.update(move |board, clients, id| board.join_below(clients, id, &prefix, form));
        Ok(Some(viewer))
    }

    /// `{"topic":"a/b","value":21.5}`, or `"base64"` instead of the value.
    fn parse(&self, message: &Message) -> std::result::Result<(String, Value), String> {
        let wrong = |_| r#"write {"topic":NAME,"value":VALUE}"#.to_owned();
        let fields: HashMap<String, &RawValue> =
            serde_json::from_slice(message.as_bytes()).map_err(wrong)?;
        let raw = |name: &str| fields.get(name).map(|raw| raw.get());
        let text = |raw: Option<&str>| serde_json::from_str::<String>(raw.unwrap_or("null"));
        let topic = text(raw("topic")).map_err(wrong)?;
        name::check(&topic)?;
        if !topic.starts_with(&*self.prefix) {
            return Err(format!("the topics here begin with {}", self.prefix));
        }
        if !self.grant.may_write(&format!("/topic/{topic}")) {
            return Err(Refused::ReadOnly.to_string());
        }
        let value = match (raw("value"), raw("base64")) {
            (Some(value), None) => match text(Some(value)) {
                Ok(text) => Value::from(Message::from(text)),
                Err(_) => Value::from(Message::from(value)),
            },
            (None, base64 @ Some(_)) => {
                let base64 = text(base64).map_err(wrong)?;
                let bytes = BASE64.decode(base64.as_bytes());
                let bytes = bytes.map_err(|_| "this is not Base64".to_owned())?;
                Value::from(Message::from(bytes))
            }
            _ => return Err(r#"write {"topic":NAME,"value":VALUE}"#.to_owned()),
        };
        Ok((topic, value))
    }
}

/// Nothing is received on an event stream but its end.
fn until_gone(events: &Connection, viewer: Option<Registration<Board>>) -> Result<()> {
    let gone = events.recv();
    drop(viewer);
    match gone {
        Err(error) if !error.is_closed() => Err(error),
        _ => Ok(()),
    }
}

/// A socket that speaks objects is told; one that speaks values has no other word for it than its end.
fn tell(clients: &mut Clients, id: u64, form: Form, why: Refused) {
    match form.is_json() {
        true => clients.send_to(id, error(&why.to_string())),
        false => clients.close(id, why.code(), &why.to_string()),
    }
}

fn error(why: &str) -> String {
    let why = serde_json::Value::from(why);
    format!(r#"{{"type":"error","message":{why}}}"#)
}

fn log_write(id: u64, kind: Kind, name: &str, version: u64, size: usize) {
    match kind {
        Kind::Topic => info!("ws-conn-{id} topic {name} set to version {version}, {size} bytes"),
        Kind::Stream => info!("ws-conn-{id} stream {name} got message {version}, {size} bytes"),
    }
}
