//! `Answer`: how a request is answered, as a route decides it. And the handlers it may name.

use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
use crate::http::request::Request;
use crate::http::response::Response;

pub(crate) type Handler = Arc<dyn Fn(&Connection) -> crate::Result<()> + Send + Sync>;

/// Makes an answer of a request and its body.
pub(crate) type Receive = Arc<dyn Fn(&Request, Vec<u8>) -> Response + Send + Sync>;

/// How a request is answered; made by a [`route`](crate::ServerBuilder::route).
#[derive(Clone)]
pub struct Answer {
    pub(crate) kind: Kind,
    pub(crate) user: Option<Arc<str>>,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Respond(Response),
    Receive(usize, Receive),
    Upgrade(Handler),
    Events(Handler),
}

impl Answer {
    /// A WebSocket, served by this handler. A request that asks for none gets 426.
    pub fn upgrade<F>(handler: F) -> Answer
    where
        F: Fn(&Connection) -> crate::Result<()> + Send + Sync + 'static,
    {
        Answer::from(Kind::Upgrade(Arc::new(handler)))
    }

    /// Reads the request's body, of at most `max_size` bytes, then answers with what `then` makes of
    /// it. `then` runs in the client's own thread and may wait: for a hub, or for a disk.
    ///
    /// The body has a `Content-Length` or comes in chunks; who waits for `100 Continue` gets it. It
    /// must come within the [`open_timeout`](crate::ServerBuilder::open_timeout). A larger one gets
    /// 413, one that is cut or not valid 400, one without a length 411, a slow one 408.
    ///
    /// ```
    /// use plainws::{Answer, Response, Server};
    ///
    /// Server::builder(|_| Ok(())).route(|request| match request.method() {
    ///     "POST" => Some(Answer::receive(1024, |_, body| {
    ///         Response::text(200, format!("{} bytes", body.len()))
    ///     })),
    ///     _ => None,
    /// });
    /// ```
    pub fn receive<F>(max_size: usize, then: F) -> Answer
    where
        F: Fn(&Request, Vec<u8>) -> Response + Send + Sync + 'static,
    {
        Answer::from(Kind::Receive(max_size, Arc::new(then)))
    }

    /// A stream of server-sent events (HTML standard, section 9.2), served by this handler: what a browser
    /// reads with `EventSource`. Its connection only sends, and each message stands in the stream as it
    /// is; [`Event`](crate::Event) writes one. It can be registered with a [`Hub`](crate::Hub), has a
    /// place, a backlog and pings (comments) as a WebSocket has, and who reads too slowly is cut off.
    /// Receiving waits for the client to go. Closing it sends what is queued and ends the stream.
    ///
    /// ```
    /// use plainws::{Answer, Event, Server};
    ///
    /// Server::builder(|_| Ok(())).route(|request| match request.path() {
    ///     "/events" => Some(Answer::events(|events| {
    ///         events.send(Event::new("hello").to_string())?;
    ///         events.recv().map(drop)
    ///     })),
    ///     _ => None,
    /// });
    /// ```
    pub fn events<F>(handler: F) -> Answer
    where
        F: Fn(&Connection) -> crate::Result<()> + Send + Sync + 'static,
    {
        Answer::from(Kind::Events(Arc::new(handler)))
    }

    /// Says who the client is; the handler finds it as [`Connection::user`].
    pub fn user(mut self, name: impl Into<Arc<str>>) -> Answer {
        self.user = Some(name.into());
        self
    }
}

impl From<Kind> for Answer {
    fn from(kind: Kind) -> Answer {
        Answer { kind, user: None }
    }
}

/// A page or a refusal. If the request has a body, that is not read.
impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer::from(Kind::Respond(response))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Respond(response) => write!(f, "Answer({})", response.status()),
            Kind::Receive(max_size, _) => write!(f, "Answer(receive {max_size})"),
            Kind::Events(_) => f.write_str("Answer(events)"),
            Kind::Upgrade(_) => f.write_str("Answer(upgrade)"),
        }
    }
}
