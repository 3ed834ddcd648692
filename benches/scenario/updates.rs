//! Updates of the counter: one client sends them, all clients get the new state.

use std::time::{Duration, Instant};

use crate::Result;
use crate::client::{Client, PATIENCE};
use crate::crowd::Crowd;
use crate::frame::{self, masked};
use crate::latencies::Latencies;

/// What the counter makes an update of.
const PLUS: &[u8] = br#"{"action":"plus"}"#;
/// What it tells everybody: this, the value, and a brace.
const STATE: &[u8] = br#"{"type":"state","value":"#;
/// So long must nobody hear anything before all have joined.
const QUIET: Duration = Duration::from_millis(500);

/// When client 0 sends the next update.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as every client has the one before.
    WhenAllHaveIt,
    /// As soon as fewer than so many of its own are unanswered.
    Window(usize),
    /// At fixed times, whatever happened to those before.
    Every(Duration),
}

/// When a drive ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Passed(Duration),
    Sent(usize),
}

/// The updates sent so far, and who has them.
///
/// An update counts as arrived with its value or any later one: a server may leave out values that
/// are old already.
pub(crate) struct Updates {
    /// The counter's value before the first update.
    base: i64,
    /// How many of the updates each client has.
    got: Vec<usize>,
    /// For each update when it was sent, or should have been, and how many clients miss it.
    sent: Vec<(Instant, usize)>,
    /// So many of the updates are with everybody.
    finished: usize,
    latencies: Latencies,
}

impl Updates {
    /// Waits until all clients have heard of each other and agree about the state.
    pub(crate) fn join(crowd: &mut Crowd) -> Result<Updates> {
        let mut values = vec![None; crowd.len()];
        crowd.settle(QUIET, |index, client| {
            values[index] = take_states(client)?.newest.or(values[index]);
            Ok(())
        })?;
        let base = values[0].ok_or("the counter told no state to client 0")?;
        if let Some(other) = values.iter().position(|value| *value != Some(base)) {
            return Err(format!(
                "client 0 starts with the value {base}, client {other} with {:?}",
                values[other]
            ));
        }
        Ok(Updates {
            base,
            got: vec![0; crowd.len()],
            sent: Vec::new(),
            finished: 0,
            latencies: Latencies::default(),
        })
    }

    /// How many updates were sent.
    pub(crate) fn count(&self) -> usize {
        self.sent.len()
    }

    /// The value after all of them.
    pub(crate) fn newest(&self) -> i64 {
        self.base + self.sent.len() as i64
    }

    /// What was recorded since the last call.
    pub(crate) fn take_latencies(&mut self) -> Latencies {
        std::mem::take(&mut self.latencies)
    }

    /// Sends updates at a pace and returns how many messages arrived meanwhile. The last updates
    /// may still be on their way: see [`Updates::finish`].
    pub(crate) fn drive(&mut self, crowd: &mut Crowd, pace: Pace, until: Until) -> Result<u64> {
        let plus = masked(frame::TEXT, PLUS);
        let (start, first) = (Instant::now(), self.count());
        let mut heard = start;
        let mut messages = 0;
        loop {
            let now = Instant::now();
            let over = match until {
                Until::Passed(duration) => now >= start + duration,
                Until::Sent(count) => self.count() - first >= count,
            };
            if over {
                return Ok(messages);
            }
            let before = self.count();
            let mut timeout = Duration::from_secs(1);
            match pace {
                Pace::WhenAllHaveIt if self.finished == before => self.send_at(now),
                Pace::WhenAllHaveIt => {}
                Pace::Window(size) => {
                    let unanswered = before - self.got[0];
                    (unanswered..size).for_each(|_| self.send_at(now));
                }
                Pace::Every(step) => {
                    // Late ones count from when they were due, or a stall would hide most of what
                    // it delays.
                    let mut due = start + step * (before - first) as u32;
                    while due <= now {
                        self.send_at(due);
                        due += step;
                    }
                    timeout = due - now;
                }
            }
            // One system call each, as from clients that do not know of each other.
            for _ in before..self.count() {
                crowd.send(0, &plus)?;
            }
            let (count, any) = self.turn(crowd, timeout)?;
            messages += count;
            if any {
                heard = Instant::now();
            }
            self.check_stall(heard)?;
        }
    }

