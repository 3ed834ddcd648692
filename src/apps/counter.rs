//! counter: a value that every client sees and may change, and how many clients there are.

use std::collections::HashMap;
use std::sync::Once;

use log::warn;
use plainws::{Clients, Connection, Hub, HubBuilder, Message, Result};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Grant;

/// The largest value that a browser shows exactly, 2^53 - 1, and the negative of it the smallest.
const MAX: i64 = (1 << 53) - 1;

/// A client that sends nothing but nonsense fills the log up to this many lines.
const MAX_COMPLAINTS: u32 = 20;

/// The value that all connections share, from `start` on.
pub(crate) fn hub(start: i64) -> HubBuilder<i64> {
    Hub::builder(start)
        .on_join(|value, clients, newcomer| {
            publish_users(clients);
            clients.send_to(newcomer, format!(r#"{{"type":"state","value":{value}}}"#));
        })
        .on_leave(|_, clients, _| publish_users(clients))
}

/// The handler.
pub(crate) fn counter(
    hub: Hub<i64>,
    grant: Grant,
) -> impl Fn(&Connection) -> Result<()> + Send + Sync + 'static {
    move |ws| serve(ws, &hub, &grant)
}

/// Whether the value can be this.
pub(crate) fn is_value(value: i64) -> bool {
    value.unsigned_abs() <= MAX.unsigned_abs()
}

fn serve(ws: &Connection, hub: &Hub<i64>, grant: &Grant) -> Result<()> {
    if !grant.admits(ws)? {
        return Ok(());
    }
    let user = hub.register(ws);
    let mut complaints = 0;
    for message in ws {
        let message = message?;
        // A click is the hot path. These two closures hold nothing, so nothing is allocated for them.
        let action = match grant.may_write(ws.path()) {
            true => parse(&message),
            false => Err("you may look, not change it"),
        };
        match action {
            Ok(Action::Plus) => user.update(|value, clients, id| step(value, 1, clients, id)),
            Ok(Action::Minus) => user.update(|value, clients, id| step(value, -1, clients, id)),
            Err(why) => {
                complaints += 1;
                complain(ws, complaints, why, &message);
                // Through the hub, too, so that it comes in order with what all get.
                user.update(move |_, clients, id| clients.send_to(id, error(why)));
            }
        }
    }
    Ok(())
}

fn step(value: &mut i64, by: i64, clients: &mut Clients, id: u64) {
    let next = *value + by;
    if next.abs() <= MAX {
        *value = next;
        let state = format_args!(r#"{{"type":"state","value":{next}}}"#);
        clients.publish_text("state", state);
    } else {
        static TOLD: Once = Once::new();
        let why = format!("the value stays between -{MAX} and {MAX}");
        TOLD.call_once(|| warn!("ws-conn-{id} message refused, {why}; more of it is not logged"));
        clients.send_to(id, error(&why));
    }
}

fn publish_users(clients: &mut Clients) {
    let count = clients.len();
    clients.publish_text(
        "users",
        format_args!(r#"{{"type":"users","count":{count}}}"#),
    );
}

fn error(why: &str) -> String {
    // A JSON text, quoted and escaped.
    let why = Value::from(why);
    format!(r#"{{"type":"error","message":{why}}}"#)
}

/// Logs what one client sends amiss, a line each, up to a limit.
fn complain(ws: &Connection, number: u32, why: &str, message: &Message) {
    let last = match number {
        ..MAX_COMPLAINTS => "",
        MAX_COMPLAINTS => "; more of it is not logged",
        _ => return,
    };
    let (id, caller) = (ws.id(), ws.caller());
    let shown: String = message.to_string().chars().take(80).collect();
    warn!("ws-conn-{id} {caller} message refused, {why}: {shown:?}{last}");
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Plus,
    Minus,
}

/// The action, or a sentence that says what is wrong without repeating what was sent.
fn parse(message: &Message) -> std::result::Result<Action, &'static str> {
    let text = message.as_text().ok_or("a binary message is no action")?;
    // As our page writes it, letter by letter: that needs no parser.
    match text {
        r#"{"action":"plus"}"# => return Ok(Action::Plus),
        r#"{"action":"minus"}"# => return Ok(Action::Minus),
        _ => {}
    }
    let wrong = |kind| {
        move |error: serde_json::Error| {
            if error.is_data() {
                kind
            } else {
                "not valid JSON"
            }
        }
    };
    // No tree of values: what a client nests deeply must not use up the stack of its thread.
    let fields: HashMap<String, &RawValue> =
        serde_json::from_str(text).map_err(wrong("not an object"))?;
    let action = fields.get("action").ok_or("no action")?;
    let action: String =
        serde_json::from_str(action.get()).map_err(wrong("the action is no text"))?;
    match action.as_str() {
        "plus" => Ok(Action::Plus),
        "minus" => Ok(Action::Minus),
        _ => Err(r#"unknown action; "plus" and "minus" are known"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> std::result::Result<Action, &'static str> {
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
        let last_counts = r#"{"action":"minus","x":1,"x":2,"action":"plus"}"#;
        assert_eq!(parse_text(last_counts), Ok(Action::Plus));
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
            (r#"{"action":"plus","action":1}"#, "the action is no text"),
        ];
        for (text, expected) in cases {
            let why = parse_text(text).expect_err(text);
            assert!(why.contains(expected), "{text}: {why}");
        }
        assert!(parse(&Message::from(vec![1])).is_err());
    }

    #[test]
    fn what_is_nested_deeply_fits_on_a_small_stack() {
        let nested = || {
            assert_eq!(parse_text(&"[".repeat(30_000)), Err("not an object"));
            for depth in [100, 127, 128, 30_000] {
                for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
                    let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                    let action = format!(r#"{{"action":{deep}}}"#);
                    assert_eq!(parse_text(&action), Err("the action is no text"));
                    let beside = format!(r#"{{"action":"plus","x":{deep}}}"#);
                    assert_eq!(parse_text(&beside), Ok(Action::Plus));
                }
            }
        };
        let small = std::thread::Builder::new().stack_size(64 * 1024);
        let ended = small.spawn(nested).expect("a thread").join();
        ended.expect("no panic");
    }
}
