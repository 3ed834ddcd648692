//! HTTP/1.1 as far as an opening handshake and a page need it: a head, `Request`, `Response`, and the names
//! in their headers.

pub(crate) mod event;
pub(crate) mod head;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod subprotocols;
