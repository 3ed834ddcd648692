//! `Hub`: the broadcast thread. It owns a state and the registered senders; one thread makes all
//! updates, so every client sees the same order.
//!
//! It takes all that is queued, runs the updates, encodes each frame once, and gives each client
//! the whole batch in one system call. It waits for no client.

use std::collections::HashMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};
use log::error;

use crate::connection::Connection;
use crate::connection::frame::{Frames, Topic};
use crate::connection::outbox::Outbox;
use crate::error::panic_text;
use crate::escaped::Escaped;
use crate::message::Message;

/// Updates that may wait; who adds one more waits for the hub.
const QUEUE: usize = 1024;
/// A batch ends at this many requests, so that the first of them is not held up for long.
const BATCH: usize = 256;
/// Or at this many bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// What all hubs have broadcast: a hub belongs to no server whose figure it could be.
static BROADCASTS: AtomicU64 = AtomicU64::new(0);

/// The broadcasts of all hubs of the process.
pub(crate) fn broadcasts() -> u64 {
    BROADCASTS.load(Ordering::Relaxed)
}

type Update<S> = Box<dyn FnOnce(&mut S, &mut Clients) + Send>;
type OnJoin<S> = Box<dyn FnMut(&mut S, &mut Clients, u64) + Send>;
type OnLeave<S> = Box<dyn FnMut(&mut S, &mut Clients) + Send>;
type BeforeDelivery<S> = Box<dyn FnMut(&S) + Send>;

enum Request<S> {
    Join(Arc<Outbox>),
    Leave(u64),
    Update(Update<S>),
    OnJoin(OnJoin<S>),
    OnLeave(OnLeave<S>),
    BeforeDelivery(BeforeDelivery<S>),
}

/// Broadcasts to registered connections, and owns a state that all of them share.
///
/// # Threads
///
/// Any thread may use it; a clone is a handle to the same hub. The hub's own thread (`ws-hub`)
/// runs the closures given to it one after the other and ends when the last handle and the last
/// [`Registration`] are dropped. Calls wait only while 1024 updates are queued already.
/// What a closure asks of the hub it runs on is done after what is queued. It must not block.
///
/// ```
/// use plainws::{Hub, Server};
///
/// let hub = Hub::new(0_i64).on_join(|count, clients, newcomer| {
///     clients.send_to(newcomer, count.to_string());
/// });
/// let server = Server::builder(move |ws| {
///     let _registered = hub.register(ws);
///     for message in ws {
///         let step = message?.len() as i64;
///         hub.update(move |count, clients| {
///             *count += step;
///             clients.publish("count", count.to_string());
///         });
///     }
///     Ok(())
/// })
/// .listen("localhost:0")
/// .start()?;
///
/// let ws = plainws::connect(&format!("ws://{}", server.local_addr()))?;
/// assert_eq!(ws.recv()?.to_string(), "0");
/// ws.send("four")?;
/// assert_eq!(ws.recv()?.to_string(), "4");
/// # Ok::<(), plainws::Error>(())
/// ```
pub struct Hub<S: 'static = ()> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    /// `None` only while it is dropped.
    requests: Option<Sender<Request<S>>>,
    /// What the hub's own thread asks for: it must not wait for itself to take it.
    own: Arc<Mutex<Vec<Request<S>>>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: Send + 'static> Hub<S> {
    /// Starts a hub that owns `state`.
    ///
    /// # Panics
    ///
    /// If the system gives no thread.
    pub fn new(state: S) -> Hub<S> {
        let (requests, inbound) = crossbeam_channel::bounded(QUEUE);
        let own = Arc::new(Mutex::default());
        let asked = Arc::clone(&own);
        let thread = thread::Builder::new()
            .name("ws-hub".to_owned())
            .spawn(move || Broadcaster::new(state).run(&inbound, &asked))
            .expect("the system gives no thread for a hub");
        Hub {
            inner: Arc::new(Inner {
                requests: Some(requests),
                own,
                thread: Some(thread),
            }),
        }
    }

    /// Calls `joined` whenever a connection has been registered, with its id.
    pub fn on_join<F>(self, joined: F) -> Self
    where
        F: FnMut(&mut S, &mut Clients, u64) + Send + 'static,
    {
        self.ask(Request::OnJoin(Box::new(joined)));
        self
    }

    /// Calls `left` whenever a connection is registered no more.
    pub fn on_leave<F>(self, left: F) -> Self
    where
        F: FnMut(&mut S, &mut Clients) + Send + 'static,
    {
        self.ask(Request::OnLeave(Box::new(left)));
        self
    }

    /// Calls `before` whenever a batch of updates is done, before any client gets anything of it:
    /// what it saves is safe by the time that it is seen, with one write for all that came
    /// together. It may block, unlike updates; until it returns nothing is sent, and the next
    /// batch gathers.
    ///
    /// ```
    /// use plainws::Hub;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("value");
    /// let mut saved = 0;
    /// let hub = Hub::new(saved).before_delivery(move |value: &i64| {
    ///     if *value != saved && std::fs::write(&path, value.to_string()).is_ok() {
    ///         saved = *value;
    ///     }
    /// });
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn before_delivery<F>(self, before: F) -> Self
    where
        F: FnMut(&S) + Send + 'static,
    {
        self.ask(Request::BeforeDelivery(Box::new(before)));
        self
    }

    /// Registers a connection until the guard is dropped: it gets all that is broadcast between.
    /// Keep the guard in a variable with a name: `let _ =` drops it at once. Registering a
    /// connection twice counts once.
    pub fn register(&self, connection: &Connection) -> Registration<S> {
        self.ask(Request::Join(Arc::clone(connection.outbox())));
        Registration {
            hub: self.clone(),
            id: connection.id(),
        }
    }

    /// Lets `update` change the state and send to the clients, on the hub's thread, after all
    /// that was queued before. Returns when it is queued.
    pub fn update<F>(&self, update: F)
    where
        F: FnOnce(&mut S, &mut Clients) + Send + 'static,
    {
        self.ask(Request::Update(Box::new(update)));
    }

    /// Sends a message to all registered connections; see [`Clients::broadcast`].
    pub fn broadcast(&self, message: impl Into<Message>) {
        let message = message.into();
        self.update(move |_, clients| clients.broadcast(message));
    }

    /// Sends the newest value of a state to all registered connections; see
    /// [`Clients::publish`].
    pub fn publish(&self, topic: impl Into<Topic>, value: impl Into<Message>) {
        let (topic, value) = (topic.into(), value.into());
        self.update(move |_, clients| clients.publish(topic, value));
    }
}

