//! Sends the last answer on a wire: a page or a refusal. In an opener's thread; `turn_away` in the
//! accept loop's, without ever waiting.

use std::time::Duration;

use crate::deadline::Deadline;
use crate::http::head::MAX_HEAD;
use crate::http::response::Response;
use crate::wire::Wire;

/// After the last word, what the client still sends is thrown away up to these bounds, so that it
/// can read the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;
/// Page and refusals together; a client that reads more slowly is cut.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends the answer and ends the connection so that the client can read it.
pub(crate) fn send(wire: &Wire, response: &Response, head_only: bool) {
    let deadline = Deadline::after(ANSWER_TIMEOUT);
    if wire.send_all(&response.encode(head_only), deadline).is_ok() {
        linger(wire, deadline);
    }
}

/// Says that nothing more is sent, and waits a moment for the client to have read what was.
pub(crate) fn linger(wire: &Wire, deadline: Deadline) {
    wire.shutdown_write();
    wire.discard(LINGER_BYTES, deadline.or(Deadline::after(LINGER)));
}

/// Answers without reading the request, for when there is no thread for the client: what has come is
/// taken off so that the answer is not lost to a reset. Never waits.
pub(crate) fn turn_away(wire: &Wire, response: &Response) {
    let now = Deadline::after(Duration::ZERO);
    wire.discard(MAX_HEAD, now);
    let _ = wire.send(&response.encode(false));
    wire.shutdown_write();
    wire.discard(MAX_HEAD, now);
}
