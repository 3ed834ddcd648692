//! `Rules`: which requests a server takes, from where, and by which handler.
//!
//! Text is compared, nothing is sent or resolved here.

use std::sync::Arc;

use crate::address::{Address, HostPort};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::network::Network;
use crate::server::answer::{Answer, Handler, Kind};
use crate::server::metrics::Reason;
use crate::server::origin::{is_same_host, is_same_origin};
use crate::server::refusal::Refusal;

pub(crate) type Route = Box<dyn Fn(&Request) -> Option<Answer> + Send + Sync>;

pub(crate) struct Rules {
    pub(crate) handler: Handler,
    pub(crate) route: Option<Route>,
    /// Origins instead of the default: none, the same host, `null`.
    pub(crate) origins: Option<Vec<String>>,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) subprotocols: Vec<String>,
    /// Peers whose word about a client's address is taken.
    pub(crate) trusted_proxies: Vec<Network>,
}

impl Rules {
    pub(crate) fn trusts(&self, peer: &Address) -> bool {
        self.trusted_proxies.iter().any(|network| network.has(peer))
    }

    /// What the route says, or else the server's handler.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let answer = self.route.as_ref().and_then(|route| route(request));
        answer.unwrap_or_else(|| Answer::from(Kind::Upgrade(Arc::clone(&self.handler))))
    }

    /// A page of a foreign name that resolves to us (DNS rebinding) has the right Origin; only
    /// its Host gives it away.
    pub(crate) fn check_host(&self, request: &Request) -> Result<(), Refusal> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        let host = request.header("Host").unwrap_or_default();
        let name = HostPort::parse(host).map_or(host, |parsed| parsed.name);
        let is = |allowed: &String| [name, host].iter().any(|h| allowed.eq_ignore_ascii_case(h));
        let why = "the Host of the request is not served here";
        forbid(hosts.iter().any(is), Reason::Host, why, Some(host))
    }

    /// A browser says which page opens the socket, or wants to change something; another site's page
    /// may not.
    pub(crate) fn check_origin(&self, request: &Request) -> Result<(), Refusal> {
        let mut origins = request.all("Origin");
        let origin = origins.next();
        // From a page of another site. Where there is an Origin, that says more.
        let foreign = ["cross-site", "same-site"].map(Some);
        let is_foreign = || foreign.contains(&request.header("Sec-Fetch-Site"));
        let fine = match (&self.origins, origin) {
            _ if origins.next().is_some() => false,
            (_, None) if !request.only_reads() && is_foreign() => false,
            (None, None) => true,
            // A page from disk has no origin, nor has a form in a sandboxed frame of any site: it may
            // talk, but not post, unless the browser knows better: a page of ours that hides where it
            // is (Referrer-Policy) says so, too.
            (None, Some("null")) => {
                request.only_reads() || request.header("Sec-Fetch-Site") == Some("same-origin")
            }
            (None, Some(origin)) => is_same_host(origin, request.header("Host")),
            (Some(allowed), None) => allowed.iter().any(|o| o == "none"),
            (Some(allowed), Some(origin)) => allowed.iter().any(|o| is_same_origin(o, origin)),
        };
        let why = "the Origin of the page is not allowed here";
        forbid(fine, Reason::Origin, why, origin)
    }

    /// Whether a page of another site may read the answer: only if its origin is named.
    pub(crate) fn shared_with<'a>(&self, request: &'a Request) -> Option<&'a str> {
        let origin = request.header("Origin")?;
        let allowed = self.origins.as_ref()?;
        let is_named = allowed
            .iter()
            .any(|o| o != "none" && is_same_origin(o, origin));
        is_named.then_some(origin)
    }

    /// The answer to a browser that asks, before a request of another site's page, whether it may send
    /// that (the Fetch standard, section 3.3).
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        if request.method() != "OPTIONS" {
            return None;
        }
        request.header("Access-Control-Request-Method")?;
        let Some(_) = self.shared_with(request) else {
            let why = "the Origin of the page is not allowed here";
            return Some(Response::text(403, why));
        };
        let asked = request
            .header("Access-Control-Request-Headers")
            .unwrap_or_default();
        let is_token = |name: &str| {
            let fine =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            !name.is_empty() && name.bytes().all(fine)
        };
        let are_tokens = asked.split(',').map(str::trim).all(is_token);
        let headers = if are_tokens { asked } else { "" };
        let methods = "GET, HEAD, POST, PUT, PATCH, DELETE";
        let response = Response::empty(204)
            .header("Access-Control-Allow-Methods", methods)
            .header("Access-Control-Max-Age", "600");
        Some(match headers {
            "" => response,
            headers => response.header("Access-Control-Allow-Headers", headers.to_owned()),
        })
    }

    /// With what lets the page of another site read it, if it may.
    pub(crate) fn share(&self, request: &Request, response: Response) -> Response {
        match self.shared_with(request) {
            None => response,
            Some(origin) => response
                .header("Access-Control-Allow-Origin", origin.to_owned())
                .header("Access-Control-Expose-Headers", "ETag")
                .header("Vary", "Origin"),
        }
    }

    /// The first of ours that the client offers, in the order that we prefer. None is no reason to
    /// refuse it: it can close the connection if it cannot do without (RFC 6455, section 4.2.2).
    pub(crate) fn subprotocol(&self, request: &Request) -> Option<Box<str>> {
        let offered = |name: &&String| {
            let mut offers = request.elements("Sec-WebSocket-Protocol");
            offers.any(|offer| offer == *name)
        };
        let name = self.subprotocols.iter().find(offered)?;
        Some(name.as_str().into())
    }
}

/// The answer repeats nothing that was sent; the log may, escaped and cut.
fn forbid(fine: bool, reason: Reason, why: &str, sent: Option<&str>) -> Result<(), Refusal> {
    if fine {
        return Ok(());
    }
    let mut refusal = Refusal::answered(reason, Response::text(403, why));
    if let Some(sent) = sent {
        refusal.why = format!("{why}: {sent}");
    }
    Err(refusal)
}
