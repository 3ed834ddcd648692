//! `Tally`: what one client has sent and received, or all clients that have left.

/// What one client has sent and received; or all clients that have left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) slow_closed: u64,
    pub(crate) backlog_bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.slow_closed += other.slow_closed;
        self.backlog_bytes += other.backlog_bytes;
    }
}
