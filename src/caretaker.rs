//! `Caretaker`: one thread for all connections of the process.
//!
//! It sends on for peers that were too slow to take everything at once, and looks at each of its
//! charges when that one's next ping or deadline is due. It never waits for one peer: it polls all
//! full sockets and the next point in time together, and sleeps when there is neither. What a ping
//! is, and what happens at a deadline, it leaves to the charge.
//!
//! The thread starts with the first server or client connection and is joined when the last one
//! is dropped. That join is short: a round waits for nothing but `poll`, which the bell ends.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use log::error;
use rustix::event::{PollFd, PollFlags};

use crate::complaint::Complaint;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::wire;
use crate::wire::bell::Bell;

/// What the caretaker looks after. No method may wait.
pub(crate) trait Charge: Send + Sync + Debug {
    /// Different from every other charge's.
    fn id(&self) -> u64;

    fn fd(&self) -> BorrowedFd<'_>;

    /// The socket has room again: sends on. Returns whether it is full still.
    fn drain(&self) -> bool;

    /// Does what is due, and says when to look again.
    fn tend(&self, now: Instant) -> Option<Instant>;
}

/// What charges ask for.
enum Request {
    /// Look at my deadlines, they have changed.
    Tend(Weak<dyn Charge>),
    /// My socket is full: send on when it has room.
    Drain(Arc<dyn Charge>),
}

/// A handle to the thread. Any thread may use it; no call waits.
#[derive(Debug)]
pub(crate) struct Caretaker {
    requests: Sender<Request>,
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
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
            thread: Some(thread),
        }))
    }

    pub(crate) fn tend(&self, charge: Weak<dyn Charge>) {
        self.ask(Request::Tend(charge));
    }

    pub(crate) fn drain(&self, charge: Arc<dyn Charge>) {
        self.ask(Request::Drain(charge));
    }

    fn ask(&self, request: Request) {
        // The channel is open as long as this handle is. It is not bounded, but a charge has at
        // most one request of a kind under way for each time its state changes.
        if self.requests.send(request).is_ok() {
            self.bell.ring();
        }
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        self.bell.stop();
        // The last connection may be dropped on the caretaker's own thread, which ends by itself.
        let other = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(other) {
            let _ = thread.join();
        }
    }
}

/// What the thread itself remembers.
#[derive(Default)]
struct Rounds {
    full: Vec<Arc<dyn Charge>>,
    /// In the order in which they are due; the id makes equal times distinct.
    due: BTreeMap<(Instant, u64), Weak<dyn Charge>>,
    due_at: HashMap<u64, Instant>,
}

impl Rounds {
    fn run(mut self, requests: &Receiver<Request>, bell: &Bell) {
        let mut troubled = Complaint::default();
        // A stop behind this look finds the bell unanswered or makes it ring, so that the poll
        // returns at once.
        while !bell.is_stopped() {
            let next = Deadline::at(self.due.keys().next().map(|(at, _)| *at));
            let mut fds = vec![bell.poll_fd()];
            let full = self.full.iter().map(|charge| charge.fd());
            fds.extend(full.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
            if let Err(failed) = wire::poll(&mut fds, next) {
                // poll fails for want of kernel memory only; what waits is tried again.
                troubled.tell(|| error!("ws-caretaker cannot poll: {failed}"));
                thread::sleep(Duration::from_millis(100));
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[0] {
                bell.answer();
            }
            let mut ready = ready[1..].iter();
            self.full
                .retain(|charge| ready.next() != Some(&true) || charge.drain());
            for request in requests.try_iter() {
                match request {
                    Request::Tend(charge) => self.tend(&charge),
                    Request::Drain(charge) => {
                        self.tend(&Arc::downgrade(&charge));
                        self.full.push(charge);
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
            let ((_, id), charge) = entry.remove_entry();
            self.due_at.remove(&id);
            self.tend(&charge);
        }
    }

    fn tend(&mut self, charge: &Weak<dyn Charge>) {
        let Some(charge) = charge.upgrade() else {
            return;
        };
        let id = charge.id();
        if let Some(at) = self.due_at.remove(&id) {
            self.due.remove(&(at, id));
        }
        if let Some(at) = charge.tend(Instant::now()) {
            self.due_at.insert(id, at);
            self.due.insert((at, id), Arc::downgrade(&charge));
        }
    }
}
