//! `Caretaker`: one thread for all connections of the process.
//!
//! It sends on for peers that were too slow to take everything at once, sends keepalive pings,
//! and ends what has passed its deadline. It never waits for one peer: it polls all full sockets
//! and the next point in time together, and sleeps when there is neither.
//!
//! The thread starts with the first server or client connection and is joined when the last one
//! is dropped.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use log::error;
use rustix::event::{PollFd, PollFlags};

use crate::connection::outbox::Outbox;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::wire;
use crate::wire::bell::Bell;

/// What connections ask for.
enum Request {
    /// Look at my deadlines, they have changed.
    Tend(Weak<Outbox>),
    /// My socket is full: send on when it has room.
    Drain(Arc<Outbox>),
}

/// A handle to the thread. Any thread may use it; no call waits.
#[derive(Debug)]
pub(crate) struct Caretaker {
    requests: Sender<Request>,
    bell: Arc<Bell>,
    thread: Lock<Option<JoinHandle<()>>>,
}

impl Caretaker {
    /// The caretaker of this process; starts it if there is none.
    pub(crate) fn shared() -> Result<Arc<Caretaker>> {
        static SHARED: Lock<Weak<Caretaker>> = Lock::new(Weak::new());
        let mut shared = SHARED.lock();
        if let Some(caretaker) = shared.upgrade() {
            return Ok(caretaker);
        }
        let caretaker = Caretaker::start()
            .map_err(|error| Error::io("cannot start the caretaker thread", error))?;
        *shared = Arc::downgrade(&caretaker);
        Ok(caretaker)
    }

    fn start() -> std::io::Result<Arc<Caretaker>> {
        let (requests, inbound) = crossbeam_channel::unbounded();
        let bell = Arc::new(Bell::new()?);
        let rung = Arc::clone(&bell);
        let thread = thread::Builder::new()
            .name("ws-caretaker".to_owned())
            .spawn(move || Rounds::default().run(&inbound, &rung))?;
        Ok(Arc::new(Caretaker {
            requests,
            bell,
            thread: Lock::new(Some(thread)),
        }))
    }

    pub(crate) fn tend(&self, outbox: &Arc<Outbox>) {
        self.ask(Request::Tend(Arc::downgrade(outbox)));
    }

    pub(crate) fn drain(&self, outbox: &Arc<Outbox>) {
        self.ask(Request::Drain(Arc::clone(outbox)));
    }

    fn ask(&self, request: Request) {
        // The channel is open as long as this handle is. It is not bounded, but an outbox has at
        // most one request of a kind under way for each time its state changes.
        if self.requests.send(request).is_ok() {
            self.bell.ring();
        }
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        self.bell.stop();
        let thread = self.thread.get_mut().take();
        // The last connection may be dropped on the caretaker's own thread, which ends by itself.
        if let Some(thread) = thread.filter(|t| t.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

/// What the thread itself remembers.
#[derive(Default)]
struct Rounds {
    full: Vec<Arc<Outbox>>,
    /// In the order in which they are due; the id makes equal times distinct.
    due: BTreeMap<(Instant, u64), Weak<Outbox>>,
    due_at: HashMap<u64, Instant>,
}

impl Rounds {
    fn run(mut self, requests: &Receiver<Request>, bell: &Bell) {
        while !bell.is_stopped() {
            let next = Deadline::at(self.due.keys().next().map(|(at, _)| *at));
            let mut fds = vec![bell.poll_fd()];
            fds.extend(
                self.full
                    .iter()
                    .map(|o| PollFd::from_borrowed_fd(o.wire().as_fd(), PollFlags::OUT)),
            );
            if let Err(failed) = wire::poll(&mut fds, next) {
                // poll fails for want of kernel memory only; what waits is tried again.
                error!("ws-caretaker cannot poll: {failed}");
                thread::sleep(std::time::Duration::from_millis(100));
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[0] {
                bell.answer();
            }
            let mut ready = ready[1..].iter();
            self.full
                .retain(|outbox| ready.next() != Some(&true) || outbox.drain_more());
            for request in requests.try_iter() {
                match request {
                    Request::Tend(outbox) => self.tend(&outbox),
                    Request::Drain(outbox) => {
                        self.tend(&Arc::downgrade(&outbox));
                        self.full.push(outbox);
                    }
                }
            }
            self.tend_due();
        }
    }

    fn tend_due(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let ((_, id), outbox) = entry.remove_entry();
            self.due_at.remove(&id);
            self.tend(&outbox);
        }
    }

    fn tend(&mut self, outbox: &Weak<Outbox>) {
        let Some(outbox) = outbox.upgrade() else {
            return;
        };
        let id = outbox.id;
        if let Some(at) = self.due_at.remove(&id) {
            self.due.remove(&(at, id));
        }
        if let Some(at) = outbox.tend(Instant::now()) {
            self.due_at.insert(id, at);
            self.due.insert((at, id), Arc::downgrade(&outbox));
        }
    }
}
