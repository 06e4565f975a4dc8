//! Faults that are planted on purpose, so that each check is seen to fail: what a broken relay, store, directory or
//! device would do, at the seams of the simulation. A run without one is the product alone.
use bytes::Bytes;
use mls::wire::{Bundle, Kind};
use mrfc::conference::{Event, Participant, What};

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// A device that is away counts as removed, and has the keys all the same.
    AwayCountsAsGone,
    /// The journal forgets its last commit when the focus dies.
    ForgetsCommit,
    /// One device is in an epoch with another key.
    OtherKey,
    /// The focus shows a member that its commit has won, and the others another one; it lets who cannot follow enter anew.
    LeadsApart,
    /// The relay loses a copy now and then, and says nothing.
    LosesCopies,
    /// The relay ends no seat of who was kicked.
    KeepsKickedSeats,
    /// The relay passes what its gate refuses.
    GateStaysOpen,
    /// The focus takes a commit that covers no Remove.
    SkipsRemove,
    /// The focus does not take who was removed off its books.
    HidesRemovals,
    /// The focus lets a device in twice.
    AddsTwice,
    /// The focus takes an entry that removes another device.
    EntryRemovesAnother,
    /// A device forgets what it has shown.
    ShowsTwice,
    /// The relay refuses a message and passes it on.
    RefusesAndPasses,
    /// The directory hands out a KeyPackage again and again.
    HandsOutTwice,
    /// The focus sends the Welcomes of a commit that has lost.
    WelcomesLosers,
    /// The relay loses a commit for one device, and says nothing.
    LosesCommits,
    /// A device that may not seal now sends what it has to say as it is.
    SpeaksInTheClear,
    /// A device lets go what it has sealed before it has written how far its keys are.
    SendsBeforeWriting,
    /// A device writes half of what belongs together.
    TearsWrites,
    /// Some commits are such that the focus takes them and no member can: all of an insider's from the beginning to the
    /// end, and until all is well every fourth of anybody's. This one is to be survived.
    SpoiledCommits,
}

/// Each fault, and the check that has to find it.
pub(crate) const FOUND_BY: &[(Fault, &str)] = &[
    (Fault::AwayCountsAsGone, "i1:"),
    (Fault::ForgetsCommit, "i3:"),
    (Fault::OtherKey, "i4:"),
    (Fault::LeadsApart, "i4:"),
    (Fault::LosesCopies, "i7:"),
    (Fault::KeepsKickedSeats, "i8:"),
    (Fault::GateStaysOpen, "i9:"),
    (Fault::SkipsRemove, "i10:"),
    (Fault::HidesRemovals, "i11:"),
    (Fault::AddsTwice, "i12:"),
    (Fault::EntryRemovesAnother, "i13:"),
    (Fault::ShowsTwice, "i15:"),
    (Fault::RefusesAndPasses, "i16:"),
    (Fault::HandsOutTwice, "i17:"),
    (Fault::WelcomesLosers, "i18:"),
    (Fault::LosesCommits, "i22:"),
    (Fault::SpeaksInTheClear, "i25:"),
];

/// Faults of a device's disk: they are found where devices die about a write.
pub(crate) const OF_DISKS: &[(Fault, &str)] =
    &[(Fault::SendsBeforeWriting, "i19:"), (Fault::TearsWrites, "i4:")];

impl Fault {
    /// A bundle as an insider would send it: the focus cannot check the membership tag, members do.
    pub(crate) fn spoil(self, bundle: Bytes, spoils: bool) -> Bytes {
        if self != Self::SpoiledCommits || !spoils {
            return bundle;
        }
        let Ok(mut bundle) = Bundle::from_bytes(&bundle) else { return bundle };
        if bundle.kind == Kind::Commit {
            let mut commit = bundle.commit.to_vec();
            *commit.last_mut().unwrap() ^= 1;
            bundle.commit = commit.into();
        }
        bundle.to_bytes()
    }

    /// What a focus with this fault would have kept.
    pub(crate) fn bend(self, event: &Event, members: &[Participant]) -> Event {
        let mut event = event.clone();
        if let What::Advanced { by, bundle, added, removed, pending, .. } = &mut event.what {
            let kind = Bundle::from_bytes(&bundle.0).unwrap().kind;
            let other = members.iter().find(|member| *member != by).cloned();
            match self {
                Self::SkipsRemove if kind == Kind::Commit && !removed.is_empty() => {
                    pending.append(removed);
                }
                Self::HidesRemovals => removed.clear(),
                Self::AddsTwice if kind == Kind::Commit => added.extend(other),
                Self::EntryRemovesAnother if kind == Kind::External => removed.extend(other),
                _ => {}
            }
        }
        event
    }
}
