//! A client's opening, from its first byte to the last one of HTTP: TLS, the head, and a page, a
//! refusal or the upgrade, all but the page within one deadline. In an opener's thread, `ws-open-17`.
//!
//! The client holds its seat all along. With the upgrade a visit takes over in a thread of its own,
//! and this one ends.

use std::sync::Arc;

use crossbeam_channel::Sender;
use log::{debug, info};

use crate::address::{Address, Via};
use crate::connection::{Framing, Opened};
use crate::deadline::Deadline;
use crate::escaped::Escaped;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::server::answer::{Handler, Kind};
use crate::server::forwarded;
use crate::server::metrics::Reason;
use crate::server::refusal::Refusal;
use crate::server::roster::{Full, Seat};
use crate::server::shared::Shared;
use crate::server::visit::Visit;
use crate::server::{body, reader, respond, upgrade};
use crate::tls::Tls;
use crate::wire::Wire;

/// The media type of an event stream.
const EVENTS: &str = "text/event-stream";

/// A client that was accepted.
pub(crate) struct Opening {
    pub(crate) shared: Arc<Shared>,
    pub(crate) seat: Seat,
    pub(crate) wire: Arc<Wire>,
    pub(crate) peer: Address,
    pub(crate) local: Address,
    /// The listener's number, in the order given.
    pub(crate) listener: usize,
    pub(crate) tls: Option<Tls>,
}

/// What the client was granted.
struct Upgraded {
    framing: Framing,
    handler: Handler,
    user: Option<Arc<str>>,
    subprotocol: Option<Box<str>>,
    visit: Sender<Visit>,
}

impl Opening {
    pub(crate) fn run(mut self) {
        let deadline = Deadline::after(self.shared.config.open_timeout);
        let (request, mut rest) = match self.read(deadline) {
            Ok(read) => read,
            Err(refusal) => return self.refuse(refusal, None),
        };
        match self.answer(&request, &mut rest, deadline) {
            Ok(Some(upgraded)) => self.hand_over(request, rest, upgraded),
            Ok(None) => {}
            Err(refusal) => self.refuse(refusal, Some(&request)),
        }
    }

    fn read(&self, deadline: Deadline) -> Result<(Request, Vec<u8>), Refusal> {
        if let Some(tls) = &self.tls {
            reader::secure(&self.wire, tls, deadline)?;
        }
        let (request, rest) = reader::request(&self.wire, deadline)?;
        let trusted = &self.shared.rules.trusted_proxies;
        let client = forwarded::client_ip(trusted, &self.peer, &request);
        Ok((request.arrived(self.listener, client), rest))
    }

    /// Answers with a page, or grants the upgrade.
    fn answer(
        &mut self,
        request: &Request,
        rest: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<Option<Upgraded>, Refusal> {
        let rules = &self.shared.rules;
        self.seat.count_address(request.client_ip())?;
        rules.check_host(request)?;
        if let Some(response) = rules.preflight(request) {
            return self.page(request, response);
        }
        if !request.only_reads() && request.method() != "OPTIONS" {
            rules.check_origin(request)?;
        }
        let answer = rules.answer(request);
        let (framing, handler) = match answer.kind {
            Kind::Upgrade(handler) => (Framing::Server, handler),
            Kind::Events(handler) => (Framing::Events, handler),
            Kind::Respond(response) => return self.page(request, response),
            Kind::Receive(max_size, then) => {
                let deadline = Deadline::after(self.shared.config.open_timeout);
                let rest = std::mem::take(rest);
                let body = body::read(&self.wire, request, rest, max_size, deadline);
                let body = body.map_err(|refusal| Refusal {
                    response: refusal
                        .response
                        .map(|response| rules.share(request, response)),
                    ..refusal
                })?;
                return self.page(request, then(request, body));
            }
        };
        if !request.only_reads() {
            let sentence = "only GET and HEAD are answered here";
            return Err(Response::text(405, sentence)
                .header("Allow", "GET, HEAD")
                .into());
        }
        let (head, subprotocol) = match framing {
            Framing::Events if request.is_head() => {
                return self.page(request, Response::new(200, EVENTS, Vec::new()));
            }
            Framing::Events => (
                rules.share(request, Response::empty(200)).stream(EVENTS),
                None,
            ),
            _ => {
                let key = upgrade::check(request)?;
                rules.check_origin(request)?;
                let subprotocol = rules.subprotocol(request);
                let head = upgrade::switching(key, subprotocol.as_deref());
                (head.into_bytes(), subprotocol)
            }
        };
        self.seat.take()?;
        let visit = Visit::prepare(&self.shared.threads, self.seat.id()).map_err(Full::Thread)?;
        self.wire.send_all(&head, deadline)?;
        Ok(Some(Upgraded {
            framing,
            handler,
            user: answer.user,
            subprotocol,
            visit,
        }))
    }

    /// Sends a page, or refuses with what the application answers.
    fn page(&self, request: &Request, response: Response) -> Result<Option<Upgraded>, Refusal> {
        let response = self.shared.rules.share(request, response);
        if response.status() >= 400 {
            let reason = Reason::of_application(response.status());
            return Err(Refusal::answered(reason, response));
        }
        // A page would tell whoever waits for a socket nothing.
        upgrade::check_not_lost(request)?;
        let write_timeout = self.shared.config.write_timeout;
        respond::send(&self.wire, &response, request.is_head(), write_timeout);
        self.shared.counters.page();
        let (id, client) = (self.seat.id(), self.client(request.client_ip()));
        debug!(
            "ws-conn-{id} {client} page {} sent",
            Escaped(request.path())
        );
        Ok(None)
    }

    fn hand_over(self, request: Request, rest: Vec<u8>, upgraded: Upgraded) {
        self.shared.counters.accepted();
        let opened = Opened {
            id: self.seat.id(),
            framing: upgraded.framing,
            config: self.shared.config.clone(),
            wire: self.wire,
            caretaker: Arc::clone(&self.shared.caretaker),
            peer: self.peer,
            local: self.local,
            request,
            subprotocol: upgraded.subprotocol,
            user: upgraded.user,
            response: Box::default(),
            rest,
        };
        // There is room for it, and its thread waits for it.
        let _ = upgraded.visit.send(Visit {
            seat: self.seat,
            opened,
            handler: upgraded.handler,
        });
    }

    /// Answers, if that can be, and says why.
    fn refuse(&self, refusal: Refusal, request: Option<&Request>) {
        let Refusal {
            reason,
            response,
            why,
        } = refusal;
        if let Some(response) = &response {
            let (head_only, write_timeout) = (
                request.is_some_and(Request::is_head),
                self.shared.config.write_timeout,
            );
            respond::send(&self.wire, response, head_only, write_timeout);
        }
        self.shared.counters.refused(reason);
        let (id, why) = (self.seat.id(), Escaped(&why));
        let client = self.client(request.and_then(Request::client_ip));
        let path = request.map_or_else(String::new, |r| Escaped(r.path()).to_string());
        let space = if path.is_empty() { "" } else { " " };
        match response.map(|response| response.status()) {
            Some(status) => info!(
                connection = id, peer:% = client, path = path.as_str(), status, reason = reason.name();
                "ws-conn-{id} {client}{space}{path} handshake refused with {status}: {why}"
            ),
            None => info!(
                connection = id, peer:% = client, reason = reason.name();
                "ws-conn-{id} {client}{space}{path} handshake failed: {why}"
            ),
        }
    }

    fn client(&self, client: Option<std::net::IpAddr>) -> Via<'_> {
        Via {
            client,
            peer: &self.peer,
        }
    }
}