impl<S> Hub<S> {
    fn ask(&self, request: Request<S>) {
        let inner = &*self.inner;
        let hub = inner.thread.as_ref().map(|thread| thread.thread().id());
        if hub == Some(thread::current().id()) {
            return lock(&inner.own).push(request);
        }
        // The thread ends only after this handle, so there is always somebody to receive.
        if let Some(requests) = &inner.requests {
            let _ = requests.send(request);
        }
    }
}

impl<S> Clone for Hub<S> {
    fn clone(&self) -> Self {
        Hub {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<S> fmt::Debug for Hub<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl<S> Drop for Inner<S> {
    fn drop(&mut self) {
        self.requests = None;
        let me = thread::current().id();
        // A closure may hold the last handle: then the thread ends by itself.
        if let Some(thread) = self
            .thread
            .take()
            .filter(|thread| thread.thread().id() != me)
        {
            let _ = thread.join();
        }
    }
}

/// That a connection is registered with a hub. Dropping it ends that.
#[must_use = "dropping it unregisters the connection"]
pub struct Registration<S: 'static = ()> {
    hub: Hub<S>,
    id: u64,
}

impl<S> Drop for Registration<S> {
    fn drop(&mut self) {
        self.hub.ask(Request::Leave(self.id));
    }
}

impl<S> fmt::Debug for Registration<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The registered connections, as the closures of a [`Hub`] see them.
///
/// Nothing here waits: what is sent goes out when the closures queued so far have run.
#[derive(Default)]
pub struct Clients {
    members: HashMap<u64, Member>,
    /// Who left during this batch and still gets a part of it.
    gone: Vec<Gone>,
    /// What all members get with this batch.
    frames: Frames,
}

struct Member {
    outbox: Arc<Outbox>,
    /// How often it is registered.
    times: usize,
    /// The first frame of the batch that is meant for it.
    first: usize,
    /// What it alone gets with this batch, each before the frame of this number.
    own: Vec<(usize, Message)>,
}

/// A member that is none any more.
struct Gone {
    member: Member,
    /// The first frame of the batch that is not meant for it.
    end: usize,
}

impl Clients {
    /// The number of registered connections.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Sends a message to all. Who reads so slowly that more than its backlog limit waits is
    /// closed with 1013, as a stream must not have gaps.
    pub fn broadcast(&mut self, message: impl Into<Message>) {
        self.push(&message.into(), None);
    }

    /// Sends the newest value of a state, named `topic`, to all. Who keeps up gets every value;
    /// for who reads too slowly it takes the place of the one that waits. The backlog limit must
    /// have room for two values, one being sent and one waiting.
    pub fn publish(&mut self, topic: impl Into<Topic>, value: impl Into<Message>) {
        self.push(&value.into(), Some(topic.into()));
    }

    /// Sends a message to one registered connection, in order with what all get.
    pub fn send_to(&mut self, id: u64, message: impl Into<Message>) {
        let at = self.frames.len();
        if let Some(member) = self.members.get_mut(&id) {
            member.own.push((at, message.into()));
        }
    }

    fn push(&mut self, message: &Message, topic: Option<Topic>) {
        if !self.members.is_empty() {
            self.frames.push(message, topic);
        }
    }

    fn join(&mut self, outbox: Arc<Outbox>) -> bool {
        let first = self.frames.len();
        let id = outbox.id;
        let new = || Member {
            outbox,
            times: 0,
            first,
            own: Vec::new(),
        };
        let member = self.members.entry(id).or_insert_with(new);
        member.times += 1;
        member.times == 1
    }

    fn leave(&mut self, id: u64) -> bool {
        let Some(member) = self.members.get_mut(&id) else {
            return false;
        };
        member.times -= 1;
        if member.times > 0 {
            return false;
        }
        let end = self.frames.len();
        // What was said before it left is for it, too; but like the others it gets that when the
        // batch is done.
        let gone = self.members.remove(&id).map(|member| Gone { member, end });
        let waits = |gone: &Gone| gone.member.first < end || !gone.member.own.is_empty();
        self.gone.extend(gone.filter(waits));
        true
    }

    /// Gives each member its part of the batch.
    fn deliver(&mut self) {
        if self.frames.len() > 0 {
            BROADCASTS.fetch_add(self.frames.len() as u64, Ordering::Relaxed);
        }
        // First: who has left and come again gets this first.
        for Gone { mut member, end } in self.gone.drain(..) {
            member.deliver_until(&self.frames, end);
        }
        for member in self.members.values_mut() {
            member.deliver(&self.frames);
            member.first = 0;
        }
        self.frames.clear();
    }
}

impl Member {
    fn deliver(&mut self, frames: &Frames) {
        if self.own.is_empty() {
            if self.first < frames.len() {
                self.outbox.deliver(frames, self.first);
            }
            return;
        }
        self.deliver_until(frames, frames.len());
    }

    fn deliver_until(&mut self, frames: &Frames, end: usize) {
        let mut mixed = Frames::default();
        let mut own = std::mem::take(&mut self.own).into_iter().peekable();
        for (number, frame) in (self.first..end).zip(frames.iter_from(self.first)) {
            while let Some((_, message)) = own.next_if(|(at, _)| *at <= number) {
                mixed.push(&message, None);
            }
            mixed.push_copy(frame);
        }
        for (_, message) in own {
            mixed.push(&message, None);
        }
        self.outbox.deliver(&mixed, 0);
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// What the hub's thread owns.
struct Broadcaster<S> {
    state: S,
    clients: Clients,
    joined: Option<OnJoin<S>>,
    left: Option<OnLeave<S>>,
    before: Option<BeforeDelivery<S>>,
}

impl<S> Broadcaster<S> {
    fn new(state: S) -> Broadcaster<S> {
        Broadcaster {
            state,
            clients: Clients::default(),
            joined: None,
            left: None,
            before: None,
        }
    }

    fn run(mut self, requests: &Receiver<Request<S>>, own: &Mutex<Vec<Request<S>>>) {
        while let Ok(first) = requests.recv() {
            self.take(first);
            self.take_own(own);
            for request in requests.try_iter().take(BATCH - 1) {
                self.take(request);
                self.take_own(own);
                if self.clients.frames.bytes_from(0).len() > BATCH_BYTES {
                    break;
                }
            }
            if let Some(before) = &mut self.before {
                guarded(|| before(&self.state));
            }
            self.clients.deliver();
        }
    }

    fn take_own(&mut self, own: &Mutex<Vec<Request<S>>>) {
        // Taken out first: a request may ask for more.
        let asked = std::mem::take(&mut *lock(own));
        for request in asked {
            self.take(request);
        }
    }

    fn take(&mut self, request: Request<S>) {
        let Broadcaster {
            state,
            clients,
            joined,
            left,
            before,
        } = self;
        match request {
            Request::Join(outbox) => {
                let id = outbox.id;
                if clients.join(outbox)
                    && let Some(joined) = joined
                {
                    guarded(|| joined(state, clients, id));
                }
            }
            Request::Leave(id) => {
                if clients.leave(id)
                    && let Some(left) = left
                {
                    guarded(|| left(state, clients));
                }
            }
            Request::Update(update) => guarded(|| update(state, clients)),
            Request::OnJoin(hook) => *joined = Some(hook),
            Request::OnLeave(hook) => *left = Some(hook),
            Request::BeforeDelivery(hook) => *before = Some(hook),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
