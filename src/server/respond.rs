//! Sends the last answer on a wire: a page or a refusal. In an opener's thread; `turn_away` in the
//! accept loop's, without ever waiting.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use log::warn;

use crate::deadline::Deadline;
use crate::http::head::MAX_HEAD;
use crate::http::response::Response;
use crate::wire::Wire;

/// After the last word, what the client still sends is thrown away up to these bounds, so that it
/// can read the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;
/// How much of a file is read at a time.
const FILE_PIECE: usize = 64 * 1024;
/// Page and refusals together; a client that reads more slowly is cut.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends the answer and ends the connection so that the client can read it. Of a file each piece must
/// be taken within the write timeout.
pub(crate) fn send(
    wire: &Wire,
    response: &Response,
    head_only: bool,
    write_timeout: Option<Duration>,
) {
    let mut deadline = Deadline::after(ANSWER_TIMEOUT);
    if wire
        .send_all(&response.encode(head_only), deadline)
        .is_err()
    {
        return;
    }
    if let Some((file, part)) = response.part_of_file().filter(|_| !head_only) {
        if send_part(wire, file, part, write_timeout).is_err() {
            return wire.abort();
        }
        deadline = Deadline::after(LINGER);
    }
    linger(wire, deadline);
}

fn send_part(
    wire: &Wire,
    file: &File,
    part: Range<u64>,
    write_timeout: Option<Duration>,
) -> io::Result<()> {
    let mut piece = vec![0; FILE_PIECE];
    let mut at = part.start;
    while at < part.end {
        let length = (part.end - at).min(FILE_PIECE as u64) as usize;
        file.read_exact_at(&mut piece[..length], at)
            .inspect_err(|error| warn!("a file changed while it was sent, and was cut: {error}"))?;
        wire.send_all(&piece[..length], Deadline::after(write_timeout))?;
        at += length as u64;
    }
    Ok(())
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
