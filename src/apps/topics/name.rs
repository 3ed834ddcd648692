//! `Place`: which topic or stream, or which topics together, a path names.

use super::super::journal::Kind;

const MAX_NAME: usize = 200;
const MAX_SEGMENTS: usize = 8;

/// Where a path leads to. Names are as they stand in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    List,
    One(Kind, &'a str),
    /// All topics whose names begin with this: it is empty, or ends with `/`.
    Below(&'a str),
}

impl<'a> Place<'a> {
    /// `None` is somebody else's path, an error a name that cannot be.
    pub(super) fn of(path: &'a str) -> Option<Result<Place<'a>, String>> {
        if path == "/topics" {
            return Some(Ok(Place::List));
        }
        if let Some(name) = path.strip_prefix("/stream/") {
            return Some(check(name).map(|()| Place::One(Kind::Stream, name)));
        }
        let name = path.strip_prefix("/topic/")?;
        Some(match name.strip_suffix('*') {
            Some("") => Ok(Place::Below("")),
            Some(prefix) if prefix.ends_with('/') => {
                check(&prefix[..prefix.len() - 1]).map(|()| Place::Below(prefix))
            }
            _ => check(name).map(|()| Place::One(Kind::Topic, name)),
        })
    }
}

/// Whether something may have this name.
pub(super) fn check(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    let segment = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain)
    };
    if name.len() > MAX_NAME {
        return Err(format!("a name has at most {MAX_NAME} bytes"));
    }
    if name.split('/').count() > MAX_SEGMENTS || !name.split('/').all(segment) {
        return Err(format!(
            "a name is 1 to {MAX_SEGMENTS} parts with / between them; a part is letters, digits, \
             and . _ ~ -, but not . or .. alone"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_place() {
        let long = "a".repeat(MAX_NAME);
        let (longest, too_long) = (format!("/topic/{long}"), format!("/topic/{long}a"));
        let cases = [
            ("/topics", Some(Place::List)),
            ("/topic/a", Some(Place::One(Kind::Topic, "a"))),
            ("/topic/a/b", Some(Place::One(Kind::Topic, "a/b"))),
            ("/stream/a.b", Some(Place::One(Kind::Stream, "a.b"))),
            ("/topic/a/*", Some(Place::Below("a/"))),
            ("/topic/*", Some(Place::Below(""))),
            (
                "/topic/1/2/3/4/5/6/7/8",
                Some(Place::One(Kind::Topic, "1/2/3/4/5/6/7/8")),
            ),
            (&longest, Some(Place::One(Kind::Topic, &long))),
            (&too_long, None),
            ("/topic/1/2/3/4/5/6/7/8/9", None),
            ("/topic/", None),
            ("/topic//a", None),
            ("/topic/a/", None),
            ("/topic/..", None),
            ("/topic/a/./b", None),
            ("/topic/a*", None),
            ("/topic/*/a", None),
            ("/topic/a%2fb", None),
            ("/topic/a%00", None),
            ("/topic/é", None),
            ("/stream/a/*", None),
        ];
        for (path, expected) in cases {
            let place = Place::of(path).unwrap_or_else(|| panic!("{path} is ours"));
            assert_eq!(place.ok(), expected, "{path}");
        }
        for path in ["/", "/topic", "/stream", "/topics/", "/counter"] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }
}
