//! counter: a value that every client sees and may change, and how many clients there are.

use std::collections::HashSet;
use std::fmt;

use log::warn;
use plainws::{Clients, Connection, Hub, HubBuilder, Message, Result};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The largest value that a browser shows exactly, 2^53 - 1, and the negative of it the smallest.
const MAX: i64 = (1 << 53) - 1;

/// A client that sends nothing but nonsense fills the log up to this many lines.
const MAX_COMPLAINTS: u32 = 20;

/// The value that all connections share, from `start` on.
pub(crate) fn hub(start: i64) -> HubBuilder<i64> {
    Hub::builder(start)
        .on_join(|value, clients, newcomer| {
            publish_users(clients);
            clients.send_to(newcomer, state(*value));
        })
        .on_leave(|_, clients| publish_users(clients))
}

/// The handler.
pub(crate) fn counter(hub: Hub<i64>) -> impl Fn(&Connection) -> Result<()> + Send + Sync + 'static {
    move |ws| serve(ws, &hub)
}

/// A value as it is saved, read again; `None` for what `to_string` would not have made of a value.
pub(crate) fn read(saved: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(saved).ok()?;
    let value: i64 = text.parse().ok()?;
    (value.to_string() == text && value.unsigned_abs() <= MAX.unsigned_abs()).then_some(value)
}

fn serve(ws: &Connection, hub: &Hub<i64>) -> Result<()> {
    let _user = hub.register(ws);
    let complaints = Complaints::of(ws);
    for message in ws {
        let message = message?;
        match parse(&message) {
            Ok(action) => {
                let complaints = complaints.clone();
                hub.update(move |value, clients| apply(action, value, clients, &complaints));
            }
            Err(why) => {
                complaints.log(&why, &message);
                // Through the hub, too, so that it comes in order with what all get.
                let id = ws.id();
                hub.update(move |_, clients| clients.send_to(id, error(&why)));
            }
        }
    }
    Ok(())
}

fn apply(action: Action, value: &mut i64, clients: &mut Clients, complaints: &Complaints) {
    let next = match action {
        Action::Plus => *value + 1,
        Action::Minus => *value - 1,
    };
    if next.abs() <= MAX {
        *value = next;
        clients.publish("state", state(next));
    } else {
        let why = format!("the value stays between -{MAX} and {MAX}");
        complaints.log(&why, &Message::from(""));
        clients.send_to(complaints.id, error(&why));
    }
}

fn publish_users(clients: &mut Clients) {
    clients.publish(
        "users",
        format!(r#"{{"type":"users","count":{}}}"#, clients.len()),
    );
}

fn state(value: i64) -> String {
    format!(r#"{{"type":"state","value":{value}}}"#)
}

fn error(why: &str) -> String {
    // A JSON text, quoted and escaped.
    let why = serde_json::Value::from(why);
    format!(r#"{{"type":"error","message":{why}}}"#)
}

/// Logs what one client sends amiss, a line each, up to a limit.
#[derive(Clone)]
struct Complaints {
    id: u64,
    caller: String,
    count: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

impl Complaints {
    fn of(ws: &Connection) -> Complaints {
        Complaints {
            id: ws.id(),
            caller: ws.caller().to_string(),
            count: Default::default(),
        }
    }

    fn log(&self, why: &str, message: &Message) {
        let before = self
            .count
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let last = if before + 1 == MAX_COMPLAINTS {
            "; more of it is not logged"
        } else {
            ""
        };
        if before < MAX_COMPLAINTS {
            let shown: String = message.to_string().chars().take(80).collect();
            warn!(
                "ws-conn-{} {} message refused, {why}: {shown:?}{last}",
                self.id, self.caller
            );
        }
    }
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Plus,
    Minus,
}

/// The action, or a sentence that says what is wrong without repeating what was sent.
fn parse(message: &Message) -> std::result::Result<Action, String> {
    let Message::Text(text) = message else {
        return Err("a binary message is no action".to_owned());
    };
    let Object { action } = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            // Only our own words: serde's would repeat the client's.
            error
                .to_string()
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned()
        } else {
            "not valid JSON".to_owned()
        }
    })?;
    match action.as_str() {
        "plus" => Ok(Action::Plus),
        "minus" => Ok(Action::Minus),
        _ => Err(r#"unknown action; "plus" and "minus" are known"#.to_owned()),
    }
}

/// An object with a text `action`. By hand, because a derived one takes an array for an object
/// and does not see that an unknown key stands there twice.
struct Object {
    action: String,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor)
    }
}

struct ObjectVisitor;

