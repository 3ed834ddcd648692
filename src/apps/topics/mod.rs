//! topics: values and streams of messages under names of one's own, for browsers, scripts and curl.
//!
//! `/topic/NAME` has one value: who looks gets it at once, then each newer one. `/stream/NAME` has
//! messages that all count. A hub of its own holds them all; each is a room of it. It uses the public
//! interface only.

mod rest;

mod socket;

mod query;

mod look;

mod board;

mod figures;

mod refused;

mod series;

mod view;

mod value;

mod name;

use std::sync::Arc;

use plainws::{Answer, Hub, Request, Response};

use super::grant::Grant;
use super::journal::{Journal, Kind, Saved};
use super::pages::Pages;
use board::Board;
use look::{From, Look};
use name::Place;
use query::{Query, Wanted};
use rest::Resource;
use socket::{Below, Socket};
use view::Form;

pub(crate) use board::Limits;
pub(crate) use figures::Figures;

/// All topics and streams; a clone is the same.
#[derive(Clone)]
pub(crate) struct Topics {
    hub: Hub<Board>,
    limits: Limits,
    figures: Arc<Figures>,
}

impl Topics {
    /// With what was saved before. Without a journal nothing is kept.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(crate) fn start(
        limits: Limits,
        saved: Saved,
        journal: Option<Arc<dyn Journal>>,
    ) -> plainws::Result<Topics> {
        let figures = Arc::new(Figures::default());
        let hub = Hub::builder(Board::new(limits, saved, Arc::clone(&figures)))
            .on_leave(|board, clients, id| board.left(clients, id))
            .before_delivery(move |board| {
                match &journal {
                    Some(journal) if !board.changes.is_empty() => {
                        journal.record(&mut board.changes)
                    }
                    _ => board.changes.clear(),
                }
                // Who waits to hear that it is done.
                board.answers.drain(..).for_each(|answer| answer());
            })
            .start()?;
        Ok(Topics {
            hub,
            limits,
            figures,
        })
    }

    pub(crate) fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// How many messages and states were sent.
    pub(crate) fn broadcasts(&self) -> u64 {
        self.hub.broadcasts()
    }

    /// Waits until all that was asked for is done, and recorded.
    pub(crate) fn finish(&self) {
        let (tell, told) = crossbeam_channel::bounded::<()>(1);
        self.hub.update(move |board, _| {
            board.answers.push(Box::new(move || drop(tell)));
        });
        // Ends as `tell` is dropped.
        let _ = told.recv();
    }

    /// Answers what is about topics and streams.
    pub(crate) fn route(&self, request: &Request, pages: &Pages, grant: &Grant) -> Option<Answer> {
        let answer = match Place::of(request.path())? {
            Ok(place) => self.answer(place, request, pages, grant),
            Err(sentence) => Err(sentence),
        };
        Some(answer.unwrap_or_else(|sentence| Response::text(400, sentence).into()))
    }

    fn answer(
        &self,
        place: Place<'_>,
        request: &Request,
        pages: &Pages,
        grant: &Grant,
    ) -> Result<Answer, String> {
        let query = Query::of(request)?;
        let wanted = match query.raw {
            true => Wanted::Value,
            false => Wanted::of(request),
        };
        let reads = matches!(request.method(), "GET" | "HEAD") && !request.is_upgrade();
        match place {
            Place::One(kind, name) => {
                let resource = Resource {
                    hub: self.hub.clone(),
                    kind,
                    name: name.into(),
                    may_write: grant.may_write(request.path()),
                    max_size: self.limits.size,
                };
                let is_page = reads && wanted == Wanted::Page && !query.history;
                if is_page {
                    let page = match kind {
                        Kind::Topic => pages.topic(request),
                        Kind::Stream => pages.stream(request),
                    };
                    let page = page.header("Plainws-Access", resource.access());
                    return Ok(page.header("Vary", "Accept").into());
                }
                let has_events = reads && wanted == Wanted::Events;
                if !request.is_upgrade() && !has_events {
                    return Ok(resource.answer(request, &query));
                }
                let socket = Socket {
                    hub: self.hub.clone(),
                    look: look(kind, name, request, &query, has_events)?,
                    patch: query.patch && kind == Kind::Topic,
                    grant: grant.clone(),
                };
                Ok(match has_events {
                    true => Answer::events(move |events| socket.events(events)),
                    false => Answer::upgrade(move |ws| socket.serve(ws)),
                })
            }
            Place::Below(prefix) => {
                let has_events = reads && wanted == Wanted::Events;
                let below = Below {
                    hub: self.hub.clone(),
                    prefix: prefix.into(),
                    form: if has_events {
                        Form::JsonEvents
                    } else {
                        Form::Json
                    },
                    grant: grant.clone(),
                };
                Ok(match (request.is_upgrade(), has_events) {
                    (true, _) => Answer::upgrade(move |ws| below.serve(ws)),
                    (_, true) => Answer::events(move |events| below.events(events)),
                    _ if reads => rest::below(&self.hub, prefix.into()).into(),
                    _ => only_read(request),
                })
            }
            Place::List if !reads => Ok(only_read(request)),
            Place::List if wanted == Wanted::Page && !query.json => {
                Ok(pages.topics(request).into())
            }
            Place::List => Ok(rest::list(&self.hub, grant).into()),
        }
    }
}

fn look(
    kind: Kind,
    name: &str,
    request: &Request,
    query: &Query,
    has_events: bool,
) -> Result<Look, String> {
    let from = match request.header("Last-Event-ID").filter(|_| has_events) {
        Some(id) => {
            let id = id.trim().parse();
            From::After(id.map_err(|_| "Last-Event-ID is a number that an event had")?)
        }
        None => From::Last(query.last.unwrap_or(0)),
    };
    let form = match (has_events, query.json) {
        (true, true) => Form::JsonEvents,
        (true, false) => Form::Events,
        (false, true) => Form::Json,
        (false, false) => Form::Plain,
    };
    let name = name.into();
    Ok(Look {
        kind,
        name,
        form,
        from,
    })
}

fn only_read(request: &Request) -> Answer {
    let sentence = format!("{} is not for this", request.method());
    Response::text(405, sentence)
        .header("Allow", "GET, HEAD")
        .into()
}
