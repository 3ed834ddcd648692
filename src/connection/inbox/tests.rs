use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::*;
use crate::caretaker::Caretaker;
use crate::config::Config;

/// An inbox, at a server if nothing else is said, and what the peer's frames make of it.
struct Setup {
    inbox: Inbox,
    outbox: Arc<Outbox>,
    peer: UnixStream,
}

impl Setup {
    fn new() -> Setup {
        Setup::of(Framing::Server)
    }

    fn of(role: Framing) -> Setup {
        let (socket, peer) = UnixStream::pair().expect("sockets");
        let caretaker = Caretaker::shared().expect("a caretaker");
        let wire = Arc::new(Wire::new(socket));
        Setup {
            inbox: Inbox::new(role, 100_000, Vec::new()),
            outbox: Outbox::new(1, role, Config::default(), wire, caretaker),
            peer,
        }
    }

    /// Lets bytes arrive in one piece: how many messages they make, and until when the rest
    /// must be whole.
    fn arrive(&mut self, bytes: &[u8]) -> (usize, Deadline) {
        let mut buffer = self.inbox.take_buffer();
        buffer.extend_from_slice(bytes);
        self.inbox.arrived(buffer, Ok(true), &self.outbox.wire);
        let mut messages = 0;
        loop {
            match self.inbox.look(&self.outbox) {
                Look::Message(_) => messages += 1,
                Look::Empty(until) => return (messages, until),
                Look::Again => {}
                Look::Over => panic!("{}", self.outbox.state().ending.closed),
            }
        }
    }
}

/// A frame masked with zeros, which leave it as it is.
fn frame(first: u8, payload: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload {
        0..126 => bytes.push(0x80 | payload as u8),
        126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(payload as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
    bytes.resize(bytes.len() + 4 + payload, 0);
    bytes
}

#[test]
fn whole_messages_leave_nothing_open_however_they_are_cut() {
    let frames = [
        (0x81, 0),
        (0x82, 5),
        (0x81, 126),
        (0x89, 3),
        (0x01, 4),
        (0x8a, 2),
        (0x00, 0),
        (0x80, 4),
        (0x81, 70_000),
        (0x8a, 0),
    ];
    let bytes: Vec<u8> = frames.iter().flat_map(|&(f, n)| frame(f, n)).collect();
    for step in [1, 2, 7, 100_000] {
        let mut setup = Setup::new();
        let mut messages = 0;
        let mut until = Deadline::NEVER;
        for piece in bytes.chunks(step) {
            let (more, now) = setup.arrive(piece);
            (messages, until) = (messages + more, now);
        }
        assert_eq!((messages, until), (5, Deadline::NEVER), "{step}");
    }
}

#[test]
fn a_ping_does_not_finish_a_message() {
    let mut setup = Setup::new();
    let (_, until) = setup.arrive(&frame(0x01, 10));
    assert_ne!(until, Deadline::NEVER);
    assert_eq!(setup.arrive(&frame(0x89, 5)), (0, until));
    assert_eq!(setup.arrive(&frame(0x00, 0)), (0, until));
    assert_eq!(setup.arrive(&frame(0x80, 0)), (1, Deadline::NEVER));
}

#[test]
fn a_pong_or_a_half_one_opens_no_message() {
    let mut setup = Setup::new();
    assert_eq!(setup.arrive(&frame(0x8a, 20)), (0, Deadline::NEVER));
    let two = [frame(0x81, 1), frame(0x8a, 20)].concat();
    assert_eq!(setup.arrive(&two[..10]), (1, Deadline::NEVER));
    assert_eq!(setup.arrive(&two[10..]), (0, Deadline::NEVER));
}

#[test]
fn half_a_message_behind_a_whole_one_has_a_time_from_its_next_byte_on() {
    let mut setup = Setup::new();
    let whole = frame(0x81, 30);
    let (messages, _) = setup.arrive(&[&whole[..], &whole[..4]].concat());
    assert_eq!(messages, 1);
    assert_ne!(setup.arrive(&whole[4..9]).1, Deadline::NEVER);
    // The next message gets a time of its own.
    assert_eq!(setup.arrive(&whole[9..]), (1, Deadline::NEVER));
}

/// Two fragments without masks can have shorter headers than one long frame has.
#[test]
fn what_stands_behind_a_message_in_fragments_is_found() {
    for (first, second) in [(32_768, 32_768), (100, 65_500), (65_535, 2)] {
        let mut setup = Setup::of(Framing::Client);
        let mut bytes = unmasked(0x01, first);
        bytes.extend(unmasked(0x80, second));
        bytes.extend(unmasked(0x81, 0));
        let (before, last) = bytes.split_at(bytes.len() - 4);
        assert_eq!(setup.arrive(before).0, 0);
        assert_eq!(setup.arrive(last).0, 2, "{first} and {second} bytes");
    }
}

fn unmasked(first: u8, payload: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload {
        0..126 => bytes.push(payload as u8),
        _ => {
            bytes.push(126);
            bytes.extend_from_slice(&(payload as u16).to_be_bytes());
        }
    }
    bytes.resize(bytes.len() + payload, 0);
    bytes
}

#[test]
fn a_connection_that_only_sends_keeps_few_messages_however_small_they_are() {
    use std::io::Write;
    let mut setup = Setup::new();
    let empty = frame(0x81, 0).repeat(MAX_EARLY * 4);
    setup.peer.write_all(&empty).expect("room in a socket");
    setup.inbox.read_control_frames(&setup.outbox);
    assert_eq!(setup.inbox.early.len(), MAX_EARLY);
}
