//! Topics and streams by plain HTTP: GET and HEAD, PUT, POST, PATCH, DELETE. In an opener's thread,
//! which waits for the hub's.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use log::info;
use plainws::{Answer, Clients, Hub, Request, Response};

use super::super::grant::Grant;
use super::super::journal::{Entry, Kind};
use super::board::Board;
use super::query::{Query, condition, knows};
use super::refused::Refused;
use super::series::Series;
use super::value::{Value, essence, media};
use super::view::{object, time};

/// A disk may hang, and then the client is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// A value that a browser is shown as it is runs nothing, loads nothing, and posts nothing.
const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

const LINES: &str = "application/x-ndjson";
const PATCH: &str = "application/merge-patch+json";

/// One topic or stream.
#[derive(Clone)]
pub(super) struct Resource {
    pub(super) hub: Hub<Board>,
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    pub(super) may_write: bool,
    /// The largest body.
    pub(super) max_size: usize,
}

impl Resource {
    fn allow(&self) -> &'static str {
        match self.kind {
            Kind::Topic => "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS",
            Kind::Stream => "GET, HEAD, POST, DELETE, OPTIONS",
        }
    }

    pub(super) fn answer(self, request: &Request, query: &Query) -> Answer {
        let writes = match (request.method(), self.kind) {
            ("GET" | "HEAD", _) => return self.get(request, query).into(),
            ("OPTIONS", _) => {
                let options = Response::empty(204).header("Allow", self.allow());
                return options.into();
            }
            ("PUT" | "PATCH", Kind::Topic) | ("POST" | "DELETE", _) => true,
            _ => false,
        };
        if !writes {
            let sentence = format!(
                "{} is not for this; it knows {}",
                request.method(),
                self.allow()
            );
            return Response::text(405, sentence)
                .header("Allow", self.allow())
                .into();
        }
        if !self.may_write {
            return Refused::ReadOnly.response().into();
        }
        if request.method() == "PATCH"
            && essence(request.header("Content-Type").unwrap_or(PATCH)) != PATCH
        {
            let sentence = format!("a patch is {PATCH} (RFC 7396)");
            return Response::text(415, sentence)
                .header("Accept-Patch", PATCH)
                .into();
        }
        let max_size = self.max_size;
        Answer::receive(max_size, move |request, body| self.write(request, body))
    }

    /// For the pages, and whoever else wants to know.
    pub(super) fn access(&self) -> &'static str {
        if self.may_write { "read,write" } else { "read" }
    }

    fn get(&self, request: &Request, query: &Query) -> Response {
        let (kind, name) = (self.kind, Arc::clone(&self.name));
        let last = query.last.unwrap_or(usize::MAX);
        let found = match query.history || kind == Kind::Stream {
            true => ask(&self.hub, move |board, _| {
                let newest = board.find(kind, &name).and_then(Series::newest).cloned();
                newest.zip(board.history(kind, &name, last))
            })
            .map(|found| {
                found.map(|(newest, lines)| (newest, LINES.to_owned(), lines.into_bytes()))
            }),
            false => {
                let json = query.json;
                ask(&self.hub, move |board, _| {
                    board
                        .find(kind, &name)
                        .and_then(Series::newest)
                        .cloned()
                        .map(|newest| match json {
                            true => {
                                let object = object(kind, &name, &newest);
                                (newest, "application/json".to_owned(), object.into_bytes())
                            }
                            false => {
                                let (media, body) =
                                    (media(&newest).to_owned(), newest.body.to_vec());
                                (newest, media, body)
                            }
                        })
                })
            }
        };
        let response = match found {
            Err(response) => response,
            Ok(None) => {
                let (kind, name) = (word(kind), &self.name);
                Response::text(404, format!("the {kind} {name} has nothing yet"))
            }
            Ok(Some((newest, ..))) if knows(request, newest.id) => {
                Response::empty(304).header("ETag", tag(newest.id))
            }
            Ok(Some((newest, media, body))) => Response::new(200, media, body)
                .header("ETag", tag(newest.id))
                .header("Last-Modified", modified(&newest)),
        };
        // Whoever may write could write a page of ours.
        let response = response.header("Content-Security-Policy", POLICY);
        let response = response.header("Plainws-Access", self.access());
        response.header("Vary", "Accept")
    }

    fn write(&self, request: &Request, body: Vec<u8>) -> Response {
        let (kind, name, condition) = (self.kind, Arc::clone(&self.name), condition(request));
        let (size, method) = (body.len(), request.method());
        let done = match method {
            "DELETE" => ask(&self.hub, move |board, clients| {
                board
                    .delete(clients, kind, &name, &condition)
                    .map(|()| None)
            }),
            "PATCH" => ask(&self.hub, move |board, clients| {
                board.patch(clients, &name, &body, &condition).map(Some)
            }),
            _ => {
                let value = Value::received(request.header("Content-Type"), body);
                ask(&self.hub, move |board, clients| {
                    board.put(clients, kind, &name, value, &condition).map(Some)
                })
            }
        };
        let client = request
            .client_ip()
            .map_or("a local client".to_owned(), |ip| ip.to_string());
        let (kind, name) = (word(kind), &self.name);
        match done {
            Err(response) => response,
            Ok(Err(why)) => {
                info!("{client} {method} of {kind} {name} refused: {why}");
                why.response()
            }
            Ok(Ok(version)) => {
                let response = Response::empty(204);
                match version {
                    Some(version) => {
                        info!(
                            "{client} {method} of {kind} {name}: version {version}, {size} bytes"
                        );
                        response.header("ETag", tag(version))
                    }
                    None => {
                        info!("{client} {method} of {kind} {name}");
                        response
                    }
                }
            }
        }
    }
}