    /// Waits until every client has every update: a check, and the latencies of the last ones.
    pub(crate) fn finish(&mut self, crowd: &mut Crowd) -> Result<()> {
        let mut heard = Instant::now();
        while self.finished < self.count() {
            if self.turn(crowd, Duration::from_secs(1))?.1 {
                heard = Instant::now();
            }
            self.check_stall(heard)?;
        }
        Ok(())
    }

    fn send_at(&mut self, time: Instant) {
        self.sent.push((time, self.got.len()));
    }

    /// How many messages arrived, and whether any client heard anything.
    fn turn(&mut self, crowd: &mut Crowd, timeout: Duration) -> Result<(u64, bool)> {
        let mut messages = 0;
        let any = crowd.turn(timeout, |index, client| {
            let states = take_states(client)?;
            messages += states.messages;
            match states.newest {
                Some(value) => self.arrived(index, value),
                None => Ok(()),
            }
        })?;
        Ok((messages, any))
    }

    fn arrived(&mut self, client: usize, value: i64) -> Result<()> {
        let now = Instant::now();
        let got = usize::try_from(value - self.base)
            .ok()
            .filter(|got| (self.got[client]..=self.sent.len()).contains(got))
            .ok_or_else(|| {
                format!(
                    "the state {value} came after {} and before more than {} was sent",
                    self.base + self.got[client] as i64,
                    self.newest()
                )
            })?;
        for (sent, missing) in &mut self.sent[self.got[client]..got] {
            *missing -= 1;
            if *missing == 0 {
                self.finished += 1;
                self.latencies.record(now.saturating_duration_since(*sent));
            }
        }
        self.got[client] = got;
        Ok(())
    }

    fn check_stall(&self, heard: Instant) -> Result<()> {
        Crowd::check_stall(heard, || {
            let update = self.finished + 1;
            let missing = self.got.iter().filter(|got| **got < update).count();
            format!("update {update} has not reached {missing} clients")
        })
    }
}

/// What a client has heard.
#[derive(Default)]
pub(crate) struct States {
    pub(crate) messages: u64,
    /// The value of the last state among them.
    pub(crate) newest: Option<i64>,
}

/// Takes all messages that were read.
pub(crate) fn take_states(client: &mut Client) -> Result<States> {
    let (mut messages, mut last) = (0, None);
    while let Some(message) = client.next_message()? {
        messages += 1;
        if client.payload(&message).starts_with(STATE) {
            last = Some(message);
        }
    }
    // Only the last one is looked into: at millions of messages a second the generator must not
    // become the limit.
    let newest = match last {
        Some(message) => Some(value_of(client.payload(&message))?),
        None => None,
    };
    Ok(States { messages, newest })
}

fn value_of(state: &[u8]) -> Result<i64> {
    state
        .strip_prefix(STATE)
        .and_then(|rest| rest.strip_suffix(b"}"))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            format!(
                "no state of a counter: {:?}",
                String::from_utf8_lossy(state)
            )
        })
}

/// Lets a single client read until it has had a value, and for a while longer: nothing older may
/// follow. Returns how many states it got.
pub(crate) fn read_up_to(client: &mut Client, value: i64) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    let mut scratch = [0; 4096];
    let (mut states, mut last) = (0, None);
    while Instant::now() < deadline {
        if !client.wait_readable(Duration::from_millis(300))? && last == Some(value) {
            return Ok(states);
        }
        client.fill(&mut scratch);
        while let Some(message) = client.next_message()? {
            if client.payload(&message).starts_with(STATE) {
                last = Some(value_of(client.payload(&message))?);
                states += 1;
            }
        }
    }
    let last = last.map_or("none".into(), |last| last.to_string());
    Err(format!(
        "after {PATIENCE:?} of reading the last state it got is {last}, the newest one is {value}"
    ))
}
