use crate::connection::framing::Framing;

use super::*;
use crate::message::Message;

fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let message = Message::from(text);
    frame::encode(
        Framing::Server,
        frame::opcode(&message),
        message.as_bytes(),
        &mut out,
    );
    out
}

fn stream(backlog: &mut Backlog, what: &str) {
    backlog.append(|out| out.extend_from_slice(&text(what)));
}

fn state(backlog: &mut Backlog, topic: &'static str, what: &str) {
    backlog.replace(State::Topic(topic.into()), &text(what));
}

/// Takes everything out, `step` bytes at a time, and gives the texts of the frames.
fn drain(backlog: &mut Backlog, step: usize) -> Vec<String> {
    let mut bytes = Vec::new();
    while !backlog.is_empty() {
        let n = step.min(backlog.front().len());
        bytes.extend_from_slice(&backlog.front()[..n]);
        backlog.advance(n);
    }
    assert_eq!(backlog.front(), b"");
    let mut texts = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let n = frame::frame_len(rest);
        texts.push(String::from_utf8_lossy(&rest[2..n]).into_owned());
        rest = &rest[n..];
    }
    texts
}

#[test]
fn a_stream_keeps_all_and_a_state_the_newest() {
    for step in [1, 3, 1000] {
        let mut backlog = Backlog::default();
        for i in 0..100 {
            state(&mut backlog, "value", &format!("v{i}"));
            state(&mut backlog, "users", &format!("u{i}"));
        }
        stream(&mut backlog, "a");
        stream(&mut backlog, "b");
        assert_eq!(drain(&mut backlog, step), ["v99", "u99", "a", "b"]);
    }
}

#[test]
fn a_state_does_not_overtake_a_stream() {
    let mut backlog = Backlog::default();
    state(&mut backlog, "value", "old");
    stream(&mut backlog, "between");
    state(&mut backlog, "value", "new");
    assert_eq!(drain(&mut backlog, 1000), ["between", "new"]);
}

#[test]
fn states_and_messages_in_turns_stay_few_entries() {
    let mut backlog = Backlog::default();
    for i in 0..1000 {
        stream(&mut backlog, "m");
        state(&mut backlog, "value", &i.to_string());
    }
    assert!(backlog.rest.len() <= 3, "{} entries", backlog.rest.len());
    let texts = drain(&mut backlog, 7);
    assert_eq!((texts.len(), texts[1000].as_str()), (1001, "999"));
}

#[test]
fn a_started_frame_is_finished() {
    let mut backlog = Backlog::default();
    state(&mut backlog, "value", "old");
    backlog.advance(1);
    state(&mut backlog, "value", "new");
    assert_eq!(backlog.len(), 4 + 5);
    let rest = backlog.front().to_vec();
    backlog.advance(rest.len());
    assert_eq!(drain(&mut backlog, 1000), ["new"]);
}

#[test]
fn dropping_keeps_the_frame_under_way_only() {
    let mut backlog = Backlog::default();
    stream(&mut backlog, "first");
    stream(&mut backlog, "second");
    stream(&mut backlog, "third");
    state(&mut backlog, "value", "1");
    backlog.advance(text("first").len() + 3);
    backlog.drop_unstarted();
    assert_eq!(backlog.front(), &text("second")[3..]);
    backlog.advance(backlog.front().len());
    assert!(backlog.is_empty());

    stream(&mut backlog, "first");
    backlog.drop_unstarted();
    assert!(backlog.is_empty());
    stream(&mut backlog, "next");
    assert_eq!(drain(&mut backlog, 2), ["next"]);
}

#[test]
fn a_frame_sent_in_part_goes_on_where_it_stopped() {
    let mut backlog = Backlog::default();
    backlog.append_started(&text("hello"), 3);
    assert_eq!(backlog.len(), 4);
    stream(&mut backlog, "x");
    assert_eq!(
        backlog.front(),
        &[&text("hello")[3..], &text("x")].concat()[..]
    );
}

#[test]
fn a_large_buffer_is_given_back_and_a_small_one_kept() {
    let mut backlog = Backlog::default();
    stream(&mut backlog, "x");
    backlog.advance(3);
    assert!(backlog.first.capacity() >= 3);
    backlog.append(|out| out.resize(KEPT * 8, 0));
    backlog.advance(KEPT * 8);
    assert!(backlog.first.capacity() <= KEPT);
}

#[test]
fn a_state_that_has_not_been_started_is_replaced_though_it_is_next() {
    let mut backlog = Backlog::default();
    state(&mut backlog, "value", "old");
    assert_eq!(backlog.front(), text("old"));
    backlog.advance(0);
    state(&mut backlog, "value", "newer");
    assert_eq!(drain(&mut backlog, 1000), ["newer"]);
}

/// Takes some 20 ms without optimisation; with a search through all of them 9 s.
#[test]
fn a_state_is_replaced_without_a_search() {
    let topics: Vec<Topic> = (0..5000).map(|i| format!("topic {i}").into()).collect();
    let start = std::time::Instant::now();
    let mut backlog = Backlog::default();
    for topic in topics.iter().chain(&topics) {
        backlog.replace(State::Topic(topic.clone()), &text("value"));
    }
    stream(&mut backlog, "between");
    for topic in &topics {
        backlog.replace(State::Topic(topic.clone()), &text("newer"));
    }
    let took = start.elapsed();
    let texts = drain(&mut backlog, 1000);
    assert!(texts.len() == 5001 && texts[0] == "between" && texts[5000] == "newer");
    assert!(took < std::time::Duration::from_secs(1), "took {took:?}");
}

#[test]
fn the_cost_of_many_small_entries_counts() {
    let mut backlog = Backlog::default();
    stream(&mut backlog, "a message");
    assert_eq!(backlog.size(), backlog.len());
    for i in 0..100 {
        let topic = format!("{i:10}");
        backlog.replace(State::Topic(topic.into()), &text("x"));
    }
    assert_eq!(backlog.size(), backlog.len() + 100 * (OVERHEAD + 20));
    backlog.advance(backlog.front().len());
    for _ in 0..100 {
        backlog.advance(3);
    }
    assert_eq!((backlog.size(), backlog.states.capacity()), (0, 0));
}
