//! `Event`: one server-sent event, as the text that stands in an event stream.

use std::fmt;

/// One event of a stream (HTML standard, section 9.2.5); `to_string` gives the text to send on the
/// connection of [`Answer::events`](crate::Answer::events).
///
/// ```
/// let event = plainws::Event::new("21.5\nwarm").id("7").name("state");
/// assert_eq!(event.to_string(), "id: 7\nevent: state\ndata: 21.5\ndata: warm\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    data: String,
    id: Option<String>,
    name: Option<String>,
}

impl Event {
    /// An event with this text; each of its lines, however it ends, becomes one of the data's.
    pub fn new(data: impl Into<String>) -> Event {
        Event {
            data: data.into(),
            ..Event::default()
        }
    }

    /// What a client that comes again names as the last that it has got, in `Last-Event-ID`. Left out if
    /// it has a line end or a NUL.
    pub fn id(mut self, id: impl Into<String>) -> Event {
        self.id = Some(id.into()).filter(|id| !id.contains(['\r', '\n', '\0']));
        self
    }

    /// The name of the event, which a script listens for; without one it is `message`. Left out if it
    /// has a line end.
    pub fn name(mut self, name: impl Into<String>) -> Event {
        self.name = Some(name.into()).filter(|name| !name.contains(['\r', '\n']));
        self
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.id {
            writeln!(f, "id: {id}")?;
        }
        if let Some(name) = &self.name {
            writeln!(f, "event: {name}")?;
        }
        for line in self.data.replace("\r\n", "\n").split(['\r', '\n']) {
            writeln!(f, "data: {line}")?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_line_of_data_and_nothing_else_gets_in() {
        let data = |data: &str| Event::new(data).to_string();
        let rows = [
            (data("one"), "data: one\n\n"),
            (data(""), "data: \n\n"),
            (
                data("a\nb\r\nc\rd"),
                "data: a\ndata: b\ndata: c\ndata: d\n\n",
            ),
            (data("a\n"), "data: a\ndata: \n\n"),
            (Event::new("x").id("1").to_string(), "id: 1\ndata: x\n\n"),
            (Event::new("x").id("1\ndata: y").to_string(), "data: x\n\n"),
            (Event::new("x").name("n\r").to_string(), "data: x\n\n"),
        ];
        for (text, expected) in rows {
            assert_eq!(text, expected);
        }
    }
}
