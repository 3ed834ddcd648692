//! `Sessions`: browsers that have logged in, each known by a cookie. In memory only: a restart ends them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;

use super::credentials::{Credentials, Hash, Who, hash};
use crate::lock::Lock;

/// A browser that has not come for so long has to log in again.
pub(super) const IDLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The one that has not come for the longest time makes room.
const MOST: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Sessions(Lock<HashMap<Hash, Session>>);

#[derive(Debug)]
struct Session {
    who: Who,
    /// As it was at the login: another password, or a token that is gone, ends it.
    proof: Hash,
    seen: Instant,
}

impl Sessions {
    /// A new session; what its cookie has.
    pub(super) fn start(&self, who: Who, proof: Hash) -> String {
        let secret = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| session.seen.elapsed() < IDLE);
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.seen);
            let oldest = oldest.map(|(key, _)| *key);
            oldest
                .into_iter()
                .for_each(|key| drop(sessions.remove(&key)));
        }
        let seen = Instant::now();
        sessions.insert(hash(&secret), Session { who, proof, seen });
        secret
    }

    pub(super) fn find(&self, secret: &str, credentials: &Credentials) -> Option<Who> {
        let mut sessions = self.0.lock();
        // By its hash: what a search tells by its time is of no use.
        let session = sessions.get_mut(&hash(secret))?;
        let valid =
            session.seen.elapsed() < IDLE && credentials.proof(&session.who) == Some(session.proof);
        session.seen = Instant::now();
        valid.then(|| session.who.clone())
    }
}