/// Defines the visits of everything that is no object.
macro_rules! not_an_object {
    ($($visit:ident($type:ty)),*) => {
        $(fn $visit<E: de::Error>(self, _: $type) -> std::result::Result<Object, E> {
            Err(E::custom("not an object"))
        })*
    };
}

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    not_an_object!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_f64(f64),
        visit_str(&str)
    );

    fn visit_unit<E: de::Error>(self) -> std::result::Result<Object, E> {
        Err(E::custom("not an object"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Object, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Err(de::Error::custom("not an object"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Object, A::Error> {
        let mut seen = HashSet::new();
        let mut action = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "action" {
                action = Some(map.next_value::<Text>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if !seen.insert(key) {
                return Err(de::Error::custom("a key stands there twice"));
            }
        }
        let action = action.ok_or_else(|| de::Error::custom("no action"))?;
        Ok(Object {
            action: action.ok_or_else(|| de::Error::custom("the action is no text"))?,
        })
    }
}

/// A text, or `None` for a value of any other kind. That is skipped without recursion: what a
/// client nests deeply must not use up the stack.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

/// Defines the visits of values that are no text.
macro_rules! no_text {
    ($($visit:ident($($value:ident: $type:ty)?)),* $(,)?) => {
        $(fn $visit<E: de::Error>(self, $($value: $type)?) -> std::result::Result<Text, E> {
            Ok(Text(None))
        })*
    };
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Text, E> {
        Ok(Text(Some(text.to_owned())))
    }

    no_text!(
        visit_bool(_value: bool),
        visit_i64(_value: i64),
        visit_u64(_value: u64),
        visit_f64(_value: f64),
        visit_unit(),
    );

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Text, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> std::result::Result<Action, String> {
        parse(&Message::from(text))
    }

    #[test]
    fn actions_are_objects_with_a_known_action() {
        assert_eq!(parse_text(r#"{"action":"plus"}"#), Ok(Action::Plus));
        assert_eq!(
            parse_text(r#" {"x":[1,{"y":null}],"action":"minus","z":5} "#),
            Ok(Action::Minus)
        );
        assert_eq!(parse_text(r#"{"\u0061ction":"plus"}"#), Ok(Action::Plus));
    }

    #[test]
    fn anything_else_is_refused_in_our_own_words() {
        let cases = [
            ("", "not valid JSON"),
            ("plus", "not valid JSON"),
            ("\u{feff}{\"action\":\"plus\"}", "not valid JSON"),
            (r#"{"action":"plus"} x"#, "not valid JSON"),
            ("{\"action\":\"plus\"", "not valid JSON"),
            ("null", "not an object"),
            ("5", "not an object"),
            ("-5", "not an object"),
            ("1.5", "not an object"),
            ("true", "not an object"),
            ("\"plus\"", "not an object"),
            ("[]", "not an object"),
            (r#"["plus"]"#, "not an object"),
            (r#"["plus",5]"#, "not an object"),
            ("{}", "no action"),
            (r#"{"ACTION":"plus"}"#, "no action"),
            (r#"{"action":1}"#, "the action is no text"),
            (r#"{"action":["plus"]}"#, "the action is no text"),
            (r#"{"action":{"action":"plus"}}"#, "the action is no text"),
            (r#"{"action":"PLUS"}"#, "unknown action"),
            (r#"{"action":"\u001b[31m"}"#, "unknown action"),
            (r#"{"action":"plus","action":"plus"}"#, "twice"),
            (r#"{"action":"plus","x":1,"x":2}"#, "twice"),
        ];
        for (text, expected) in cases {
            let why = parse_text(text).expect_err(text);
            assert!(why.contains(expected), "{text}: {why}");
        }
        assert!(parse(&Message::from(vec![1])).is_err());
        assert!(parse_text(&"[".repeat(30_000)).is_err(), "depth is bounded");
        let deep = format!(
            r#"{{"action":"plus","x":{}{}}}"#,
            "[".repeat(30_000),
            "]".repeat(30_000)
        );
        // Skipped without recursion, or refused: either way it ends.
        let _ = parse_text(&deep);
    }

    #[test]
    fn only_a_saved_value_is_read() {
        for value in [0, 5, -5, MAX, -MAX] {
            assert_eq!(read(value.to_string().as_bytes()), Some(value));
        }
        let wrong = [
            "",
            "+5",
            "05",
            "-0",
            " 5",
            "5\n",
            "5.0",
            "1e3",
            "null",
            "\"5\"",
            "9007199254740992",
            "-9007199254740992",
            "-9223372036854775808",
            "9223372036854775808",
        ];
        for text in wrong {
            assert_eq!(read(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(read(b"\xff"), None);
    }

    #[test]
    fn the_value_stays_where_a_browser_can_show_it() {
        let hub_side = |action, mut value: i64| {
            let complaints = Complaints {
                id: 0,
                caller: String::new(),
                count: Default::default(),
            };
            // Nobody is registered: only the value changes.
            let hub: Hub<Option<i64>> = Hub::builder(None).start().expect("a hub");
            let (tell, told) = std::sync::mpsc::channel();
            hub.update(move |_, clients| {
                apply(action, &mut value, clients, &complaints);
                let _ = tell.send(value);
            });
            told.recv().expect("the hub answers")
        };
        assert_eq!(hub_side(Action::Plus, MAX - 1), MAX);
        assert_eq!(hub_side(Action::Plus, MAX), MAX);
        assert_eq!(hub_side(Action::Minus, -MAX), -MAX);
        assert_eq!(hub_side(Action::Minus, 0), -1);
    }
}
