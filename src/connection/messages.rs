//! `Messages`: `for message in &connection`.

use crate::close::Closed;
use crate::connection::Connection;
use crate::error::Result;
use crate::message::Message;

/// The messages of a connection, by `for message in &connection`.
#[derive(Debug)]
pub struct Messages<'a> {
    connection: &'a Connection,
    over: bool,
}

/// Receives message after message: `for message in ws` in a handler, `for message in &ws` at a
/// client. Ends quietly when the connection was closed normally (1000,
/// 1001 or no code from both sides), and with the error if it was not.
impl<'a> IntoIterator for &'a Connection {
    type Item = Result<Message>;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        Messages {
            connection: self,
            over: false,
        }
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Result<Message>> {
        if self.over {
            return None;
        }
        match self.connection.recv() {
            Ok(message) => Some(Ok(message)),
            Err(error) => {
                self.over = true;
                let quiet = error.closed().is_some_and(Closed::is_normal);
                (!quiet).then_some(Err(error))
            }
        }
    }
}
