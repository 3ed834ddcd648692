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
        let key = hash(secret);
        let session = sessions.get_mut(&key)?;
        let is_fresh = session.seen.elapsed() < IDLE;
        if is_fresh && credentials.proof(&session.who) == Some(session.proof) {
            session.seen = Instant::now();
            return Some(session.who.clone());
        }
        // For good, whatever the files say later.
        sessions.remove(&key);
        None
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn a_session_ends_for_good() {
        let mut credentials = Credentials::default();
        let line = format!("cron sha256:{}", HEXLOWER.encode(&hash("abc")));
        credentials.add_tokens(&line).expect("a token");
        let cron = Who::token("cron");
        let sessions = Sessions::default();
        let start = || sessions.start(cron.clone(), hash("abc"));
        let secret = start();
        assert_eq!(sessions.find(&secret, &credentials), Some(cron.clone()));
        assert_eq!(sessions.find("nonsense", &credentials), None);
        // It has not come for long, or the token is gone, and there again.
        let old = Instant::now().checked_sub(IDLE);
        if let Some(old) = old {
            sessions
                .0
                .lock()
                .values_mut()
                .for_each(|session| session.seen = old);
            assert_eq!(sessions.find(&secret, &credentials), None);
            assert_eq!(
                sessions.find(&secret, &credentials),
                None,
                "and does not come back"
            );
        }
        let secret = start();
        assert_eq!(sessions.find(&secret, &Credentials::default()), None);
        assert_eq!(sessions.find(&secret, &credentials), None);
        for _ in 0..MOST + 5 {
            start();
        }
        assert_eq!(sessions.0.lock().len(), MOST);
    }
}
