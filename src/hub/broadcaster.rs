//! `Broadcaster`: the hub's own thread, and what it owns.
//!
//! It takes all that is queued up to the bounds of a batch, runs it in order, and then gives each
//! client the whole batch. It waits for nothing but the next request: for no client, no other hub,
//! and no room in a queue.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use log::error;

use super::clients::Clients;
use super::queue::Queue;
use crate::connection::Outbox;
use crate::error::panic_text;
use crate::escaped::Escaped;

/// A batch ends at this many requests: the first of them must not be held up for long, nor for ever
/// by closures that ask for one more each time.
const BATCH: usize = 256;
/// Or at this many bytes.
const BATCH_BYTES: usize = 256 * 1024;

type Update<S> = Box<dyn FnOnce(&mut S, &mut Clients, u64) + Send>;
type OnJoin<S> = Box<dyn FnMut(&mut S, &mut Clients, u64) + Send>;
type OnLeave<S> = Box<dyn FnMut(&mut S, &mut Clients, u64) + Send>;

pub(super) enum Request<S> {
    Join(Arc<Outbox>),
    Leave(u64),
    /// With the id of who asks, 0 for nobody. The id stands here and not in the closure, as boxing a
    /// closure that holds nothing allocates nothing.
    Update(Update<S>, u64),
}

pub(super) struct Broadcaster<S> {
    state: S,
    pub(super) clients: Clients,
    pub(super) queue: Arc<Queue<Request<S>>>,
    pub(super) on_join: OnJoin<S>,
    pub(super) on_leave: OnLeave<S>,
    pub(super) before_delivery: Box<dyn FnMut(&mut S) + Send>,
}

thread_local! {
    static IS_HUB: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is that of a hub, whichever: then it must not wait.
pub(super) fn is_hub_thread() -> bool {
    IS_HUB.get()
}

impl<S> Broadcaster<S> {
    pub(super) fn new(state: S) -> Broadcaster<S> {
        Broadcaster {
            state,
            clients: Clients::default(),
            queue: Arc::new(Queue::new()),
            on_join: Box::new(|_, _, _| ()),
            on_leave: Box::new(|_, _, _| ()),
            before_delivery: Box::new(|_| ()),
        }
    }

    /// The thread's life: until the queue is closed and empty.
    pub(super) fn run(mut self) {
        IS_HUB.set(true);
        let mut taken = VecDeque::new();
        while let Some(first) = self.queue.pop(&mut taken, true) {
            self.answer(first);
            for _ in 1..BATCH {
                if self.clients.batch_bytes() > BATCH_BYTES {
                    break;
                }
                let Some(next) = self.queue.pop(&mut taken, false) else {
                    break;
                };
                self.answer(next);
            }
            guarded(|| (self.before_delivery)(&mut self.state));
            self.clients.deliver();
        }
    }

    fn answer(&mut self, request: Request<S>) {
        let (state, clients) = (&mut self.state, &mut self.clients);
        match request {
            Request::Join(outbox) => {
                let id = outbox.id;
                if clients.join(outbox) {
                    guarded(|| (self.on_join)(state, clients, id));
                }
            }
            Request::Leave(id) => {
                if clients.leave(id) {
                    guarded(|| (self.on_leave)(state, clients, id));
                }
            }
            Request::Update(update, id) => guarded(|| update(state, clients, id)),
        }
    }
}

/// Whatever ends the thread: who waits for room must not do so for ever.
impl<S> Drop for Broadcaster<S> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A closure that panics must not end the thread that all clients depend on.
fn guarded(run: impl FnOnce()) {
    if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(run)) {
        error!(
            "an update of the hub panicked: {}",
            Escaped(panic_text(&*panic))
        );
    }
}
