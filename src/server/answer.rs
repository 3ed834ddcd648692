//! `Answer`: how a request is answered, as a route decides it. And the handlers it may name.

use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
use crate::http::response::Response;

pub(crate) type Handler = Arc<dyn Fn(&Connection) -> crate::Result<()> + Send + Sync>;

/// How a request is answered; made by a [`route`](crate::ServerBuilder::route).
#[derive(Clone)]
pub struct Answer(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    Respond(Response),
    Upgrade(Handler),
}

impl Answer {
    /// A WebSocket, served by this handler. A request that asks for none gets 426.
    pub fn upgrade<F>(handler: F) -> Answer
    where
        F: Fn(&Connection) -> crate::Result<()> + Send + Sync + 'static,
    {
        Answer(Kind::Upgrade(Arc::new(handler)))
    }
}

/// A page or a refusal.
impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer(Kind::Respond(response))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Respond(response) => write!(f, "Answer({})", response.status()),
            Kind::Upgrade(_) => f.write_str("Answer(upgrade)"),
        }
    }
}
