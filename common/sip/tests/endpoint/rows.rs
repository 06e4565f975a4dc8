//! Walks every row of every transition table through an endpoint, and every pair that has no row.
use sip::transaction::{
    ClientAction, ClientInput, Row, ServerAction, ServerInput, Timer, client, invite_client,
    invite_server, server,
};
use sip::{Method, Status};

use crate::bench::{Bench, ack, incoming, outgoing};

const CLIENT_INPUTS: [ClientInput; 6] = [
    ClientInput::Provisional,
    ClientInput::Success,
    ClientInput::Failure,
    ClientInput::Cancel,
    ClientInput::Timer,
    ClientInput::FlowClosed,
];

const SERVER_INPUTS: [ServerInput; 8] = [
    ServerInput::Request,
    ServerInput::Provisional,
    ServerInput::Success,
    ServerInput::Failure,
    ServerInput::Ack,
    ServerInput::Cancel,
    ServerInput::Timer,
    ServerInput::FlowClosed,
];

type Client<S> = Option<Row<S, ClientInput, ClientAction>>;
type Server<S> = Option<Row<S, ServerInput, ServerAction>>;

fn client_in(method: &Method, way: &[ClientInput]) -> Bench {
    let mut bench = Bench::new();
    bench.send(outgoing(method));
    for input in way {
        client_input(&mut bench, *input);
    }
    bench
}

fn client_input(bench: &mut Bench, input: ClientInput) -> Vec<String> {
    match input {
        ClientInput::Provisional => bench.answered(Status::RINGING),
        ClientInput::Success => bench.answered(Status::OK),
        ClientInput::Failure => bench.answered(Status::BUSY_HERE),
        ClientInput::Cancel => bench.cancel(),
        ClientInput::Timer => bench.fire(),
        ClientInput::FlowClosed => bench.close(),
    }
}

fn client_says(action: ClientAction, input: ClientInput) -> Vec<String> {
    let response = match input {
        ClientInput::Provisional => "response 180",
        ClientInput::Success => "response 200",
        _ => "response 486",
    };
    let failed = match input {
        ClientInput::FlowClosed => "failed: the flow is closed",
        _ => "failed: no answer in time",
    };
    let said: &[&str] = match action {
        ClientAction::Nothing => &[],
        ClientAction::Deliver => &[response],
        ClientAction::AckAndDeliver => &["> ACK", response],
        ClientAction::SendCancel => &["> CANCEL"],
        ClientAction::CancelAndDeliver => &["> CANCEL", response],
        ClientAction::Fail => &[failed],
    };
    said.iter().map(|word| (*word).to_owned()).collect()
}

fn server_in(method: &Method, way: &[ServerInput]) -> Bench {
    let mut bench = Bench::new();
    bench.receive(incoming(method, 1, "b1"));
    for input in way {
        server_input(&mut bench, *input);
    }
    bench
}

fn server_input(bench: &mut Bench, input: ServerInput) -> Vec<String> {
    let request = incoming(&bench.request.clone().unwrap().method, 1, "b1");
    match input {
        ServerInput::Request => bench.receive(request),
        ServerInput::Provisional => bench.respond(Status::RINGING),
        ServerInput::Success => bench.respond(Status::OK),
        ServerInput::Failure => bench.respond(Status::BUSY_HERE),
        ServerInput::Ack => {
            let Some(response) = bench.sent.clone() else { return Vec::new() };
            bench.receive(ack(&request, &response, "b1"))
        }
        ServerInput::Cancel => bench.receive(incoming(&Method::Cancel, 1, "b1")),
        ServerInput::Timer => bench.fire(),
        ServerInput::FlowClosed => bench.close(),
    }
}

fn server_says(
    action: Option<ServerAction>,
    input: ServerInput,
    method: &Method,
    awaits_ack: bool,
    last: Option<String>,
) -> Vec<String> {
    let given = match input {
        ServerInput::Provisional => "180",
        ServerInput::Success => "200",
        _ => "486",
    };
    let abandoned = match input {
        ServerInput::FlowClosed => "abandoned: the flow closed",
        _ if awaits_ack => "abandoned: not acknowledged",
        _ => "abandoned: not answered in time",
    };
    let mut said = match (input, method) {
        (ServerInput::Cancel, Method::Invite) => vec!["> 200 CANCEL".to_owned()],
        (ServerInput::Cancel, _) => vec!["> 481 CANCEL".to_owned()],
        _ => Vec::new(),
    };
    said.extend(match action {
        None | Some(ServerAction::Nothing) => None,
        Some(ServerAction::Send) => Some(format!("> {given} {method}")),
        Some(ServerAction::Resend) => last,
        Some(ServerAction::SendTrying) => Some("> 100 INVITE".to_owned()),
        Some(ServerAction::SendTimeout) => Some("> 408 INVITE".to_owned()),
        Some(ServerAction::DeliverAck) => Some("ack".to_owned()),
        Some(ServerAction::TellCancelled) => Some("cancelled".to_owned()),
        Some(ServerAction::Abandon) => Some(abandoned.to_owned()),
    });
    if action == Some(ServerAction::SendTimeout) {
        said.push("abandoned: not answered in time".to_owned());
    }
    said
}

