//! `Hub`: a state that many connections share, and the thread that owns it and broadcasts to them.
//!
//! In come closures and registrations from any thread; out go frames to the registered connections.
//! One thread makes all updates, so every client sees the same order.

mod broadcaster;
mod clients;
mod member;
mod queue;
mod rooms;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::connection::Connection;
use crate::connection::Topic;
use crate::error::{Error, Result};
use crate::message::Message;
use broadcaster::{Broadcaster, Request, is_hub_thread};
pub use clients::{Clients, Room};
use queue::Queue;

/// Broadcasts to registered connections, and owns a state that all of them share.
///
/// # Threads
///
/// Any thread may use it; a clone is a handle to the same hub. The hub's own thread (`ws-hub`)
/// runs the closures given to it one after the other and ends when the last handle and the last
/// [`Registration`] are dropped; dropping the last one waits for that. A closure must not block.
///
/// A call waits only while 1024 others are queued already, and never in a closure of a hub: what a
/// closure asks, of its own hub or of another, is queued at once. So two hubs can update each other,
/// and none waits for the other. That part has no limit: closures that each ask for several more fill
/// the memory.
///
/// ```
/// use plainws::{Hub, Server};
///
/// let hub = Hub::builder(0_i64)
///     .on_join(|count, clients, newcomer| clients.send_to(newcomer, count.to_string()))
///     .start()?;
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

/// What all handles share.
struct Inner<S> {
    queue: Arc<Queue<Request<S>>>,
    broadcasts: Arc<AtomicU64>,
    /// `None` only before it starts and while it is dropped.
    thread: Option<JoinHandle<()>>,
}

/// Describes a hub before it starts, from [`Hub::builder`]: what it does when a connection joins or
/// leaves, and before each delivery.
///
/// All hooks run on the hub's thread. One that panics ends alone, with an ERROR in the log.
#[must_use = "nothing runs before start()"]
pub struct HubBuilder<S> {
    broadcaster: Broadcaster<S>,
}

impl<S: Send + 'static> HubBuilder<S> {
    /// Calls `hook` whenever a connection has been registered, with its id. It must not block.
    /// Defaults to nothing.
    pub fn on_join(mut self, hook: impl FnMut(&mut S, &mut Clients, u64) + Send + 'static) -> Self {
        self.broadcaster.on_join = Box::new(hook);
        self
    }

    /// Calls `hook` whenever a connection is registered no more, with the id that it had. It must not
    /// block. Defaults to nothing.
    pub fn on_leave(
        mut self,
        hook: impl FnMut(&mut S, &mut Clients, u64) + Send + 'static,
    ) -> Self {
        self.broadcaster.on_leave = Box::new(hook);
        self
    }

    /// Calls `hook` whenever a batch of updates is done, before any client gets anything of it:
    /// what it saves is safe by the time that it is seen, with one write for all that came
    /// together. It may block, unlike updates; until it returns nothing is sent, and the next
    /// batch gathers. Defaults to nothing.
    ///
    /// ```
    /// use plainws::Hub;
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let file = directory.path().join("count");
    /// let mut saved = 0;
    /// let hub = Hub::builder(saved)
    ///     .before_delivery(move |count| {
    ///         if *count != saved && std::fs::write(&file, count.to_string()).is_ok() {
    ///             saved = *count;
    ///         }
    ///     })
    ///     .start()?;
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn before_delivery(mut self, hook: impl FnMut(&mut S) + Send + 'static) -> Self {
        self.broadcaster.before_delivery = Box::new(hook);
        self
    }

    /// Starts the hub's thread.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system gives no thread.
    pub fn start(self) -> Result<Hub<S>> {
        let broadcaster = self.broadcaster;
        let mut inner = Inner {
            queue: Arc::clone(&broadcaster.queue),
            broadcasts: Arc::clone(&broadcaster.clients.broadcasts),
            thread: None,
        };
        let thread = thread::Builder::new().name("ws-hub".to_owned());
        let started = thread.spawn(move || broadcaster.run());
        inner.thread =
            Some(started.map_err(|error| Error::io("cannot start the thread of a hub", error))?);
        let inner = Arc::new(inner);
        Ok(Hub { inner })
    }
}

impl<S: Send + 'static> Hub<S> {
    /// Describes a hub that will own `state`; `()` if there is none to share.
    pub fn builder(state: S) -> HubBuilder<S> {
        let broadcaster = Broadcaster::new(state);
        HubBuilder { broadcaster }
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
    pub fn update(&self, update: impl FnOnce(&mut S, &mut Clients) + Send + 'static) {
        let update = Box::new(|state: &mut S, clients: &mut Clients, _| update(state, clients));
        self.ask(Request::Update(update, 0));
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
    /// How many messages and values have been sent to all so far: each counts once, however many
    /// were registered, and not at all if nobody was.
    pub fn broadcasts(&self) -> u64 {
        self.inner.broadcasts.load(Ordering::Relaxed)
    }

    fn ask(&self, request: Request<S>) {
        self.inner.queue.push(request, !is_hub_thread());
    }
}

impl<S> Clone for Hub<S> {
    fn clone(&self) -> Self {
        Hub {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<S> Drop for Inner<S> {
    fn drop(&mut self) {
        self.queue.close();
        // A closure may hold the last handle, of its own hub or of one whose closures hold that of
        // this one: no hub's thread waits for another, it ends by itself.
        if let Some(thread) = self.thread.take().filter(|_| !is_hub_thread()) {
            let _ = thread.join();
        }
    }
}

/// That a connection is registered with a hub. Dropping it ends that; any thread may do so.
#[must_use = "dropping it unregisters the connection"]
pub struct Registration<S: 'static = ()> {
    hub: Hub<S>,
    id: u64,
}

impl<S> Registration<S> {
    /// As [`Hub::update`], with the connection's id, for [`Clients::send_to`]. An update that
    /// captures nothing else is queued without an allocation.
    ///
    /// ```
    /// # let hub = plainws::Hub::builder(0).start()?;
    /// # let handler = move |ws: &plainws::Connection| {
    /// let user = hub.register(ws);
    /// for click in ws {
    ///     click?;
    ///     user.update(|clicks, clients, id| {
    ///         *clicks += 1;
    ///         clients.publish_text("clicks", *clicks);
    ///         clients.send_to(id, "thank you");
    ///     });
    /// }
    /// # Ok::<(), plainws::Error>(())
    /// # };
    /// # Ok::<(), plainws::Error>(())
    /// ```
    pub fn update(&self, update: impl FnOnce(&mut S, &mut Clients, u64) + Send + 'static) {
        self.hub.ask(Request::Update(Box::new(update), self.id));
    }
}

impl<S> Drop for Registration<S> {
    fn drop(&mut self) {
        self.hub.ask(Request::Leave(self.id));
    }
}

impl<S> fmt::Debug for Hub<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub")
    }
}

impl<S> fmt::Debug for HubBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubBuilder")
    }
}

impl<S> fmt::Debug for Registration<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({})", self.id)
    }
}
