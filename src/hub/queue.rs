//! `Queue`: what waits for the hub's thread.
//!
//! Any thread puts in, one takes out, in the same order. It has a limit for those who may wait; a
//! hub's own closures never wait: two hubs that update each other would else wait for each other for
//! ever, each for room that only the other can make. What they ask goes in above the limit, and so
//! costs memory as long as they ask for more than is done; that is theirs to bound, as a recursion is.

use std::collections::VecDeque;
use std::mem;
use std::thread;

use crate::deadline::Deadline;
use crate::lock::{Lock, Signal};

/// So many may wait; who adds one more waits for the hub.
const LIMIT: usize = 1024;

pub(super) struct Queue<T> {
    state: Lock<State<T>>,
    came: Signal,
    room: Signal,
}

struct State<T> {
    items: VecDeque<T>,
    /// Nothing more comes, or nobody takes it.
    closed: bool,
    /// The hub's thread waits. Like the next one, saves a system call where nobody waits.
    is_idle: bool,
    /// Somebody waits for room.
    is_full: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Queue<T> {
        Queue {
            state: Lock::new(State {
                items: VecDeque::new(),
                closed: false,
                is_idle: false,
                is_full: false,
            }),
            came: Signal::new(),
            room: Signal::new(),
        }
    }

    /// Adds one; waits for room if it `may_wait`.
    pub(super) fn push(&self, item: T, may_wait: bool) {
        let mut state = self.state.lock();
        while may_wait && state.items.len() >= LIMIT && !state.closed {
            state.is_full = true;
            state = self.room.wait(state, Deadline::NEVER);
        }
        if state.closed {
            return;
        }
        state.items.push_back(item);
        let is_idle = mem::take(&mut state.is_idle);
        drop(state);
        if is_idle {
            self.came.notify_one();
        }
    }

    /// The next one: of `taken`, and if that is empty, all that is queued comes there first, under
    /// one lock. Waits for it if it `may_wait`; then `None` says that the queue is closed.
    pub(super) fn pop(&self, taken: &mut VecDeque<T>, may_wait: bool) -> Option<T> {
        if taken.is_empty() {
            // A buffer that once had to be large is given back.
            taken.shrink_to(LIMIT);
            let mut state = self.state.lock();
            if may_wait && state.items.is_empty() {
                // Who has just been sent a batch may be about to answer: a turn for it makes fuller
                // batches than sleeping and being woken by the first answer.
                drop(state);
                thread::yield_now();
                state = self.state.lock();
            }
            while may_wait && state.items.is_empty() && !state.closed {
                state.is_idle = true;
                state = self.came.wait(state, Deadline::NEVER);
            }
            mem::swap(taken, &mut state.items);
            let was_full = mem::take(&mut state.is_full);
            drop(state);
            if was_full {
                self.room.notify_all();
            }
        }
        taken.pop_front()
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.came.notify_all();
        self.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A full queue, and a thread that waits for room in it and tells when it had some.
    fn full() -> (Arc<Queue<usize>>, mpsc::Receiver<()>) {
        let queue = Arc::new(Queue::new());
        (0..LIMIT).for_each(|n| queue.push(n, true));
        let (tell, told) = mpsc::channel();
        let own = Arc::clone(&queue);
        thread::spawn(move || {
            own.push(LIMIT + 1, true);
            tell.send(())
        });
        let since = Instant::now();
        while !queue.state.lock().is_full {
            assert!(since.elapsed() < PATIENCE, "it does not wait");
            thread::yield_now();
        }
        assert!(told.try_recv().is_err(), "it waits, and goes on");
        (queue, told)
    }

    #[test]
    fn who_may_wait_does_so_for_room_and_a_hub_never() {
        let (queue, told) = full();
        queue.push(LIMIT, false);
        let mut taken = VecDeque::new();
        assert_eq!(queue.pop(&mut taken, false), Some(0));
        told.recv_timeout(PATIENCE).expect("there is room");
        let rest: Vec<usize> = std::iter::from_fn(|| queue.pop(&mut taken, false)).collect();
        assert_eq!(rest, (1..=LIMIT + 1).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_waits_at_a_closed_queue() {
        let (queue, told) = full();
        queue.close();
        told.recv_timeout(PATIENCE).expect("let go");
        let mut taken = VecDeque::new();
        let rest = std::iter::from_fn(|| queue.pop(&mut taken, true)).count();
        assert_eq!(rest, LIMIT, "what was queued is still done");
    }
}
