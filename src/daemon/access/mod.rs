//! Who may do what: rules, users and tokens from files, read at the start and on SIGHUP.
//!
//! In comes a request, out goes a `Grant` with which the applications ask, or the answer to who may not.
//! Without `--access` there is none of it. In an opener's thread, which may wait for bcrypt.

mod login;

mod sessions;

mod failures;

mod rules;

mod credentials;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use log::{error, info};
use plainws::{Answer, CloseCode, Request, Response, Server};

use crate::apps::{Action, Grant, Pages};
use crate::file;
use crate::lock::Lock;
use crate::percent;
use credentials::{Credentials, Who};
use failures::Failures;
use login::Form;
use rules::Rules;
use sessions::Sessions;

/// More than anybody writes by hand.
const MAX_FILE: usize = 4 << 20;

/// The files.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AccessFiles {
    /// Rules of who may read and write, a line each: allow|deny WHO read|write|read,write
    /// PATH-PREFIX, where WHO is *, user:NAME or token:NAME. The first that fits decides; what none
    /// allows is denied. Read again on SIGHUP. Default: everybody may read and write
    #[arg(long, value_name = "FILE", env = "PLAINWS_ACCESS")]
    access: Option<PathBuf>,

    /// Users and their passwords for --access, as htpasswd -B writes them. Read again on SIGHUP.
    /// Default: none
    #[arg(long, value_name = "FILE", env = "PLAINWS_USERS", requires = "access")]
    users: Option<PathBuf>,

    /// Tokens for --access, a line each: NAME sha256:HEX; plainws token NAME makes one. Read again on
    /// SIGHUP. Default: none
    #[arg(long, value_name = "FILE", env = "PLAINWS_TOKENS", requires = "access")]
    tokens: Option<PathBuf>,
}

/// A clone is the same; any thread may ask.
#[derive(Clone)]
pub(super) struct Access(Arc<Inner>);

struct Inner {
    files: AccessFiles,
    state: Lock<Arc<State>>,
    sessions: Sessions,
    /// Held by who tries a secret that is not known to be right.
    turn: Lock<()>,
    failures: Failures,
    /// Which listeners have TLS.
    secure: Vec<bool>,
}

/// What the files said last.
#[derive(Default)]
struct State {
    rules: Rules,
    credentials: Credentials,
}

/// What a client proves itself with.
enum Secret {
    Password(String, String),
    Token(String),
    /// A scheme that is not known here.
    Unknown,
}

/// What a request proves.
enum Proved {
    Nobody,
    Known(Who),
    Wrong,
    /// Too many were wrong: nothing is tried.
    Wait,
}

impl Access {
    /// Reads the files, if there are rules.
    pub(super) fn read(files: AccessFiles, secure: Vec<bool>) -> plainws::Result<Option<Access>> {
        if files.access.is_none() {
            return Ok(None);
        }
        let state = files.read()?;
        Ok(Some(Access(Arc::new(Inner {
            files,
            state: Lock::new(Arc::new(state)),
            sessions: Sessions::default(),
            turn: Lock::default(),
            failures: Failures::default(),
            secure,
        }))))
    }

    /// Reads them again, and closes the connections of those who may not read there any more.
    pub(super) fn read_again(&self, server: &Server) {
        match self.0.files.read() {
            Ok(state) => *self.0.state.lock() = Arc::new(state),
            Err(why) => return error!("SIGHUP: the old rules of access stay in force: {why}"),
        }
        let closed = server.close_connections(CloseCode::POLICY, "access was revoked", |ws| {
            let request = ws.request();
            let who = self.0.proved(request, false);
            let still = match (&who, ws.user()) {
                (Proved::Known(who), Some(user)) => who.name() == user,
                (Proved::Nobody, None) => true,
                _ => false,
            };
            !still || !self.0.may(&who, Action::Read, request.path())
        });
        info!("SIGHUP: new rules of access; connections closed by them: {closed}");
    }

    /// What a client may do, or the answer to who may not do this.
    pub(super) fn check(&self, request: &Request, pages: &Pages) -> Result<Grant, Answer> {
        let inner = &self.0;
        match request.path() {
            "/login" => return Err(self.login(request, pages)),
            // For whoever watches, and for the form.
            "/healthz" | "/plainws.js" | "/plainws-chart.js" => return Ok(Grant::ALL),
            _ => {}
        }
        let who = inner.proved(request, true);
        let action = match request.method() {
            "GET" | "HEAD" | "OPTIONS" => Action::Read,
            _ => Action::Write,
        };
        if matches!(who, Proved::Wait) {
            let sentence = "too many wrong passwords or tokens from your address; wait a second";
            let response = Response::text(429, sentence).header("Retry-After", "1");
            return Err(response.into());
        }
        if !matches!(who, Proved::Wrong) && inner.may(&who, action, request.path()) {
            let inner = Arc::clone(inner);
            let user = match &who {
                Proved::Known(who) => Some(Arc::from(who.name())),
                _ => None,
            };
            // By what the files say then: they may be read again meanwhile.
            let may = move |action, path: &str| inner.may(&who, action, path);
            return Ok(Grant::new(user, may));
        }
        Err(match who {
            Proved::Known(_) => Response::text(403, "you may not do this here").into(),
            _ => inner.challenge(request).into(),
        })
    }

    fn login(&self, request: &Request, pages: &Pages) -> Answer {
        match request.method() {
            "GET" | "HEAD" => pages.login(request).into(),
            "POST" => {
                let access = self.clone();
                Answer::receive(login::MAX_FORM, move |request, body| {
                    access.0.log_in(request, &Form::parse(&body))
                })
            }
            _ => {
                let response = Response::text(405, "a login is GET or POST");
                response.header("Allow", "GET, HEAD, POST").into()
            }
        }
    }
}

