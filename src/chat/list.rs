//! The files that others have for a person, as they are listed and named. Each has a number for as long as it is on the list,
//! which no other one gets; so two of one name can be told apart. Pure.
use ids::Aor;

use crate::terminal::plain as shown;

/// A file on the list, with what it takes to fetch it.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) number: usize,
    pub(super) from: Aor,
    pub(super) name: String,
    pub(super) octets: u64,
    pub(super) seal: &'static str,
    /// None: it is on its way.
    pub(super) what: Option<T>,
}

/// Those that are there, in the order they came.
#[derive(Debug)]
pub(super) struct List<T> {
    entries: Vec<Entry<T>>,
    last: usize,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), last: 0 }
    }
}

impl<T> List<T> {
    /// Puts one behind the others; beyond the bound the oldest is gone. How it is named on a line.
    pub(super) fn put(
        &mut self,
        (from, name, octets): (&Aor, &str, u64),
        seal: &'static str,
        what: T,
        files_max: usize,
    ) -> String {
        self.last += 1;
        let (number, from, name) = (self.last, from.clone(), name.to_owned());
        self.entries.push(Entry { number, from, name, octets, seal, what: Some(what) });
        if self.entries.len() > files_max {
            self.entries.remove(0);
        }
        self.entries.last().map(|entry| self.call(entry)).unwrap_or_default()
    }

    /// The one that is meant, by its number or its name, as it is listed.
    pub(super) fn find(&mut self, typed: &str) -> Result<&mut Entry<T>, String> {
        let numbered = typed.parse().ok();
        let is_called = |it: &Entry<T>| shown(&it.name) == typed || called(it) == typed;
        let of_name: Vec<usize> =
            self.entries.iter().filter(|it| is_called(it)).map(|it| it.number).collect();
        let number = match (self.entries.iter().any(|it| Some(it.number) == numbered), &*of_name) {
            (true, _) => numbered,
            (false, [one]) => Some(*one),
            (false, []) if numbered.is_some() => return Err("there is no such number".to_owned()),
            (false, []) => return Err("nobody has a file of that name for you".to_owned()),
            (false, several) => {
                let ways: Vec<String> = several.iter().map(|it| format!("/get {it}")).collect();
                return Err(format!(
                    "there are {} of that name: {}",
                    several.len(),
                    ways.join(", ")
                ));
            }
        };
        let found = self.entries.iter_mut().find(|it| Some(it.number) == number);
        found.ok_or_else(|| "it is on the list no more".to_owned())
    }

    /// Takes those off that are meant.
    pub(super) fn take(&mut self, is: impl FnMut(&mut Entry<T>) -> bool) -> Vec<Entry<T>> {
        self.entries.extract_if(.., is).collect()
    }

    /// What it takes to fetch it is there again.
    pub(super) fn put_back(&mut self, number: usize, what: T) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == number) {
            entry.what = Some(what);
        }
    }

    /// Each on a line; none if there are none.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |it: &Entry<T>| {
            let coming = if it.what.is_none() { ", on its way" } else { "" };
            let (number, octets, seal) = (it.number, it.octets, it.seal);
            format!("  {number}  {} ({octets} octets), {seal}{coming}", called(it))
        };
        self.entries.iter().map(line).collect()
    }

    /// By its name, if that says which it is.
    fn call(&self, entry: &Entry<T>) -> String {
        let name = shown(&entry.name);
        let alike = self.entries.iter().filter(|it| shown(&it.name) == name).count();
        let is_number = name.parse::<usize>().is_ok();
        if alike > 1 || is_number || name.trim() != name || name.is_empty() {
            entry.number.to_string()
        } else {
            name
        }
    }
}

/// How a file is told from those of others.
fn called<T>(entry: &Entry<T>) -> String {
    format!("{} of {}", shown(&entry.name), entry.from.user())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(files: &[(&str, &str)]) -> (List<()>, Vec<String>) {
        let mut list = List::default();
        let told = files.iter().map(|(from, name)| {
            let from: Aor = format!("sip:{from}@x").parse().unwrap();
            list.put((&from, name, 8), "sealed", (), 4)
        });
        let told = told.collect();
        (list, told)
    }

    fn found(list: &mut List<()>, typed: &str) -> Result<usize, String> {
        list.find(typed).map(|entry| entry.number)
    }

    #[test]
    fn a_file_is_named_by_its_name_where_that_is_enough_and_always_by_its_number() {
        let (mut list, told) =
            list(&[("alice", "plan"), ("bob", "map"), ("alice", "plan"), ("bob", "2")]);

        assert_eq!(told, ["plan", "map", "3", "4"]);
        assert_eq!(list.lines()[2], "  3  plan of alice (8 octets), sealed");
        assert_eq!(found(&mut list, "map"), Ok(2));
        assert_eq!(found(&mut list, "map of bob"), Ok(2));
        assert_eq!(found(&mut list, "1"), Ok(1));
        assert_eq!(found(&mut list, "2"), Ok(2), "a number is a number, whatever a file is called");
        assert_eq!(found(&mut list, "2 of bob"), Ok(4));
        let several = Err("there are 2 of that name: /get 1, /get 3".to_owned());
        assert_eq!(found(&mut list, "plan"), several);
        assert_eq!(found(&mut list, "plan of alice"), several);
        assert!(found(&mut list, "5").unwrap_err().contains("no such number"));
        assert!(found(&mut list, "map of alice").unwrap_err().contains("nobody has a file"));
    }

    #[test]
    fn what_is_taken_off_leaves_the_numbers_of_the_others_as_they_are_and_there_is_a_bound() {
        let names = [("a", "1"), ("a", "b"), ("a", "c"), ("a", "d"), ("a", "e")];
        let (mut list, _told) = list(&names);

        assert!(found(&mut list, "1").is_err(), "the oldest is gone");
        assert_eq!(list.take(|it| it.number == 3).len(), 1);
        assert_eq!(found(&mut list, "e"), Ok(5));
        list.find("4").unwrap().what = None;
        assert_eq!(list.lines()[1], "  4  d of a (8 octets), sealed, on its way");
        list.put_back(4, ());
        assert_eq!(list.lines()[1], "  4  d of a (8 octets), sealed");
    }

    #[test]
    fn a_name_that_is_too_odd_to_be_typed_is_called_by_its_number() {
        let (_, told) = list(&[("a", " b"), ("a", ""), ("a", "c\u{202e}d")]);

        assert_eq!(told, ["1", "2", "cd"]);
    }
}
