//! Peers that mean harm, or behave as if they did.
use std::time::Duration;

use proptest::prelude::*;
use sip::endpoint::EndpointLimits;
use sip::{Method, Name, Status};

use crate::bench::{Bench, FLOW, OTHER, ack, incoming, outgoing, with};

#[test]
fn duplicates_of_a_finished_transaction_cost_nothing_and_harm_nobody() {
    let limits = EndpointLimits { flow_transactions_max: 2, ..EndpointLimits::default() };
    let mut bench = Bench::with_limits(limits);
    for _ in 0..1_000 {
        assert_eq!(bench.receive(incoming(&Method::Message, 1, "b1")), ["request MESSAGE"]);
        assert_eq!(bench.respond(Status::OK), ["> 200 MESSAGE"]);
        assert_eq!(bench.endpoint.transactions(), 0);
    }

    assert_eq!(bench.receive_on(OTHER, incoming(&Method::Message, 1, "x")), ["request MESSAGE"]);
}

#[test]
fn a_flood_of_invites_is_bounded_and_leaves_the_other_flow_its_room() {
    let limits = EndpointLimits {
        transactions_max: 100,
        flow_transactions_max: 50,
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with_limits(limits);
    for number in 1..=1_000 {
        bench.receive(incoming(&Method::Invite, number, &format!("b{number}")));
    }

    assert_eq!(bench.endpoint.transactions(), 50);
    let said = bench.receive_on(OTHER, incoming(&Method::Register, 2_000, "r"));
    assert_eq!(said, ["request REGISTER"]);
    assert_eq!(bench.close().len(), 50);
}

#[test]
fn two_requests_with_one_cseq_in_a_dialog_leave_nothing_behind() {
    let mut bench = Bench::new();
    let inside = |branch| with(incoming(&Method::Invite, 1, branch), Name::To, "<sip:x@y>;tag=t");
    bench.receive(inside("b1"));
    bench.respond(Status::BUSY_HERE);
    bench.receive(inside("b2"));
    bench.respond(Status::BUSY_HERE);

    assert_eq!(bench.endpoint.transactions(), 2);
    bench.pass(Duration::from_secs(33));
    assert_eq!(bench.endpoint.transactions(), 0);
    assert_eq!(bench.receive(incoming(&Method::Invite, 1, "b3")), ["request INVITE"]);
}

/// One thing that may happen to an endpoint.
#[derive(Clone, Debug)]
enum Step {
    Request { method: usize, number: u32, branch: u8, other: bool },
    Ack { number: u32, branch: u8 },
    Respond { status: u16 },
    Send { method: usize },
    Answered { status: u16 },
    Cancel,
    Pass { millis: u64 },
    Close,
    Open,
}

fn step() -> impl Strategy<Value = Step> {
    let (number, branch) = (1..4u32, 0..4u8);
    prop_oneof![
        (0..Method::KNOWN.len(), number.clone(), branch.clone(), any::<bool>()).prop_map(
            |(method, number, branch, other)| Step::Request { method, number, branch, other }
        ),
        (number, branch).prop_map(|(number, branch)| Step::Ack { number, branch }),
        (100..700u16).prop_map(|status| Step::Respond { status }),
        (0..Method::KNOWN.len()).prop_map(|method| Step::Send { method }),
        (100..700u16).prop_map(|status| Step::Answered { status }),
        Just(Step::Cancel),
        (0..40_000u64).prop_map(|millis| Step::Pass { millis }),
        Just(Step::Close),
        Just(Step::Open),
    ]
}

fn take(bench: &mut Bench, step: &Step) -> Vec<String> {
    match *step {
        Step::Request { method, number, branch, other } => {
            let request = incoming(&Method::KNOWN[method], number, &format!("b{branch}"));
            bench.receive_on(if other { OTHER } else { FLOW }, request)
        }
        Step::Ack { number, branch } => match bench.sent.clone() {
            Some(sent) => {
                let invite = incoming(&Method::Invite, number, "");
                bench.receive(ack(&invite, &sent, &format!("b{branch}")))
            }
            None => Vec::new(),
        },
        Step::Respond { status } if bench.request.is_some() && bench.key.is_some() => {
            bench.respond(Status::new(status).unwrap())
        }
        Step::Send { method } if Method::KNOWN[method] != Method::Ack => {
            bench.send(outgoing(&Method::KNOWN[method]))
        }
        Step::Answered { status } if bench.request.is_some() => {
            bench.answered(Status::new(status).unwrap())
        }
        Step::Cancel if bench.key.is_some() => bench.cancel(),
        Step::Pass { millis } => bench.pass(Duration::from_millis(millis)),
        Step::Close => bench.close(),
        Step::Open => {
            bench.endpoint.opened(FLOW, crate::bench::addresses());
            Vec::new()
        }
        _ => Vec::new(),
    }
}

proptest! {
    #[test]
    fn whatever_happens_nothing_panics_and_everything_ends(
        steps in proptest::collection::vec(step(), 0..60)
    ) {
        let mut bench = Bench::new();
        for step in &steps {
            take(&mut bench, step);
            prop_assert!(bench.endpoint.transactions() <= steps.len());
        }

        // Every transaction has a timer, so that time alone ends them all: 200 ms, 180 s and 32 s at most.
        for _ in 0..steps.len() * 4 {
            bench.fire();
        }
        prop_assert_eq!(bench.endpoint.transactions(), 0);
        prop_assert_eq!(bench.endpoint.next_timeout(), None);
    }
}