impl Inner {
    fn may(&self, who: &Proved, action: Action, path: &str) -> bool {
        let state = Arc::clone(&self.state.lock());
        // As files are found: an escape must not hide what is denied.
        let (path, _) = percent::decoded(path.as_bytes());
        let Ok(path) = String::from_utf8(path) else {
            return false;
        };
        let who = match who {
            Proved::Known(who) => {
                // Not if it was taken out of its file.
                if state.credentials.proof(who).is_none() {
                    return false;
                }
                Some(who)
            }
            _ => None,
        };
        state.rules.may(who, action, &path)
    }

    /// Who sends a request. `counts`: what is wrong counts against its address.
    fn proved(&self, request: &Request, counts: bool) -> Proved {
        let state = Arc::clone(&self.state.lock());
        let credentials = &state.credentials;
        let Some(authorization) = request.header("Authorization") else {
            let session = login::cookie(request);
            let known = session.and_then(|secret| self.sessions.find(secret, credentials));
            return known.map_or(Proved::Nobody, Proved::Known);
        };
        let (scheme, value) = authorization.split_once(' ').unwrap_or_default();
        let secret = if scheme.eq_ignore_ascii_case("Bearer") {
            Secret::Token(value.trim().to_owned())
        } else if scheme.eq_ignore_ascii_case("Basic") {
            let pair = BASE64.decode(value.trim().as_bytes()).unwrap_or_default();
            let pair = String::from_utf8(pair).unwrap_or_default();
            let (name, password) = pair.split_once(':').unwrap_or_default();
            Secret::Password(name.to_owned(), password.to_owned())
        } else {
            Secret::Unknown
        };
        self.tried(
            &secret,
            credentials,
            request.client_ip().filter(|_| counts),
            counts,
        )
    }

    /// Tries a secret; what is wrong counts against the address.
    fn tried(
        &self,
        secret: &Secret,
        credentials: &Credentials,
        address: Option<IpAddr>,
        counts: bool,
    ) -> Proved {
        let quick = match secret {
            Secret::Token(token) => credentials.token(token),
            Secret::Password(name, password) => credentials.remembers(name, password),
            Secret::Unknown => None,
        };
        if let Some(who) = quick {
            return Proved::Known(who);
        }
        // One at a time: who tries many at once must not get more tries, nor all of the processor.
        let _turn = self.turn.lock();
        if counts && self.failures.are_many(address) {
            return Proved::Wait;
        }
        let slow = match secret {
            Secret::Password(name, password) => credentials.user(name, password),
            Secret::Token(_) | Secret::Unknown => None,
        };
        match slow {
            Some(who) => Proved::Known(who),
            None => {
                if counts {
                    self.failures.add(address);
                }
                Proved::Wrong
            }
        }
    }

    /// 401, or for a browser that shows a page the way to the form (RFC 9110, section 11.6.1).
    fn challenge(&self, request: &Request) -> Response {
        let accept = request.header("Accept").unwrap_or_default();
        if accept.starts_with("text/html") && !request.is_upgrade() && request.method() == "GET" {
            return login::to_form(request, None, request.target());
        }
        let state = Arc::clone(&self.state.lock());
        let mut response = Response::text(401, "a password or a token is needed here");
        if state.credentials.has_tokens() {
            response = response.header("WWW-Authenticate", "Bearer realm=\"plainws\"");
        }
        if state.credentials.has_users() || !state.credentials.has_tokens() {
            let basic = "Basic realm=\"plainws\", charset=\"UTF-8\"";
            response = response.header("WWW-Authenticate", basic);
        }
        response
    }

    fn log_in(&self, request: &Request, form: &Form) -> Response {
        let state = Arc::clone(&self.state.lock());
        let secret = match form.token.is_empty() {
            true => Secret::Password(form.user.clone(), form.password.clone()),
            false => Secret::Token(form.token.trim().to_owned()),
        };
        let tried = self.tried(&secret, &state.credentials, request.client_ip(), true);
        let who = match tried {
            Proved::Known(who) => who,
            Proved::Wait => return login::to_form(request, Some("often"), &form.next),
            Proved::Wrong | Proved::Nobody => {
                return login::to_form(request, Some("wrong"), &form.next);
            }
        };
        let Some(proof) = state.credentials.proof(&who) else {
            return login::to_form(request, Some("wrong"), &form.next);
        };
        let secret = self.sessions.start(who, proof);
        let is_secure = self
            .secure
            .get(request.listener())
            .copied()
            .unwrap_or(false);
        login::back(&form.next, &secret, is_secure, sessions::IDLE.as_secs())
    }
}

impl AccessFiles {
    fn read(&self) -> plainws::Result<State> {
        let mut state = State::default();
        if let Some(path) = &self.access {
            state.rules = parsed(path, Rules::parse)?;
        }
        if let Some(path) = &self.users {
            parsed(path, |text| state.credentials.add_users(text))?;
        }
        if let Some(path) = &self.tokens {
            parsed(path, |text| state.credentials.add_tokens(text))?;
        }
        Ok(state)
    }
}

/// What a file says.
fn parsed<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, String>) -> plainws::Result<T> {
    let name = path.display();
    let read =
        file::read(path, MAX_FILE).map_err(|error| format!("cannot read {name}: {error}"))?;
    let text = String::from_utf8(read.0).map_err(|_| format!("{name} is not UTF-8"))?;
    parse(&text).map_err(|why| format!("{name}, {why}").into())
}
