//! Files that others have for this person and that nobody has fetched yet, kept with the device: their keys came once, under
//! a seal, and the octets wait in a mailbox for days. The octets are nowhere here.
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ids::Aor;
use mls::files::FileDescription;
use mls::storage::Records;

use super::Device;
use crate::event::Announced;

/// The names of the notes begin so; then comes the hash of the sealed octets.
const PREFIX: &[u8] = b"unfetched/";
/// Files that are remembered. At more of them the oldest is forgotten of who has told of the most.
const FILES_MAX: usize = 64;
/// How long one is remembered: a mailbox keeps files for a week, if its operator has not settled otherwise, and two if they
/// were fetched by another device meanwhile.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// The files that others have for a device's person. Clones are the same.
#[derive(Clone, Debug)]
pub struct Unfetched(Records);

impl Device {
    /// Files that others have for this person. What came with [`crate::Arrival::Announced`] is among them until it is forgotten,
    /// also after a restart.
    pub fn unfetched(&self) -> Unfetched {
        Unfetched(self.shared.keyring.records().clone())
    }
}

impl Unfetched {
    pub(super) fn of(records: &Records) -> Self {
        Self(records.clone())
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Announced> {
        self.noted(service::clock::wall()).into_iter().map(|(_since, file)| file).collect()
    }

    /// Keeps one, as of now. What is the same file, sealed again, takes the place of the older one.
    pub fn keep(&self, file: &Announced) {
        self.keep_at(service::clock::wall(), file);
    }

    /// It is fetched, or cannot be fetched any more.
    pub fn forget(&self, file: &Announced) {
        self.0.forget(&name(file));
    }

    fn keep_at(&self, now: SystemTime, file: &Announced) {
        let mut known = self.noted(now);
        for (_since, older) in known.extract_if(.., |(_since, older)| file.is_again(older)) {
            self.forget(&older);
        }
        if known.len() >= FILES_MAX
            && let Some(spare) = spare(&known)
        {
            self.forget(spare);
        }
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // The small picture was shown when it came.
        let description = FileDescription { picture: None, ..(*file.description).clone() };
        let mut octets = format!("{since}\n{}\n", file.from).into_bytes();
        octets.extend_from_slice(&description.to_bytes());
        self.0.note(&name(file), octets);
    }

    /// Those that are not too old; what is, or cannot be read, is forgotten.
    fn noted(&self, now: SystemTime) -> Vec<(u64, Announced)> {
        let mut all = Vec::new();
        for (name, value) in self.0.noted_under(PREFIX) {
            match read(&value).filter(|(since, _file)| is_kept(*since, now)) {
                Some(known) => all.push(known),
                None => self.0.forget(&name),
            }
        }
        all.sort_by_key(|(since, _file)| *since);
        all
    }
}

/// The oldest of who has told of the most.
fn spare(known: &[(u64, Announced)]) -> Option<&Announced> {
    let mut told: HashMap<&Aor, usize> = HashMap::new();
    known.iter().for_each(|(_since, file)| *told.entry(&file.from).or_default() += 1);
    let files = known.iter().map(|(since, file)| (told.get(&file.from), Reverse(*since), file));
    files.max_by_key(|(told, since, _file)| (*told, *since)).map(|(_told, _since, file)| file)
}

fn is_kept(since: u64, now: SystemTime) -> bool {
    let until = UNIX_EPOCH.checked_add(Duration::from_secs(since).saturating_add(KEPT));
    until.is_some_and(|until| now < until)
}

fn name(file: &Announced) -> Vec<u8> {
    [PREFIX, &file.description.file.ciphertext_sha256].concat()
}

fn read(octets: &[u8]) -> Option<(u64, Announced)> {
    let mut parts = octets.splitn(3, |octet| *octet == b'\n');
    let mut line = || std::str::from_utf8(parts.next()?).ok();
    let (since, from) = (line()?.parse().ok()?, line()?.parse().ok()?);
    let description = FileDescription::from_bytes(parts.next()?).ok()?;
    Some((since, Announced::new(from, description)))
}

#[cfg(test)]
mod tests {
    use mls::files::{FileSealer, Picture};

    use super::*;

    /// Somebody's file with this in it, sealed just now.
    fn file(from: &str, name: &str, content: &[u8]) -> Announced {
        let mut sealer = FileSealer::new(&mut rand::rng()).unwrap();
        let mut sealed = Vec::new();
        sealer.push(content, &mut sealed).unwrap();
        let mut description = sealer.finish(&mut sealed).unwrap().describe(name, "a/b");
        let content = bytes::Bytes::from_static(b"small");
        description.picture = Some(Picture { media_type: "image/png".to_owned(), content });
        Announced::new(format!("sip:{from}@x").parse().unwrap(), description)
    }

    fn at(day: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(day * 24 * 3600)
    }

    fn names(unfetched: &Unfetched, day: u64) -> Vec<String> {
        unfetched.noted(at(day)).into_iter().map(|(_since, file)| file.name).collect()
    }

    #[test]
    fn what_was_announced_is_there_with_its_key_until_it_is_forgotten_or_too_old() {
        let records = Records::kept([]);
        let unfetched = Unfetched::of(&records);
        let plan = file("alice", "plan\nB.txt", b"the plan");
        unfetched.keep_at(at(100), &file("bob", "map", b"a map"));
        unfetched.keep_at(at(101), &plan);

        let again = Unfetched::of(&records).noted(at(101)).pop().unwrap().1;

        assert_eq!((&again.name, &again.from, again.octets), (&plan.name, &plan.from, 8));
        assert_eq!(again.description.file, plan.description.file);
        assert!(again.picture().is_none());
        assert_eq!(names(&unfetched, 113), ["map", "plan\nB.txt"]);
        assert_eq!(names(&unfetched, 114), ["plan\nB.txt"]);
        unfetched.forget(&again);
        assert!(names(&unfetched, 101).is_empty() && records.noted_under(PREFIX).is_empty());
    }

    #[test]
    fn the_same_file_sealed_again_is_there_once_and_another_of_its_name_beside_it() {
        let unfetched = Unfetched::of(&Records::kept([]));
        unfetched.keep_at(at(1), &file("alice", "plan", b"the plan"));
        let again = file("alice", "plan", b"the plan");
        unfetched.keep_at(at(2), &again);
        unfetched.keep_at(at(3), &file("alice", "plan", b"another plan"));
        unfetched.keep_at(at(4), &file("bob", "plan", b"the plan"));

        let known = unfetched.noted(at(4));

        let octets: Vec<u64> = known.iter().map(|(_since, file)| file.octets).collect();
        assert_eq!(octets, [8, 12, 8]);
        assert_eq!(known[0].1.description.file, again.description.file);
    }

    #[test]
    fn there_is_a_bound_and_who_tells_of_many_files_pushes_out_their_own() {
        let unfetched = Unfetched::of(&Records::kept([]));
        unfetched.keep_at(at(1), &file("bob", "map", b"a map"));
        for n in 0..FILES_MAX + 5 {
            let content = n.to_string();
            unfetched.keep_at(at(2), &file("mallory", &content, content.as_bytes()));
        }

        let kept = names(&unfetched, 2);

        assert_eq!((kept.len(), &*kept[0]), (FILES_MAX, "map"));
        assert!(kept.contains(&(FILES_MAX + 4).to_string()));
    }
}
