//! `Query`: what stands behind the `?` of a topic or stream, and what the request's headers ask for.

use plainws::Request;

use super::board::If;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// `?format=json`: objects instead of values.
    pub(super) json: bool,
    /// `?patch`: what a socket sends are merge patches.
    pub(super) patch: bool,
    pub(super) history: bool,
    /// `?raw`: the value, also for a browser.
    pub(super) raw: bool,
    /// `?last=N`: so many messages of a stream first.
    pub(super) last: Option<usize>,
}

impl Query {
    /// Words that are not known may be of use to a page.
    pub(super) fn of(request: &Request) -> Result<Query, String> {
        let mut query = Query::default();
        for word in request.query().unwrap_or_default().split('&') {
            match word.split_once('=').unwrap_or((word, "")) {
                ("format", "json") => query.json = true,
                ("format", _) => return Err("the only format is json".to_owned()),
                ("patch", _) => query.patch = true,
                ("history", _) => query.history = true,
                ("raw", _) => query.raw = true,
                ("last", number) => {
                    let number = number.parse().map_err(|_| "last is a number of messages")?;
                    query.last = Some(number);
                }
                _ => {}
            }
        }
        Ok(query)
    }
}

/// What an answer to GET may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Value,
    /// A browser shows it.
    Page,
    Events,
}

impl Wanted {
    pub(super) fn of(request: &Request) -> Wanted {
        let accept = request
            .headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case("Accept"));
        let mut types = accept
            .flat_map(|(_, value)| value.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim());
        let is = |range: &str, name: &str| range.eq_ignore_ascii_case(name);
        let first = types.next().unwrap_or_default();
        if is(first, "text/event-stream") || types.any(|range| is(range, "text/event-stream")) {
            Wanted::Events
        } else if is(first, "text/html") {
            Wanted::Page
        } else {
            Wanted::Value
        }
    }
}

/// What must be so for a change: `If-Match` and `If-None-Match` (RFC 9110, section 13.1).
pub(super) fn condition(request: &Request) -> If {
    if let Some(tags) = request.header("If-Match") {
        return If::Match(versions(tags));
    }
    match request.header("If-None-Match") {
        Some(tags) => If::NoneMatch(versions(tags)),
        None => If::Always,
    }
}

/// Whether the client has this version already.
pub(super) fn knows(request: &Request, version: u64) -> bool {
    request.header("If-None-Match").is_some_and(|tags| {
        let versions = versions(tags);
        versions.is_empty() || versions.contains(&version)
    })
}

/// The versions in a list of entity tags. None for `*`; what is no tag of ours is 0, which no value has.
fn versions(tags: &str) -> Vec<u64> {
    if tags.trim() == "*" {
        return Vec::new();
    }
    let tags = tags.split(',').map(|tag| {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    });
    tags.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_versions() {
        let cases: [(&str, &[u64]); 6] = [
            ("*", &[]),
            ("\"7\"", &[7]),
            ("W/\"7\"", &[7]),
            ("\"7\", \"8\"", &[7, 8]),
            ("7", &[0]),
            ("\"abc\"", &[0]),
        ];
        for (tags, expected) in cases {
            assert_eq!(versions(tags), expected, "{tags}");
        }
    }
}
