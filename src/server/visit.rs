//! A client's visit, from the upgrade to the end: connection, handler, goodbye. In a fresh thread of
//! its own, `ws-conn-17`.
//!
//! Fresh, since its memory is what an idle client costs: Linux keeps 32 KiB for each thread that has
//! ever sent on TCP, and TLS leaves a deep stack. Who opens has done both.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use crossbeam_channel::Sender;
use log::{error, info};

use crate::close::{CloseCode, CloseFrame};
use crate::connection::{Connection, Opened};
use crate::error::panic_text;
use crate::escaped::Escaped;
use crate::server::answer::Handler;
use crate::server::roster::Seat;
use crate::server::threads::Threads;

/// A client whose connection is open.
pub(crate) struct Visit {
    pub(crate) seat: Seat,
    pub(crate) opened: Opened,
    pub(crate) handler: Handler,
}

impl Visit {
    /// Starts the thread, which waits for its client: it must be there before the client is told
    /// that it is connected. If no client comes, as it has gone, the thread ends.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(crate) fn prepare(threads: &Arc<Threads>, id: u64) -> io::Result<Sender<Visit>> {
        let (hand_over, handed) = crossbeam_channel::bounded::<Visit>(1);
        threads.spawn(format!("ws-conn-{id}"), move || {
            let visit = handed.into_iter().next();
            if let Some(visit) = visit {
                visit.run();
            }
        })?;
        Ok(hand_over)
    }

    fn run(self) {
        let connection = Connection::new(self.opened);
        let (id, path) = (connection.id(), Escaped(connection.path()));
        let name = format!("ws-conn-{id} {} {path}", connection.caller());
        info!(connection = id, peer:% = connection.caller(), path:% = path; "{name} opened");
        self.seat.opened(&connection);
        let goodbye = handle(&connection, &self.handler, &name);
        connection.finish(goodbye);
        connection.log_end();
    }
}

/// Runs the handler; what the connection is closed with.
fn handle(connection: &Connection, handler: &Handler, name: &str) -> CloseFrame {
    let failed = match panic::catch_unwind(AssertUnwindSafe(|| handler(connection))) {
        Ok(Ok(())) => return CloseFrame::cut(CloseCode::NORMAL, ""),
        // That its peer has gone is no error of a handler, whatever call told it so.
        Ok(Err(error)) if error.is_closed() && connection.is_closed() => {
            return CloseFrame::cut(CloseCode::NORMAL, "");
        }
        Ok(Err(error)) => format!("failed: {}", Escaped(&error.to_string())),
        Err(panic) => format!("panicked: {}", Escaped(panic_text(&*panic))),
    };
    error!("{name} handler {failed}");
    CloseFrame::cut(CloseCode::INTERNAL_ERROR, "")
}
