//! The rules of the binding table, one by one.
use super::*;
use service::clock;

const BOUNDS: Bounds = Bounds { per_person_max: 2, total_max: 3, secs: (60, 3_600, 7_200) };

fn alice() -> Aor {
    "sip:alice@example.net".parse().unwrap()
}

fn device(n: u8) -> DeviceId {
    format!("urn:uuid:00000000-0000-4000-8000-0000000000{n:02}").parse().unwrap()
}

fn asked(n: u8, secs: u32) -> Asked {
    Asked {
        uri: format!("sip:alice@192.0.2.{n}"),
        device: Some(device(n)),
        reg_id: Some(1),
        params: String::new(),
        secs: Some(secs),
    }
}

fn on(flow: u64, cseq: u32) -> Origin {
    let call_id = format!("call-{flow}");
    Origin { flow: FlowId(flow), via_core: false, path: Vec::new(), call_id, cseq }
}

fn contacts(asked: Asked) -> Change {
    Change::Contacts(vec![asked])
}

#[test]
fn two_devices_are_two_bindings_and_each_200_lists_both() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());

    registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 3_600))).unwrap();
    let both = registrar.register(now, &alice(), &on(2, 1), &contacts(asked(2, 3_600))).unwrap();

    assert_eq!(both.len(), 2);
    assert!(registrar.vouches(FlowId(2), &alice(), now));
    assert_eq!(registrar.device_on(FlowId(2), &alice()), Some(device(2)));
}

#[test]
fn a_device_on_a_new_connection_replaces_itself() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 3_600))).unwrap();

    let left = registrar.register(now, &alice(), &on(2, 1), &contacts(asked(1, 3_600))).unwrap();

    assert_eq!(left.iter().map(|b| b.flow).collect::<Vec<_>>(), [FlowId(2)]);
    assert!(!registrar.vouches(FlowId(1), &alice(), now));
    assert_eq!(registrar.flows.len(), 1);
}

#[test]
fn a_closed_connection_takes_its_bindings_with_it_and_no_others() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 3_600))).unwrap();
    registrar.register(now, &alice(), &on(2, 1), &contacts(asked(2, 3_600))).unwrap();

    registrar.lost(FlowId(1), None);

    assert_eq!(registrar.bindings(&alice(), now).len(), 1);
    registrar.lost(FlowId(2), None);
    assert!(registrar.is_empty() && registrar.people.is_empty() && registrar.flows.is_empty());
}

#[test]
fn a_binding_ends_with_its_time() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 60))).unwrap();

    let later = now + Duration::from_secs(60);

    assert!(registrar.bindings(&alice(), later).is_empty());
    assert!(!registrar.vouches(FlowId(1), &alice(), later));
    registrar.expire(later);
    assert!(registrar.is_empty());
}

#[test]
fn too_brief_is_refused_and_too_long_is_cut() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());

    let brief = registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 59)));
    let long = registrar.register(now, &alice(), &on(1, 2), &contacts(asked(1, 99_999))).unwrap();

    assert_eq!(brief, Err(Refusal::TooBrief(60)));
    assert_eq!(long[0].secs_left(now), 7_200);
}

#[test]
fn an_older_register_of_the_same_call_changes_nothing() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    registrar.register(now, &alice(), &on(1, 2), &contacts(asked(1, 3_600))).unwrap();

    let late = registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 0)));

    assert_eq!(late, Err(Refusal::OutOfOrder));
    assert_eq!(registrar.len(), 1);
}

#[test]
fn zero_seconds_and_the_star_unregister() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 3_600))).unwrap();
    registrar.register(now, &alice(), &on(2, 1), &contacts(asked(2, 3_600))).unwrap();

    let one = registrar.register(now, &alice(), &on(1, 2), &contacts(asked(1, 0))).unwrap();
    let none = registrar.register(now, &alice(), &on(2, 2), &Change::RemoveAll).unwrap();

    assert_eq!((one.len(), none.len()), (1, 0));
    assert!(registrar.is_empty());
}

