//! `Rules`: who may do what, a rule a line; of those that fit, the first one decides. Text only.

use super::credentials::Who;
use crate::apps::Action;

#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    whom: Whom,
    read: bool,
    write: bool,
    /// Paths that begin with this.
    prefix: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Whom {
    Anybody,
    One(Who),
}

impl Rules {
    /// # Errors
    ///
    /// The first line that is no rule, with its number.
    pub(super) fn parse(text: &str) -> Result<Rules, String> {
        let lines = text.lines().zip(1..);
        let rules = lines.filter_map(|(line, number)| {
            let line = line.split('#').next().unwrap_or_default().trim();
            let rule = (!line.is_empty()).then(|| Rule::parse(line))?;
            Some(rule.map_err(|why| format!("line {number}: {why}")))
        });
        rules.collect::<Result<_, _>>().map(Rules)
    }

    /// Whether somebody, known or not, may do this at a path. One that ends with `/*` means all that is
    /// below it. What no rule says is denied.
    pub(super) fn may(&self, who: Option<&Who>, action: Action, path: &str) -> bool {
        let (path, all) = match path.strip_suffix('*') {
            Some(below) if below.ends_with('/') => (below, true),
            _ => (path, false),
        };
        for rule in self.0.iter().filter(|rule| rule.is_for(who, action)) {
            if path.starts_with(&rule.prefix) {
                return rule.allow;
            }
            if all && rule.prefix.starts_with(path) && !rule.allow {
                return false;
            }
        }
        false
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Rule, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [allow, whom, actions, prefix] = words[..] else {
            return Err("a rule is: allow|deny WHO read|write|read,write PATH-PREFIX".to_owned());
        };
        let allow = match allow {
            "allow" => true,
            "deny" => false,
            _ => return Err("a rule begins with allow or deny".to_owned()),
        };
        let whom = match (whom, whom.split_once(':')) {
            ("*", _) => Whom::Anybody,
            (_, Some(("user", name))) if !name.is_empty() => Whom::One(Who::user(name)),
            (_, Some(("token", name))) if !name.is_empty() => Whom::One(Who::token(name)),
            _ => return Err("WHO is *, user:NAME or token:NAME".to_owned()),
        };
        let (read, write) = match actions {
            "read" => (true, false),
            "write" => (false, true),
            "read,write" | "write,read" => (true, true),
            _ => return Err("what may be done is read, write or read,write".to_owned()),
        };
        if !prefix.starts_with('/') || prefix.contains('*') {
            return Err("a PATH-PREFIX begins with / and has no *".to_owned());
        }
        let prefix = prefix.to_owned();
        Ok(Rule {
            allow,
            whom,
            read,
            write,
            prefix,
        })
    }

    fn is_for(&self, who: Option<&Who>, action: Action) -> bool {
        let about = match action {
            Action::Read => self.read,
            Action::Write => self.write,
        };
        about
            && match &self.whom {
                Whom::Anybody => true,
                Whom::One(one) => who == Some(one),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = Rules::parse(
            "# a comment\n\
             deny  *          read,write /topic/secret/\n\
             allow user:ann   read,write /topic/   # hers\n\
             allow token:cron write      /topic/cpu\n\
             \n\
             allow *          read       /topic/\n\
             deny  *          read       /topic/odd/below/\n",
        );
        let rules = rules.expect("rules");
        let (ann, cron) = (Who::user("ann"), Who::token("cron"));
        // Read and write of nobody known, of ann, of cron.
        let rows = [
            ("/topic/a", "r- rw r-"),
            ("/topic/cpu", "r- rw rw"),
            ("/topic/cpu/2", "r- rw rw"),
            ("/topic/secret/x", "-- -- --"),
            ("/topic/secret", "r- rw r-"),
            ("/counter", "-- -- --"),
            ("/", "-- -- --"),
            // All that is below: not if some of it is denied.
            ("/topic/*", "-- -- --"),
            ("/topic/a/*", "r- rw r-"),
            ("/topic/secret/*", "-- -- --"),
            // What stands behind the rule that allows all comes too late.
            ("/topic/odd/*", "r- rw r-"),
        ];
        for (path, expected) in rows {
            let of = |who: Option<&Who>| {
                let may = |action, letter| {
                    if rules.may(who, action, path) {
                        letter
                    } else {
                        "-"
                    }
                };
                may(Action::Read, "r").to_owned() + may(Action::Write, "w")
            };
            let found = [of(None), of(Some(&ann)), of(Some(&cron))].join(" ");
            assert_eq!(found, expected, "{path}");
        }
        assert!(!Rules::default().may(Some(&ann), Action::Read, "/"));
    }

    #[test]
    fn a_line_that_is_no_rule_is_told_with_its_number() {
        let rows = [
            ("allow", "line 1: a rule is"),
            ("\nallow * read / more", "line 2: a rule is"),
            ("permit * read /", "line 1: a rule begins"),
            ("allow ann read /", "line 1: WHO is"),
            ("allow user: read /", "line 1: WHO is"),
            ("allow * append /", "line 1: what may be done"),
            ("allow * read topic", "line 1: a PATH-PREFIX"),
            ("allow * read /topic/*", "line 1: a PATH-PREFIX"),
        ];
        for (text, told) in rows {
            let error = Rules::parse(text).expect_err(text);
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}
