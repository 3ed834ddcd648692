//! `Credentials`: users with their passwords, and tokens, as files name them; and `Who` somebody is.
//!
//! A password is checked with bcrypt, which takes time on purpose; one that was right is remembered as a
//! hash, so that the next request is quick. Of a token the file has a hash only.

use std::collections::{HashMap, HashSet};

use data_encoding::HEXLOWER_PERMISSIVE;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::lock::Lock;

/// What was right lately: one that is forgotten costs bcrypt's time once more.
const MAX_REMEMBERED: usize = 1000;

pub(super) type Hash = [u8; 32];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    User(String),
    Token(String),
}

impl Who {
    pub(super) fn user(name: &str) -> Who {
        Who::User(name.to_owned())
    }

    pub(super) fn token(name: &str) -> Who {
        Who::Token(name.to_owned())
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Who::User(name) | Who::Token(name) => name,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Credentials {
    /// bcrypt hashes.
    users: HashMap<String, String>,
    tokens: HashMap<String, Hash>,
    remembered: Lock<HashSet<Hash>>,
    /// For a name that nobody has: the answer must not take less time.
    nobody: String,
}

impl Credentials {
    /// Adds the lines of a file as htpasswd makes it: `NAME:HASH`.
    pub(super) fn add_users(&mut self, text: &str) -> Result<(), String> {
        for (line, number) in lines(text) {
            let (name, hash) = line
                .split_once(':')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("line {number}: a user is NAME:HASH"))?;
            // Parsed as it will be used.
            if hash.parse::<bcrypt::HashParts>().is_err() {
                return Err(format!(
                    "line {number}: the password of {name:?} has no bcrypt hash; htpasswd -B makes one"
                ));
            }
            if self.nobody.is_empty() {
                self.nobody = hash.to_owned();
            }
            if self
                .users
                .insert(name.to_owned(), hash.to_owned())
                .is_some()
            {
                return Err(format!(
                    "line {number}: the user {name:?} stands there twice"
                ));
            }
        }
        Ok(())
    }

    /// Adds the lines of a file of tokens: `NAME sha256:HEX`.
    pub(super) fn add_tokens(&mut self, text: &str) -> Result<(), String> {
        for (line, number) in lines(text) {
            let parsed = line
                .split_once(char::is_whitespace)
                .and_then(|(name, hash)| {
                    let hex = hash.trim().strip_prefix("sha256:")?;
                    let hash = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
                    Some((name, Hash::try_from(hash).ok()?))
                });
            let (name, hash) = parsed.ok_or_else(|| {
                format!("line {number}: a token is NAME sha256:HEX; plainws token NAME makes one")
            })?;
            if self.tokens.insert(name.to_owned(), hash).is_some() {
                return Err(format!(
                    "line {number}: the token {name:?} stands there twice"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    pub(super) fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether this was right lately.
    pub(super) fn remembers(&self, name: &str, password: &str) -> Option<Who> {
        let known = self.users.get(name)?;
        let is_remembered = self
            .remembered
            .lock()
            .contains(&seen(name, password, known));
        is_remembered.then(|| Who::user(name))
    }

    /// Takes the time of bcrypt, whoever it is.
    pub(super) fn user(&self, name: &str, password: &str) -> Option<Who> {
        let found = self.users.get(name);
        let known = found.unwrap_or(&self.nobody);
        let is_right = bcrypt::verify(password, known).unwrap_or(false);
        if found.is_none() || !is_right {
            return None;
        }
        let mut remembered = self.remembered.lock();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(seen(name, password, known));
        Some(Who::user(name))
    }

    pub(super) fn token(&self, token: &str) -> Option<Who> {
        let hash = hash(token);
        // All of them, whichever it is.
        let mut found = None;
        for (name, known) in &self.tokens {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(Who::token(name));
            }
        }
        found
    }

    /// What proves who somebody is: another one after the file was changed.
    pub(super) fn proof(&self, who: &Who) -> Option<Hash> {
        match who {
            Who::User(name) => self.users.get(name).map(|known| hash(known)),
            Who::Token(name) => self.tokens.get(name).copied(),
        }
    }
}

fn seen(name: &str, password: &str, known: &str) -> Hash {
    hash(&[name, password, known].join("\0"))
}

pub(super) fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

/// Those with something in them, and their numbers.
fn lines(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let lines = text.lines().map(str::trim).zip(1..);
    lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `htpasswd -nbB -C 4 ann secret`
    fn ann() -> String {
        format!("ann:{}", bcrypt::hash("secret", 4).expect("a hash"))
    }

    #[test]
    fn who_knows_the_secret_is_who_it_says() {
        let mut credentials = Credentials::default();
        credentials
            .add_users(&format!("# people\n{}\n", ann()))
            .expect("users");
        let hex = HEXLOWER_PERMISSIVE.encode(&hash("abc"));
        credentials
            .add_tokens(&format!("cron sha256:{hex}\n"))
            .expect("tokens");
        assert_eq!(credentials.user("ann", "secret"), Some(Who::user("ann")));
        let again = credentials.remembers("ann", "secret");
        assert_eq!(again, Some(Who::user("ann")));
        assert_eq!(credentials.remembers("ann", "Secret"), None);
        for (name, password) in [("ann", "Secret"), ("ann", ""), ("bob", "secret"), ("", "")] {
            assert_eq!(credentials.user(name, password), None, "{name} {password}");
        }
        assert_eq!(credentials.token("abc"), Some(Who::token("cron")));
        assert_eq!(credentials.token("abd"), None);
        assert!(credentials.proof(&Who::token("cron")).is_some());
        assert!(credentials.proof(&Who::token("ann")).is_none());
    }

    #[test]
    fn a_line_that_is_nobody_is_told_with_its_number() {
        let mut credentials = Credentials::default();
        let twice = format!("{}\n{}", ann(), ann());
        for (text, told) in [
            ("ann", "line 1: a user is"),
            (":x", "line 1: a user is"),
            (
                "ann:{SHA}x",
                "line 1: the password of \"ann\" has no bcrypt hash",
            ),
            (&twice, "line 2: the user \"ann\" stands there twice"),
        ] {
            let error = credentials.add_users(text).expect_err(text);
            assert!(error.starts_with(told), "{error}");
        }
        for text in ["cron", "cron x", "cron sha256:abc", "cron sha256:"] {
            let error = credentials.add_tokens(text).expect_err(text);
            assert!(error.starts_with("line 1: a token is NAME"), "{error}");
        }
    }
}
