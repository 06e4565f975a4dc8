//! A thousand people come within ten seconds. Arrivals are in virtual time; what it costs a member is measured.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mls::member::Member;
use mls::wire::{CommitRequest, Reason, WelcomeDelivery};
use sha2::{Digest as _, Sha256};

use super::world::{World, device};
use crate::conference::*;

/// The CPU time of this thread. Where it cannot be read nothing is measured, and the test fails.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// A crowd of which some devices do everything that members do, and each pays for itself.
struct Crowd {
    world: World,
    /// Who really takes part. Of the others there is a seat and a KeyPackage.
    real: Vec<(Participant, Option<Member>, Duration)>,
    waiting: Vec<(SeatId, Participant)>,
    commits: usize,
    /// The bundle that is under way to the focus.
    up: Option<(SeatId, Bytes)>,
    most: usize,
    trees: Trees,
    /// How many commits each has made.
    made: BTreeMap<Participant, usize>,
}

/// What the trees beside the Welcomes come to.
#[derive(Default)]
struct Trees {
    /// Octets on the way to the relay, one tree for each who is welcomed.
    octets: usize,
    /// The CPU time the focus spends on them.
    spent: Duration,
    /// How many differ, and how large the largest is.
    different: BTreeSet<[u8; 32]>,
    largest: usize,
}

impl Crowd {
    /// The tree that goes with a Welcome.
    fn tree(&mut self) -> Bytes {
        let from = cpu();
        let tree = self.world.conference.tree();
        self.trees.spent += cpu() - from;
        self.trees.octets += tree.len();
        self.trees.different.insert(Sha256::digest(&tree).into());
        self.trees.largest = self.trees.largest.max(tree.len());
        tree
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Claim(of) => self.claim(of),
                Effect::Tell(seat, told) => self.tell(seat, told),
                Effect::Announce(Announced::Commit(commit)) => {
                    self.commits += 1;
                    let now = self.world.now;
                    for (_, member, spent) in &mut self.real {
                        let from = cpu();
                        if let Some(member) = member {
                            member.process(&commit, now).unwrap();
                        }
                        *spent += cpu() - from;
                    }
                }
                _ => {}
            }
        }
    }

    fn run(&mut self, command: &Command) {
        let decision = self.world.conference.decide(self.world.now, command).unwrap();
        let effects = self.world.conference.take(decision);
        self.carry_out(effects);
    }

    fn claim(&mut self, of: Vec<Participant>) {
        let claim = |who: Participant| (who.clone(), Some(self.world.package(&who)));
        let packages = of.into_iter().map(claim).collect();
        self.run(&Command::Claimed(packages));
    }

    fn tell(&mut self, seat: SeatId, told: Told) {
        let Some((who, _)) = self.world.conference.roster().at(seat) else { return };
        let who = who.clone();
        let now = self.world.now;
        let tree = if let Told::Welcome(_) = told { self.tree() } else { Bytes::new() };
        let real = self.real.iter_mut().find(|(it, _, _)| *it == who);
        match told {
            Told::Welcome(welcome) => {
                if let Some((_, member, spent)) = real {
                    let (from, era) = (cpu(), self.world.conference.gate().unwrap().era);
                    let keyring = &self.world.devices[&who].keyring;
                    let delivery = WelcomeDelivery { era, welcome, tree };
                    let id = self.world.conference.id();
                    *member = Some(Member::join(keyring, id, &delivery, now).unwrap());
                    *spent += cpu() - from;
                }
            }
            Told::Request(CommitRequest { reason: Reason::Confirm, .. }) => {
                // Whoever is asked is in the same epoch as the founder.
                let report = self.real[0].1.as_ref().unwrap().report();
                self.waiting.push((seat, who));
                let report = Command::Report { seat, report };
                if let Ok(decision) = self.world.conference.decide(now, &report) {
                    let effects = self.world.conference.take(decision);
                    self.carry_out(effects);
                }
            }
            Told::Request(request) => {
                self.most = self.most.max(request.add.len());
                let Some((_, Some(member), spent)) = real else { panic!("{who} is asked") };
                let from = cpu();
                let bundle = member.answer(&request, now).unwrap();
                *spent += cpu() - from;
                *self.made.entry(who).or_default() += 1;
                self.up = Some((seat, bundle.to_bytes()));
            }
            _ => {}
        }
    }

    /// Lets time pass to this moment, and everything happen that falls due.
    fn pass(&mut self, until: SystemTime) {
        loop {
            if let Some((seat, bundle)) = self.up.take() {
                // A commit takes a while on its way.
                self.world.now += Duration::from_millis(80);
                self.run(&Command::Bundle { seat, bundle });
            } else if let Some(due) = self.world.conference.due().filter(|due| *due <= until) {
                self.world.now = self.world.now.max(due);
                self.run(&Command::Tick);
            } else {
                break;
            }
        }
        self.world.now = self.world.now.max(until);
    }
}

