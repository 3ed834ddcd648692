//! How an [`Outbox`] comes to its end: our close frame, a peer that reads too slowly, the answer to the
//! peer's close frame, a loss, a cut.
//!
//! Nothing here waits. From our close frame on the caretaker watches the close timeout.

use std::io;

use log::debug;

use crate::close::{CloseCode, CloseFrame};
use crate::connection::ending::lost_by;
use crate::connection::frame;
use crate::connection::framing::Framing;
use crate::connection::outbox::{Outbox, State};
use crate::deadline::Deadline;

impl Outbox {
    /// Queues a close frame behind what waits, unless the connection is closing already. From now
    /// on the peer has the close timeout to answer, then the caretaker cuts the connection.
    pub(crate) fn close(&self, frame: CloseFrame) {
        let mut state = self.state();
        if state.ending.is_open() {
            self.queue_close(&mut state, frame);
        }
    }

    pub(super) fn queue_close(&self, state: &mut State, frame: CloseFrame) {
        debug!("{} > Close {frame}", self.name());
        state
            .backlog
            .append(|out| frame::encode_close(self.framing, &frame, out));
        self.close_sent(state, Some(frame.clone()));
        if self.framing == Framing::Events {
            // There is no other goodbye.
            state.ending.received(frame);
        }
        self.drain_unless_blocked(state);
    }

    /// A stream's message may not be left out, so the connection ends: what has not been started
    /// makes room for the close frame.
    pub(super) fn close_slow(&self, state: &mut State) {
        if state.ending.is_open() {
            state.slow = true;
            let limit = self.config.backlog;
            let reason = format!("more than {limit} bytes wait to be read");
            if self.framing == Framing::Events {
                return self.cut_off(state, reason);
            }
            state.backlog.drop_unstarted();
            self.queue_close(state, CloseFrame::cut(CloseCode::TRY_AGAIN_LATER, &reason));
        }
    }

    /// Takes the answer to a close frame that tungstenite has made.
    pub(super) fn answer_close(&self, bytes: &[u8]) {
        let mut state = self.state();
        if !state.ending.is_open() {
            return;
        }
        let answer = state.ending.answer();
        if let Some(frame) = &answer {
            debug!("{} > Close {frame}", self.name());
        }
        state.backlog.append(|out| out.extend_from_slice(bytes));
        self.close_sent(&mut state, answer);
        self.drain_unless_blocked(&mut state);
    }

    fn close_sent(&self, state: &mut State, frame: Option<CloseFrame>) {
        state.ending.closed.sent = frame;
        state.ending.cut_at = Deadline::after(self.config.close_timeout);
        self.caretaker.tend(self.me.clone());
    }

    /// The peer's close frame has come.
    pub(super) fn received_close(&self, frame: CloseFrame) {
        debug!("{} < Close {frame}", self.name());
        self.state().ending.received(frame);
    }

    /// The connection is lost, for this reason, unless it had ended before.
    pub(super) fn lost(&self, why: String) {
        self.lose(&mut self.state(), why);
    }

    pub(super) fn lose(&self, state: &mut State, why: String) {
        if !state.ending.over {
            state.ending.lost(why);
            state.finish();
            self.wire.shutdown_both();
        }
    }

    pub(super) fn lose_by(&self, state: &mut State, error: &io::Error) {
        self.lose(state, lost_by(error));
    }

    /// Gives the peer up, for this reason: what it has not taken is thrown away.
    pub(super) fn cut(&self, why: String) {
        self.cut_off(&mut self.state(), why);
    }

    pub(super) fn cut_off(&self, state: &mut State, why: String) {
        self.lose(state, why);
        self.wire.abort();
    }

    /// Both sides have said goodbye, and the peer has been given all of it.
    pub(super) fn is_done(&self) -> bool {
        let complete = self.state().ending.is_complete();
        complete && !self.has_backlog()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::caretaker::{Caretaker, Charge};
    use crate::config::Config;
    use crate::connection::frames::Frames;
    use crate::wire::Wire;

    /// The server's end of a connection whose peer reads nothing, with its socket full.
    fn blocked(config: Config) -> (Arc<Outbox>, UnixStream) {
        let (socket, peer) = UnixStream::pair().expect("sockets");
        let caretaker = Caretaker::shared().expect("a caretaker");
        let wire = Arc::new(Wire::new(socket));
        let outbox = Outbox::new(1, Framing::Server, config, wire, caretaker);
        let mut frames = Frames::default();
        frames.push(&vec![0; 100_000].into(), None);
        while !outbox.state().blocked {
            outbox.deliver(&frames, 0..1);
        }
        (outbox, peer)
    }

    #[test]
    fn what_a_slow_reader_of_a_stream_will_not_get_makes_room() {
        let config = Config {
            backlog: 1 << 20,
            ..Config::default()
        };
        let (outbox, _peer) = blocked(config);
        let mut frames = Frames::default();
        frames.push(&vec![0; 100_000].into(), None);
        while outbox.state().ending.is_open() {
            outbox.deliver(&frames, 0..1);
        }
        let state = outbox.state();
        assert!(
            state.slow && state.backlog.len() < 200_000,
            "{}",
            state.backlog.len()
        );
    }

    #[test]
    fn who_keeps_up_is_sent_more_than_its_backlog_may_have() {
        let (socket, _peer) = UnixStream::pair().expect("sockets");
        let caretaker = Caretaker::shared().expect("a caretaker");
        let config = Config {
            backlog: 100,
            ..Config::default()
        };
        let wire = Arc::new(Wire::new(socket));
        let outbox = Outbox::new(1, Framing::Server, config, wire, caretaker);
        // Nothing waits: the socket takes it.
        let message = vec![0; 1000].into();
        assert!(outbox.try_send(&message).is_ok());
    }

    #[test]
    fn the_caretaker_stays_with_a_socket_until_all_is_sent() {
        let config = Config {
            backlog: 8 << 20,
            ..Config::default()
        };
        let (outbox, mut peer) = blocked(config);
        let mut frames = Frames::default();
        frames.push(&vec![0; 4 << 20].into(), None);
        outbox.deliver(&frames, 0..1);
        let waits = outbox.state().backlog.len();
        assert!(waits > 4 << 20, "more than a socket takes at once");
        peer.set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        let mut buffer = vec![0; 64 * 1024];
        // Nobody sends meanwhile: only the caretaker hands over what waits.
        while !outbox.state().backlog.is_empty() {
            let read = peer.read(&mut buffer).expect("bytes, as long as some wait");
            assert!(read > 0, "the end");
        }
    }

    #[test]
    fn no_ping_waits_behind_a_backlog() {
        let config = Config {
            ping_interval: Some(Duration::from_millis(1)),
            ..Config::default()
        };
        let (outbox, _peer) = blocked(config);
        let waits = outbox.state().backlog.len();
        outbox.tend(Instant::now() + Duration::from_secs(1));
        assert_eq!(outbox.state().backlog.len(), waits);
    }
}
