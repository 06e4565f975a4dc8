//! What each change of a group costs its author, the ledger, those who follow and those who come, by the size of the
//! group: CPU time of all threads, so that a machine that does other work as well gives the same figures, and octets.
//!
//! The tree is cold: everybody but the creator came in by one commit, so that a path is sealed for each leaf. That is how a
//! conference starts, and the dearest it gets. Medians of five. With `--test` only the smallest group is made.
#![expect(clippy::unwrap_used, reason = "a bench has nobody to hand an error to")]
#![expect(clippy::indexing_slicing, reason = "the bench has put there what it takes")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "openmls reads this clock, the bench has to agree with it"
)]
mod shared;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, Era};
use mls::identity::Issuer;
use mls::ledger::{Accepted, Ledger, Policy, Verdict, Whom};
use mls::member::{Keyring, Member, Processed};
use mls::storage::Records;
use mls::wire::{Bundle, DeviceName};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustix::time::{ClockId, clock_gettime};
use shared::{DAY, claim, device, room};

/// Members that do everything members do. Of the others there is a leaf.
const REAL: usize = 6;
/// Messages sealed and opened: the secrets are written once in that many.
const MESSAGES: u32 = 2048;
/// By how much copies of a state have to make this process grow, to see what each takes of the memory.
const GROWTH_OCTETS: usize = 32 << 20;

/// By row and size: what was measured, in the order of the rows.
#[derive(Default)]
struct Table {
    rows: Vec<String>,
    cells: BTreeMap<(String, usize), Vec<f64>>,
}

impl Table {
    fn add(&mut self, row: &str, size: usize, value: f64) {
        if !self.rows.iter().any(|known| known == row) {
            self.rows.push(row.to_owned());
        }
        self.cells.entry((row.to_owned(), size)).or_default().push(value);
    }

    fn octets(&mut self, row: &str, size: usize, octets: usize) {
        let octets = u32::try_from(octets).unwrap();
        self.add(&format!("{row}, octets"), size, f64::from(octets));
    }

    fn cpu<T>(&mut self, row: &str, size: usize, does: impl FnOnce() -> T) -> T {
        let from = cpu();
        let done = does();
        self.add(&format!("{row}, ms"), size, (cpu() - from).as_secs_f64() * 1e3);
        done
    }

    fn print(&self, sizes: &[usize]) {
        let heads: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        println!("| | {} |", heads.join(" | "));
        println!("|---|{}", "---|".repeat(sizes.len()));
        for row in &self.rows {
            let cell = |size: &usize| {
                let Some(values) = self.cells.get(&(row.clone(), *size)) else {
                    return String::new();
                };
                let mut values = values.clone();
                values.sort_by(f64::total_cmp);
                let median = values[values.len() / 2];
                if row.ends_with("octets") || median >= 100.0 {
                    format!("{median:.0}")
                } else {
                    format!("{median:.3}")
                }
            };
            let cells: Vec<String> = sizes.iter().map(cell).collect();
            println!("| {row} | {} |", cells.join(" | "));
        }
    }
}

/// The CPU time of all threads of this process so far.
fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap()
}

/// Octets of memory that this process holds.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

struct Room {
    alice: Keyring,
    now: SystemTime,
    rng: StdRng,
    issuer: Issuer,
    ledger: Ledger,
    members: Vec<Member>,
    records: Vec<Records>,
    named: u32,
    size: usize,
}

impl Room {
    fn device(&mut self) -> Keyring {
        self.named += 1;
        device(&self.issuer, &mut self.rng, &format!("person{}", self.named), self.now)
    }

