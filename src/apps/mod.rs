//! The three applications and what a path leads to. They use the public interface only, as any
//! program with this crate could.

mod topics;

mod clock;

pub(crate) mod counter;

mod hello;

mod health;

mod pages;

mod files;

mod grant;

pub(crate) mod journal;

use std::sync::Arc;

use plainws::{Answer, Hub, Request, Response};

pub(crate) use files::Files;
pub(crate) use grant::{Action, Grant};
pub(crate) use health::Health;
pub(crate) use pages::Pages;
pub(crate) use topics::{Figures, Limits, Topics};

/// One of the applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    Hello,
    Clock,
    Counter,
}

impl App {
    pub(crate) const ALL: [App; 3] = [App::Hello, App::Clock, App::Counter];

    pub(crate) fn name(self) -> &'static str {
        match self {
            App::Hello => "hello",
            App::Clock => "clock",
            App::Counter => "counter",
        }
    }

    pub(crate) fn named(name: &str) -> Option<App> {
        App::ALL.into_iter().find(|app| app.name() == name)
    }
}

/// The applications, ready to serve. All listeners share them: there is one counter.
pub(crate) struct Apps {
    hello: Answer,
    clock: Answer,
    counter: Answer,
    /// For those who may not do everything.
    counter_hub: Hub<i64>,
    topics: Topics,
    pages: Pages,
    health: Health,
}

impl Apps {
    pub(crate) fn new(pages: Pages, counter: Hub<i64>, topics: Topics, health: Health) -> Apps {
        Apps {
            hello: Answer::upgrade(hello::hello),
            clock: Answer::upgrade(clock::clock),
            counter: Answer::upgrade(counter::counter(counter.clone(), Grant::ALL)),
            counter_hub: counter,
            topics,
            pages,
            health,
        }
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Answers a request at a listener that belongs to `own`, if to any application.
    pub(crate) fn route(&self, request: &Request, own: Option<App>, grant: &Grant) -> Answer {
        let answer = self.find(request, own, grant);
        match &grant.user {
            Some(user) => answer.user(Arc::clone(user)),
            None => answer,
        }
    }

    fn find(&self, request: &Request, own: Option<App>, grant: &Grant) -> Answer {
        let path = request.path();
        if let Some(answer) = self.topics.route(request, &self.pages, grant) {
            return answer;
        }
        if let Some(response) = only_reads(request) {
            return response.into();
        }
        if path == "/healthz" {
            return self.health.answer(request).into();
        }
        if !request.is_upgrade()
            && let Some(response) = self.pages.own(request).or_else(|| self.pages.script(path))
        {
            return response.into();
        }
        let named = path.strip_prefix('/').and_then(App::named);
        match (named, own) {
            (Some(app), _) => self.app(app, request, true, grant),
            // A proxy may hand on any path; one that looks like a folder is a page, too.
            (None, Some(app)) => self.app(app, request, path.ends_with('/'), grant),
            (None, None) if path == "/" && !request.is_upgrade() => {
                self.pages.index(request).into()
            }
            (None, None) => {
                self.pages.miss(request);
                let names = "/hello, /clock, /counter, /topics, /topic/NAME and /stream/NAME";
                let sentence = format!("nothing here; there are {names}");
                Response::text(404, sentence).into()
            }
        }
    }

    /// One URL is both page and socket.
    fn app(&self, app: App, request: &Request, has_page: bool, grant: &Grant) -> Answer {
        if has_page && !request.is_upgrade() {
            return self.pages.of(app, request).into();
        }
        match app {
            // Its rules may change while it opens.
            App::Clock if !grant.is_all() => {
                let grant = grant.clone();
                Answer::upgrade(move |ws| match grant.admits(ws)? {
                    true => clock::clock(ws),
                    false => Ok(()),
                })
            }
            App::Hello => self.hello.clone(),
            App::Clock => self.clock.clone(),
            App::Counter if grant.is_all() => self.counter.clone(),
            App::Counter => {
                Answer::upgrade(counter::counter(self.counter_hub.clone(), grant.clone()))
            }
        }
    }
}

/// The answer to a method that is not for pages. A proxy that checks whether we are well may send
/// OPTIONS.
fn only_reads(request: &Request) -> Option<Response> {
    let response = match request.method() {
        "GET" | "HEAD" => return None,
        "OPTIONS" => Response::empty(204),
        _ => Response::text(405, "only GET and HEAD are answered here"),
    };
    Some(response.header("Allow", "GET, HEAD"))
}
