//! `Rooms`: which members are in which room. A room is a name and the members in it, nothing more: one
//! that nobody is in is not there.

use std::collections::{HashMap, HashSet};

/// The name of a room.
pub(crate) type Name = Box<str>;

#[derive(Default)]
pub(super) struct Rooms {
    rooms: HashMap<Name, HashSet<u64>>,
    /// Who is in all rooms whose names begin with this: it is empty, or ends with `/`.
    below: HashMap<Name, HashSet<u64>>,
}

impl Rooms {
    /// Whether it was not there before.
    pub(super) fn enter(&mut self, room: &str, id: u64) -> bool {
        let (rooms, name) = self.find(room);
        rooms.entry(name.into()).or_default().insert(id)
    }

    pub(super) fn exit(&mut self, room: &str, id: u64) {
        let (rooms, name) = self.find(room);
        if let Some(members) = rooms.get_mut(name) {
            members.remove(&id);
            if members.is_empty() {
                rooms.remove(name);
            }
        }
    }

    /// Who is in exactly this room.
    pub(super) fn members(&self, room: &str) -> impl Iterator<Item = u64> {
        self.rooms.get(room).into_iter().flatten().copied()
    }

    /// Who gets what is sent to this room; somebody may come twice.
    pub(super) fn audience(&self, room: &str) -> impl Iterator<Item = u64> {
        // Most hubs have no prefixes, and then nothing is looked up.
        let ends = match self.below.is_empty() {
            true => "",
            false => room,
        };
        let above = ends.match_indices('/').map(|(at, _)| &room[..=at]);
        let above = above
            .chain([""])
            .filter_map(|prefix| self.below.get(prefix));
        self.members(room).chain(above.flatten().copied())
    }

    fn find<'a>(&mut self, room: &'a str) -> (&mut HashMap<Name, HashSet<u64>>, &'a str) {
        match room.strip_suffix('*') {
            Some(prefix) if prefix.is_empty() || prefix.ends_with('/') => (&mut self.below, prefix),
            _ => (&mut self.rooms, room),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_its_members_and_those_of_the_prefixes_above() {
        let mut rooms = Rooms::default();
        let places = ["a", "a/b", "a/*", "*", "a/b/*", "b/*", "ab", "a*"];
        for (id, room) in (0..).zip(places) {
            assert!(rooms.enter(room, id) && !rooms.enter(room, id), "{room}");
        }
        let cases: [(&str, &[u64]); 5] = [
            ("a", &[0, 3]),
            ("a/b", &[1, 2, 3]),
            ("a/b/c", &[2, 3, 4]),
            ("ab", &[3, 6]),
            ("c", &[3]),
        ];
        for (room, expected) in cases {
            let mut found: Vec<u64> = rooms.audience(room).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{room}");
        }
        assert_eq!(rooms.members("a/b").collect::<Vec<_>>(), [1]);
        for (id, room) in (0..).zip(places) {
            rooms.exit(room, id);
        }
        assert!(rooms.rooms.is_empty() && rooms.below.is_empty());
    }
}