/// After a row: the transaction is there or gone, and the right timer runs.
fn assert_after(bench: &Bench, is_gone: bool, arm: Option<Timer>, what: &str) {
    assert_eq!(bench.endpoint.transactions() == 0, is_gone, "{what}");
    if is_gone {
        assert_eq!(bench.due(), None, "{what}: a timer of nothing");
    } else if let Some(timer) = arm {
        assert_eq!(bench.due(), Some(timer.duration()), "{what}: {timer:?}");
    }
}

fn walk_client<S: Copy + PartialEq + std::fmt::Debug>(
    method: &Method,
    ways: &[(S, &[ClientInput])],
    step: fn(S, ClientInput) -> Client<S>,
    end: S,
) -> usize {
    let mut rows = 0;
    for (state, way) in ways {
        for input in CLIENT_INPUTS {
            let mut bench = client_in(method, way);
            let what = format!("{method}: {state:?}, {input:?}");
            let row = step(*state, input);
            let action = row.map_or(ClientAction::Nothing, |row| row.action);

            let said = client_input(&mut bench, input);

            assert_eq!(said, client_says(action, input), "{what}");
            if let Some(row) = row {
                rows += 1;
                assert_after(&bench, row.next == end, row.arm, &what);
            }
        }
    }
    rows
}

fn walk_server<S: Copy + PartialEq + std::fmt::Debug>(
    method: &Method,
    ways: &[(S, &[ServerInput], bool)],
    step: fn(S, ServerInput) -> Server<S>,
    end: S,
) -> usize {
    let mut rows = 0;
    for (state, way, awaits_ack) in ways {
        for input in SERVER_INPUTS {
            let mut bench = server_in(method, way);
            let last = bench.sent.as_ref().map(|_| match awaits_ack {
                true => format!("> 486 {method}"),
                false => format!("> 180 {method}"),
            });
            let what = format!("{method}: {state:?}, {input:?}");
            let row = step(*state, input);

            let said = server_input(&mut bench, input);

            let action = row.map(|row| row.action);
            assert_eq!(said, server_says(action, input, method, *awaits_ack, last), "{what}");
            if let Some(row) = row {
                rows += 1;
                assert_after(&bench, row.next == end, row.arm, &what);
            }
        }
    }
    rows
}

#[test]
fn s17_1_1_every_row_of_the_invite_client() {
    use ClientInput::{Cancel, Provisional, Success};
    use invite_client::State;

    let rows = walk_client(
        &Method::Invite,
        &[
            (State::Calling, &[]),
            (State::CancelHeld, &[Cancel]),
            (State::Proceeding, &[Provisional]),
            (State::Cancelling, &[Provisional, Cancel]),
            (State::Accepted, &[Success]),
        ],
        invite_client::step,
        State::Terminated,
    );

    assert_eq!(rows, invite_client::TABLE.len());
}

#[test]
fn s17_1_2_every_row_of_the_client() {
    use client::State;

    let rows = walk_client(
        &Method::Message,
        &[(State::Trying, &[]), (State::Proceeding, &[ClientInput::Provisional])],
        client::step,
        State::Terminated,
    );

    assert_eq!(rows, client::TABLE.len());
}

#[test]
fn s17_2_1_every_row_of_the_invite_server() {
    use ServerInput::{Failure, Provisional, Success};
    use invite_server::State;

    let rows = walk_server(
        &Method::Invite,
        &[
            (State::Trying, &[], false),
            (State::Proceeding, &[Provisional], false),
            (State::Completed, &[Failure], true),
            (State::Accepted, &[Success], true),
        ],
        invite_server::step,
        State::Terminated,
    );

    assert_eq!(rows, invite_server::TABLE.len());
}

#[test]
fn s17_2_2_every_row_of_the_server() {
    use server::State;

    let rows = walk_server(
        &Method::Message,
        &[(State::Trying, &[], false), (State::Proceeding, &[ServerInput::Provisional], false)],
        server::step,
        State::Terminated,
    );

    assert_eq!(rows, server::TABLE.len());
}