/// All topics below a prefix, an object a line.
pub(super) fn below(hub: &Hub<Board>, prefix: Arc<str>) -> Response {
    let lines = ask(hub, move |board, _| {
        let newest = board
            .below(&prefix)
            .filter_map(|(name, series)| Some((name, series.newest()?)));
        newest
            .map(|(name, entry)| object(Kind::Topic, name, entry) + "\n")
            .collect::<String>()
    });
    lines.map_or_else(
        |response| response,
        |lines| Response::new(200, LINES, lines.into_bytes()),
    )
}

/// What there is that the client may read.
pub(super) fn list(hub: &Hub<Board>, grant: &Grant) -> Response {
    let grant = grant.clone();
    let listed = ask(hub, move |board, _| {
        let one = |kind: Kind| {
            let path = |name: &str| format!("/{}/{name}", word(kind));
            let all = board
                .all(kind)
                .iter()
                .filter(|(name, _)| grant.may_read(&path(name)));
            let all: Vec<String> = all.map(|(name, series)| item(kind, name, series)).collect();
            all.join(",")
        };
        format!(
            r#"{{"topics":[{}],"streams":[{}]}}"#,
            one(Kind::Topic),
            one(Kind::Stream)
        )
    });
    listed.map_or_else(
        |response| response,
        |listed| {
            Response::new(200, "application/json", listed.into_bytes()).header("Vary", "Accept")
        },
    )
}

fn item(kind: Kind, name: &str, series: &Series) -> String {
    let newest = series.newest();
    let (id, clients) = (newest.map_or(0, |entry| entry.id), series.clients);
    let time = newest.map_or("null".to_owned(), |entry| {
        format!("\"{}\"", time(entry.time))
    });
    match kind {
        Kind::Topic => {
            let size = newest.map_or(0, |entry| entry.body.len());
            let media = serde_json::Value::from(newest.map_or("", |entry| media(entry)));
            format!(
                r#"{{"name":"{name}","version":{id},"time":{time},"type":{media},"size":{size},"clients":{clients}}}"#
            )
        }
        Kind::Stream => {
            let messages = series.len();
            format!(
                r#"{{"name":"{name}","id":{id},"time":{time},"messages":{messages},"clients":{clients}}}"#
            )
        }
    }
}

/// Has this done by the hub's thread, and waits until it is recorded.
fn ask<T: Send + 'static>(
    hub: &Hub<Board>,
    question: impl FnOnce(&mut Board, &mut Clients) -> T + Send + 'static,
) -> Result<T, Response> {
    let (tell, told) = crossbeam_channel::bounded(1);
    hub.update(move |board, clients| {
        let answer = question(board, clients);
        board.answers.push(Box::new(move || {
            // Nobody waits any more if it took too long.
            let _ = tell.send(answer);
        }));
    });
    told.recv_timeout(PATIENCE).map_err(|_| {
        Response::text(503, "the state cannot be saved in time; try again later")
            .header("Retry-After", "5")
    })
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

fn modified(entry: &Entry) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(entry.time))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Topic => "topic",
        Kind::Stream => "stream",
    }
}