    /// A group of this size, made by one commit; what that costs goes into the table.
    fn of(size: usize, table: &mut Table) -> Self {
        let now = SystemTime::now();
        let mut rng = StdRng::seed_from_u64(1);
        let issuer = Issuer::generate(&mut rng, "devices", now - DAY, 400 * DAY).unwrap();
        let alice = device(&issuer, &mut rng, "person0", now);
        let (member, bundle) = table
            .cpu("make the group", size, || Member::create(&alice, &room(), Era(1), now))
            .unwrap();
        let policy = Policy { by: alice.device(), on_roster: &|_: &Aor| true, now };
        let (roots, focus) = (issuer.roots(), issuer.focus_key());
        let made = Ledger::create(&room(), Era(1), &bundle, &focus, roots, &policy).unwrap();
        let (ledger, _) = made.into_ledger();
        let records = vec![alice.records().clone()];
        let members = vec![member];
        let mut room = Self { alice, now, rng, issuer, ledger, members, records, named: 0, size };
        let devices: Vec<Keyring> = (1..size).map(|_| room.device()).collect();
        let claims: Vec<_> = devices
            .iter()
            .map(|device| table.cpu("KeyPackage: make", size, || claim(device, now)))
            .collect();
        table.octets("KeyPackage", size, claims[0].key_package.len());
        let by = room.members[0].me().clone();
        let bundle = table
            .cpu("all others in one commit: make", size, || room.members[0].add(&claims, now))
            .unwrap();
        table.octets("all others in one commit", size, bundle.commit.len());
        table.octets("one Welcome, without the tree", size, bundle.welcomes[0].welcome.len());
        let accepted = room.accept("all others in one commit", &by, &bundle, table);
        table.octets("tree", size, accepted.welcomes[0].1.tree.len());
        let every = (size - 1) / (REAL - 1);
        for device in devices.iter().step_by(every).take(REAL - 1) {
            let welcome = accepted.welcomes.iter().find(|(to, _)| to == device.device()).unwrap();
            let join = || Member::join(device, &shared::room(), &welcome.1, now).unwrap();
            room.members.push(table.cpu("join by Welcome", size, join));
            room.records.push(device.records().clone());
        }
        room
    }

    /// The ledger's part of a change, and then what the members make of it.
    fn accept(
        &mut self,
        row: &str,
        by: &DeviceName,
        bundle: &Bundle,
        table: &mut Table,
    ) -> Accepted {
        let policy = Policy { by, on_roster: &|_: &Aor| true, now: self.now };
        let check = || match self.ledger.check(bundle, &policy) {
            Ok(Verdict::New(checked)) => *checked,
            other => panic!("{other:?}"),
        };
        let checked = table.cpu(&format!("{row}: ledger"), self.size, check);
        let accepted = self.ledger.apply(checked).unwrap();
        let commit = accepted.commit.clone().unwrap();
        for member in self.members.iter_mut().filter(|member| member.epoch() < accepted.epoch) {
            let own = member.me() == by;
            let mut follow = || member.process(&commit, self.now).unwrap();
            if own {
                follow();
            } else {
                table.cpu(&format!("{row}: follow"), self.size, follow);
            }
        }
        accepted
    }

    /// A change that this member makes.
    fn change(
        &mut self,
        row: &str,
        at: usize,
        table: &mut Table,
        make: impl FnOnce(&mut Member, SystemTime) -> Bundle,
    ) -> Accepted {
        let (now, member) = (self.now, &mut self.members[at]);
        let by = member.me().clone();
        let bundle = table.cpu(&format!("{row}: make"), self.size, || make(member, now));
        table.octets(row, self.size, bundle.commit.len());
        self.accept(row, &by, &bundle, table)
    }

    /// Each kind of change, by members whose paths nobody has filled yet.
    fn changes(&mut self, table: &mut Table) {
        for at in 1..REAL {
            let newcomer = self.device();
            let claims = [claim(&newcomer, self.now)];
            self.change("one more", at, table, |member, now| member.add(&claims, now).unwrap());
            self.remove(newcomer.device(), at, table);
            self.change("new keys (refresh)", at, table, |member, _| member.refresh().unwrap());
        }
        for _ in 1..REAL {
            let newcomer = self.device();
            let (state, now) = (self.ledger.group_state(), self.now);
            let enter = || Member::join_externally(&newcomer, &room(), &state, None, now).unwrap();
            let (member, bundle) = table.cpu("external commit: make", self.size, enter);
            table.octets("external commit", self.size, bundle.commit.len());
            self.members.push(member);
            self.accept("external commit", newcomer.device(), &bundle, table);
        }
    }

