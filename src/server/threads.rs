//! `Threads`: the threads of a server, each with a name, and who joins them.
//!
//! A thread that ends joins the one that ended before it, so that at most one finished thread waits
//! to be joined however long the server runs. Who shuts the server down waits here for all.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle, ThreadId};

use crate::deadline::Deadline;
use crate::lock::{Lock, Signal};

#[derive(Debug)]
pub(crate) struct Threads {
    stack_size: usize,
    state: Lock<State>,
    /// Told whenever a thread has ended, or comes to wait for the others.
    changed: Signal,
}

/// What the lock guards.
#[derive(Debug, Default)]
struct State {
    running: HashMap<ThreadId, JoinHandle<()>>,
    /// Who waits for the end of the others; those of `running` do not wait for each other.
    waiting: HashSet<ThreadId>,
    last_out: Option<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn new(stack_size: usize) -> Arc<Threads> {
        Arc::new(Threads {
            stack_size,
            state: Lock::default(),
            changed: Signal::new(),
        })
    }

    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// When the system gives none.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let threads = Arc::clone(self);
        // The thread finds itself on the list when it ends: the lock is held until it is there.
        let mut state = self.state.lock();
        let thread = thread::Builder::new()
            .name(name)
            .stack_size(self.stack_size)
            .spawn(move || {
                let _ending = Ending(threads);
                body();
            })?;
        state.running.insert(thread.thread().id(), thread);
        Ok(())
    }

    /// Waits until all threads have ended; called in one of them, all others but those that wait
    /// here, too. False at the deadline.
    pub(crate) fn wait(&self, deadline: Deadline) -> bool {
        let own = thread::current().id();
        let mut state = self.state.lock();
        let is_one = state.running.contains_key(&own);
        state.waiting.insert(own);
        self.changed.notify_all();
        let ended = loop {
            let excused = |id| is_one && state.waiting.contains(id);
            if state.running.keys().all(excused) {
                break true;
            }
            if deadline.has_passed() {
                break false;
            }
            state = self.changed.wait(state, deadline);
        };
        state.waiting.remove(&own);
        let last = state.last_out.take();
        drop(state);
        if let Some(thread) = last {
            let _ = thread.join();
        }
        ended
    }
}

/// Takes a thread off the list when it ends, also by a panic.
struct Ending(Arc<Threads>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let own = state.running.remove(&thread::current().id());
        let before = std::mem::replace(&mut state.last_out, own);
        drop(state);
        if let Some(thread) = before {
            let _ = thread.join();
        }
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn who_does_not_end_is_waited_for_until_the_deadline_and_no_longer() {
        let threads = Threads::new(64 * 1024);
        let (release, held) = mpsc::channel::<()>();
        let body = move || {
            let _ = held.recv();
        };
        threads.spawn("held".to_owned(), body).expect("a thread");
        assert!(!threads.wait(Deadline::after(Duration::from_millis(20))));
        drop(release);
        assert!(threads.wait(Deadline::after(LONG)));
    }

    #[test]
    fn at_most_one_that_has_ended_waits_to_be_joined() {
        let threads = Threads::new(64 * 1024);
        for _ in 0..100 {
            let panics = || panic!("of a test, on purpose");
            threads.spawn("ends".to_owned(), || ()).expect("a thread");
            threads
                .spawn("panics".to_owned(), panics)
                .expect("a thread");
        }
        assert!(threads.wait(Deadline::after(LONG)));
        let state = threads.state.lock();
        assert!(state.running.is_empty() && state.last_out.is_none());
    }

    #[test]
    fn two_of_them_that_wait_do_not_wait_for_each_other() {
        let threads = Threads::new(64 * 1024);
        let (tell, told) = mpsc::channel();
        for _ in 0..2 {
            let (tell, others) = (tell.clone(), Arc::clone(&threads));
            let body = move || {
                let _ = tell.send(others.wait(Deadline::after(LONG)));
            };
            threads.spawn("waits".to_owned(), body).expect("a thread");
        }
        assert_eq!([told.recv(), told.recv()], [Ok(true), Ok(true)]);
        assert!(threads.wait(Deadline::after(LONG)));
    }
}
