//! Many clients, read by one thread through epoll.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;

use crate::Result;
use crate::client::{Client, PATIENCE, timespec};

/// How long a server may talk after clients have joined.
const SETTLING: Duration = Duration::from_secs(60);

/// Clients of one server, numbered in the order of their joining.
pub(crate) struct Crowd {
    address: SocketAddr,
    clients: Vec<Client>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    scratch: Vec<u8>,
}

impl Crowd {
    /// Opens so many clients, one after the other.
    pub(crate) fn open(address: SocketAddr, count: usize) -> Result<Crowd> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| format!("no epoll: {error}"))?;
        let mut crowd = Crowd {
            address,
            clients: Vec::with_capacity(count),
            epoll,
            events: Vec::with_capacity(1024),
            scratch: vec![0; 1 << 16],
        };
        crowd.grow_to(count)?;
        Ok(crowd)
    }

    /// Opens more clients, until there are so many.
    pub(crate) fn grow_to(&mut self, count: usize) -> Result<()> {
        for index in self.clients.len()..count {
            let client = Client::connect(self.address)
                .map_err(|error| format!("client {index} of {count}: {error}"))?;
            epoll::add(
                &self.epoll,
                &client,
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN,
            )
            .map_err(|error| format!("client {index} of {count} cannot be watched: {error}"))?;
            self.clients.push(client);
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Sends bytes from one client.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        self.clients[index]
            .send(bytes)
            .map_err(|error| format!("client {index}: {error}"))
    }

    /// Waits for clients that have something to read, reads it, and hands each to `take`, which
    /// takes its messages. False if there was nothing in that time.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        mut take: impl FnMut(usize, &mut Client) -> Result<()>,
    ) -> Result<bool> {
        if self.wait(timeout)? == 0 {
            return Ok(false);
        }
        for event in self.events.drain(..) {
            let data = event.data;
            let index = data.u64() as usize;
            let client = &mut self.clients[index];
            client.fill(&mut self.scratch);
            take(index, client).map_err(|error| format!("client {index}: {error}"))?;
        }
        Ok(true)
    }

    /// Takes messages until there is none for a while.
    ///
    /// # Errors
    /// If they do not end within a minute.
    pub(crate) fn settle(
        &mut self,
        quiet: Duration,
        mut take: impl FnMut(usize, &mut Client) -> Result<()>,
    ) -> Result<()> {
        let deadline = Instant::now() + SETTLING;
        while self.turn(quiet, &mut take)? {
            if Instant::now() > deadline {
                return Err(format!(
                    "the server still talks {SETTLING:?} after its clients have joined"
                ));
            }
        }
        Ok(())
    }

    /// The deadline for a server from which clients wait for something.
    pub(crate) fn check_stall(heard: Instant, missing: impl FnOnce() -> String) -> Result<()> {
        if heard.elapsed() > PATIENCE {
            return Err(format!(
                "no client has heard anything for {PATIENCE:?}: {}",
                missing()
            ));
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<usize> {
        self.events.clear();
        let mut timeout = timespec(timeout)?;
        // epoll counts milliseconds, which a schedule must not be rounded to. poll does not, and
        // epoll can be polled.
        if timeout.tv_nsec % 1_000_000 != 0 {
            let epoll = PollFd::new(&self.epoll, PollFlags::IN);
            or_interrupted(poll(&mut [epoll], Some(&timeout)))?;
            timeout = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
        }
        let events = spare_capacity(&mut self.events);
        or_interrupted(epoll::wait(&self.epoll, events, Some(&timeout)))
    }
}

fn or_interrupted(ready: rustix::io::Result<usize>) -> Result<usize> {
    match ready {
        Ok(ready) => Ok(ready),
        Err(Errno::INTR) => Ok(0),
        Err(error) => Err(format!("cannot wait for the clients: {error}")),
    }
}