/// How many come. In a build without optimisation fewer.
const CROWD: u16 = if cfg!(debug_assertions) { 300 } else { 1000 };
/// How many commits that may cost, and how many members have a turn at most.
const TURNS: u16 = 20;

#[test]
fn joining_at_scale_a_crowd_of_ten_seconds_costs_everybody_twenty_commits_of_members_in_turn() {
    let mut world = World::room(&[]);
    let start = world.now;
    let founder = world.devices.get_mut(&device("alice", 1)).unwrap().member.take();
    let mut crowd = Crowd {
        world,
        real: vec![(device("alice", 1), founder, Duration::ZERO)],
        waiting: Vec::new(),
        commits: 0,
        up: None,
        most: 0,
        trees: Trees::default(),
        made: BTreeMap::new(),
    };
    // Those who come first have the first turns.
    let measured: BTreeSet<u16> = (1..=TURNS).chain([CROWD / 2, CROWD]).collect();
    for nth in 1..=CROWD {
        crowd.pass(start + Duration::from_secs(10) * u32::from(nth) / u32::from(CROWD));
        let person = format!("p{nth}");
        let who = crowd.world.own(&person, 1);
        if measured.contains(&nth) {
            crowd.real.push((who.clone(), None, Duration::ZERO));
        }
        let seat = SeatId(1000 + u64::from(nth));
        crowd.run(&Command::Join(Joining {
            who,
            seat,
            identities: vec![format!("sip:{person}@example.net")],
            peer_path: None,
            end: End::default(),
            came: Came::DialedIn,
            shown: Shown::Named,
            mask: None,
        }));
        crowd.run(&Command::Bound(seat));
    }
    crowd.pass(start + Duration::from_secs(20));

    assert_eq!(crowd.world.conference.members(), usize::from(CROWD) + 1);
    let spent: Vec<Duration> = crowd.real.iter().map(|(_, _, spent)| *spent).collect();
    let most = spent.iter().max().copied().unwrap_or_default();
    println!("{CROWD}: {} commits of at most {}, CPU at most {most:?}", crowd.commits, crowd.most);
    let Trees { octets, spent, different, largest } = &crowd.trees;
    println!("trees: {octets} octets, {} different, largest {largest}, {spent:?}", different.len());
    assert!(different.len() <= crowd.commits, "one tree for all whom one commit lets in");
    assert!(crowd.commits <= usize::from(TURNS), "{} commits", crowd.commits);
    // All but the founder, who began the group, have one turn.
    assert!(crowd.made.values().all(|made| *made == 1), "{:?}", crowd.made);
    let first = crowd.real[0].1.as_ref().unwrap().authenticator();
    for (who, member, spent) in &crowd.real {
        assert_eq!(member.as_ref().unwrap().authenticator(), first, "{who}");
        assert!(*spent > Duration::ZERO, "what {who} spent was not measured");
        // The promise is one of a build that is optimised.
        assert!(cfg!(debug_assertions) || *spent < Duration::from_secs(1), "{who}: {spent:?}");
    }
    assert!(Arc::strong_count(&crowd.world.terms) > 0);
}