    fn remove(&mut self, whom: &DeviceName, at: usize, table: &mut Table) {
        let (row, size, ledger) = ("Remove proposed by the focus", self.size, &mut self.ledger);
        let proposals = table.cpu(row, size, || {
            let checked = ledger.check_removal(Whom::Device(whom)).unwrap();
            ledger.apply_removal(checked).unwrap()
        });
        table.octets(row, size, proposals[0].len());
        for member in &mut self.members {
            for proposal in &proposals {
                member.process(proposal, self.now).unwrap();
            }
        }
        let make = |member: &mut Member, now| member.commit_pending(now).unwrap();
        self.change("one less (kick)", at, table, make);
    }

    /// What is sealed and opened, with what a device keeps of it, but not the disk.
    fn messages(&mut self, table: &mut Table) {
        let plaintext = [b'x'; 1024];
        let drained = |records: &Records| -> usize {
            let changes = records.drain();
            changes.iter().filter_map(|change| Some(change.value.as_ref()?.len())).sum()
        };
        self.records.iter().for_each(|records| drop(records.drain()));
        let mut sealed: Vec<Bytes> = Vec::new();
        let from = cpu();
        for _ in 0..MESSAGES {
            sealed.push(self.members[0].seal("message", &plaintext).unwrap());
            drained(&self.records[0]);
        }
        let each = |spent: Duration| spent.as_secs_f64() * 1e3 / f64::from(MESSAGES);
        table.add("seal 1 KiB, amortised, ms", self.size, each(cpu() - from));
        table.octets("1 KiB, sealed", self.size, sealed[0].len());
        let from = cpu();
        for message in &sealed {
            let opened = self.members[1].process(message, self.now).unwrap();
            assert!(matches!(opened, Processed::Message(_)));
            drained(&self.records[1]);
        }
        table.add("open 1 KiB, amortised, ms", self.size, each(cpu() - from));
        self.members[0].settle().unwrap();
        table.octets("secrets of three epochs, on disk", self.size, drained(&self.records[0]));
        let from = cpu();
        for _ in 0..MESSAGES {
            self.members[0].export("bench", b"", 32).unwrap();
        }
        table.add("export a secret, ms", self.size, each(cpu() - from));
        let info = self.ledger.group_state().group_info;
        table.octets("GroupInfo, without the tree", self.size, info.len());
        table.octets("ledger, in the journal", self.size, self.ledger.to_bytes().len());
    }

    /// What a ledger and a member that are read back take of the memory.
    fn memory(&self, table: &mut Table) {
        let (focus, roots) = (self.issuer.focus_key(), self.issuer.roots());
        let journal = self.ledger.to_bytes();
        let ledger = || Ledger::from_bytes(&journal, &focus, roots).unwrap();
        table.octets("ledger, in memory", self.size, each_takes(ledger));
        let member = || Member::load(&self.alice, &room()).unwrap().unwrap();
        table.octets("member, in memory", self.size, each_takes(member));
    }
}

/// How much more memory this process holds for each that is made.
fn each_takes<T>(make: impl Fn() -> T) -> usize {
    let mut copies = Vec::new();
    let mut grown = || {
        let before = resident();
        while resident() < before + GROWTH_OCTETS {
            copies.push(make());
        }
        (copies.len(), resident())
    };
    // The first go where others were before.
    let (some, held) = grown();
    let (more, in_the_end) = grown();
    (in_the_end - held) / (more - some)
}

fn main() {
    let sizes: &[usize] =
        if std::env::args().any(|it| it == "--test") { &[10] } else { &[10, 100, 1000] };
    let mut table = Table::default();
    for size in sizes {
        let mut room = Room::of(*size, &mut table);
        room.changes(&mut table);
        room.messages(&mut table);
        room.memory(&mut table);
    }
    table.print(sizes);
}
