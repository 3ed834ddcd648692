//! Who looks at topics and streams, and what is shown to them. On the hub's thread, as all of the board.

use std::sync::Arc;

use plainws::{Clients, CloseCode, Message};

use super::super::journal::{Entry, Kind};
use super::board::{Board, entry_of};
use super::view::Form;

/// What a client wants to see of a topic or stream.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    pub(super) form: Form,
    pub(super) from: From,
}

/// What of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Last(usize),
    /// What came after this number.
    After(u64),
}

impl Board {
    /// A client that looks at one topic or stream: shows it the value, or the messages that it asks
    /// for. `false` if there is no place for it; it is closed then.
    pub(super) fn join(&mut self, clients: &mut Clients, id: u64, look: &Look) {
        let (kind, form, name) = (look.kind, look.form, &*look.name);
        if let Err(full) = self.make(kind, name) {
            self.figures.refused(&full);
            clients.close(id, CloseCode::TRY_AGAIN_LATER, &full.to_string());
            return;
        }
        clients.enter(id, &form.room(kind, name));
        let Some((name, series)) = entry_of(self.all_mut(kind), name) else {
            return;
        };
        series.clients += 1;
        let newest = series.newest().map_or(0, |entry| entry.id);
        let from = match (kind, look.from) {
            // The value, unless it is known.
            (Kind::Topic, From::After(id)) if id == newest => id,
            (Kind::Topic, _) => newest.saturating_sub(1),
            (Kind::Stream, From::Last(n)) => {
                let entries = series.entries();
                let skip = entries.len().checked_sub(n.max(1)).filter(|_| n > 0);
                match (n, skip) {
                    (0, _) => newest,
                    (_, Some(skip)) => series.entries().nth(skip).map_or(0, |entry| entry.id - 1),
                    (_, None) => 0,
                }
            }
            // A number from another life of the stream says nothing.
            (Kind::Stream, From::After(id)) if id > newest => 0,
            (Kind::Stream, From::After(id)) => id,
        };
        if let (Kind::Stream, From::After(asked)) = (kind, look.from) {
            let oldest = series.oldest().map_or(newest + 1, |entry| entry.id);
            if asked > newest || asked + 1 < oldest {
                form.gone(&name, oldest)
                    .into_iter()
                    .for_each(|gone| clients.send_to(id, gone));
            }
        }
        for entry in series.since(from) {
            clients.send_to(id, form.entry(kind, &name, entry));
        }
        self.viewers.insert(id, (kind, Arc::clone(&name)));
        self.tell_users(clients, kind, &name);
    }

    /// A client that looks at all topics below a prefix.
    pub(super) fn join_below(&mut self, clients: &mut Clients, id: u64, prefix: &str, form: Form) {
        clients.enter(id, &form.room(Kind::Topic, &format!("{prefix}*")));
        for (name, series) in self.below(prefix) {
            if let Some(entry) = series.newest() {
                clients.send_to(id, form.entry(Kind::Topic, name, entry));
            }
        }
    }

    pub(super) fn left(&mut self, clients: &mut Clients, id: u64) {
        let Some((kind, name)) = self.viewers.remove(&id) else {
            return;
        };
        if let Some(series) = self.all_mut(kind).get_mut(&name) {
            series.clients -= 1;
        }
        self.forget_if_unused(kind, &name);
        self.tell_users(clients, kind, &name);
    }

    fn tell_users(&self, clients: &mut Clients, kind: Kind, name: &str) {
        let count = self.find(kind, name).map_or(0, |series| series.clients);
        for form in Form::ALL {
            let room = form.room(kind, name);
            let mut room = clients.room(&room);
            if let Some(users) = form.users(name, count).filter(|_| !room.is_empty()) {
                room.publish(format!("users {name}"), users);
            }
        }
    }

    /// A new entry, to all who look.
    pub(super) fn show(&self, clients: &mut Clients, kind: Kind, name: &str, entry: &Entry) {
        self.show_with(clients, kind, name, |form| {
            Some(form.entry(kind, name, entry))
        });
    }

    pub(super) fn show_with(
        &self,
        clients: &mut Clients,
        kind: Kind,
        name: &str,
        message: impl Fn(Form) -> Option<Message>,
    ) {
        for form in Form::ALL {
            let room = form.room(kind, name);
            let mut room = clients.room(&room);
            if room.is_empty() {
                continue;
            }
            match (message(form), kind) {
                (None, _) => {}
                // A slow client gets the newest.
                (Some(state), Kind::Topic) => room.publish(name.to_owned(), state),
                (Some(message), Kind::Stream) => room.broadcast(message),
            }
        }
    }
}