#[test]
fn a_full_table_refuses_newcomers_and_still_lets_the_old_refresh() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    for n in 1..=2 {
        registrar.register(now, &alice(), &on(n.into(), 1), &contacts(asked(n, 600))).unwrap();
    }
    let bob: Aor = "sip:bob@example.net".parse().unwrap();
    let carol: Aor = "sip:carol@example.net".parse().unwrap();
    registrar.register(now, &bob, &on(3, 1), &contacts(asked(3, 600))).unwrap();

    let third = registrar.register(now, &alice(), &on(4, 1), &contacts(asked(4, 600)));
    let fourth = registrar.register(now, &carol, &on(5, 1), &contacts(asked(5, 600)));
    let refresh = registrar.register(now, &bob, &on(3, 2), &contacts(asked(3, 600)));

    assert_eq!((third, fourth), (Err(Refusal::PersonFull), Err(Refusal::Full)));
    assert_eq!(refresh.map(|left| left.len()), Ok(1));
}

/// A REGISTER of the device over this flow, through the core.
fn through_core(flow: u64, cseq: u32) -> Origin {
    let (call_id, path) = (String::from("core call"), vec![String::from("<sip:core;lr>")]);
    Origin { flow: FlowId(flow), via_core: true, path, call_id, cseq }
}

#[test]
fn ob_02_two_flows_of_one_device_are_two_bindings_and_one_way() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    let second = Asked { reg_id: Some(2), ..asked(1, 600) };
    registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 600))).unwrap();
    registrar.register(now, &alice(), &on(2, 1), &contacts(second)).unwrap();

    let ways = registrar.ways(&alice(), None, now);

    let flows: Vec<Vec<FlowId>> =
        ways.iter().map(|way| way.iter().map(|binding| binding.flow).collect()).collect();
    assert_eq!(flows, [[FlowId(2), FlowId(1)]]);
    assert_eq!(registrar.ways(&alice(), Some(&device(2)), now).len(), 0);
    registrar.lost(FlowId(2), None);
    assert_eq!(registrar.ways(&alice(), Some(&device(1)), now)[0][0].flow, FlowId(1));
}

#[test]
fn a_binding_of_a_core_goes_to_the_cores_other_connection_or_waits_for_its_next() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    registrar.register(now, &alice(), &through_core(1, 1), &contacts(asked(1, 600))).unwrap();

    registrar.lost(FlowId(1), Some(FlowId(2)));
    assert_eq!(registrar.bindings(&alice(), now)[0].flow, FlowId(2));
    assert_eq!(registrar.lost(FlowId(2), None), [alice()]);
    assert!(registrar.is_empty() && registrar.bindings(&alice(), now).is_empty());
    assert_eq!(registrar.parked(), 1);

    assert_eq!(registrar.core_is_back(FlowId(3), now), [alice()]);
    assert_eq!(registrar.bindings(&alice(), now)[0].flow, FlowId(3));
    assert_eq!((registrar.parked(), registrar.len()), (0, 1));
}

#[test]
fn a_device_without_its_flow_reaches_nobody_and_keeps_nobody_out() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 600))).unwrap();
    registrar.lost(FlowId(1), None);

    assert!(registrar.core_is_back(FlowId(9), now).is_empty());
    assert!(registrar.bindings(&alice(), now).is_empty());
    assert_eq!(registrar.lasting(&alice(), now).len(), 1);
    for n in 2..=3 {
        registrar.register(now, &alice(), &on(n.into(), 1), &contacts(asked(n, 600))).unwrap();
    }
    registrar.expire(now + Duration::from_secs(600));
    assert_eq!((registrar.len(), registrar.parked()), (0, 0));
}

#[test]
fn r5627_3_1_2_a_device_keeps_its_temporary_gruus_until_its_call_id_changes() {
    let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
    let origin = |flow, call_id: &str| Origin {
        call_id: call_id.to_owned(),
        ..on(flow, flow.try_into().unwrap())
    };
    let mut number = |flow, call_id| {
        let change = contacts(asked(1, 600));
        let all = registrar.register(now, &alice(), &origin(flow, call_id), &change).unwrap();
        let number = all[0].number;
        assert_eq!(registrar.numbered(number), Some(&(alice(), device(1))));
        registrar.lost(FlowId(flow), None);
        assert_eq!(registrar.numbered(number), None);
        number
    };

    let (first, again, other) = (number(1, "a"), number(2, "a"), number(3, "b"));

    assert_eq!(first, again);
    assert_ne!(again, other);
}
