//! What is told of devices, what is held, and what is kept of it.
use super::*;

fn device(person: &str, n: u8) -> DeviceName {
    let device = format!("urn:uuid:00000000-0000-4000-8000-0000000000{n:02x}");
    let aor = format!("sip:{person}@example.net");
    DeviceName { aor: aor.parse().unwrap(), device: device.parse().unwrap() }
}

fn see(pins: &Pins, leaves: &[(DeviceName, [u8; 2])]) -> Vec<(DeviceName, News, bool)> {
    let me = device("alice", 1);
    let seen = pins.see(&me, leaves.iter().map(|(name, key)| (name, &key[..])));
    seen.into_iter().map(|it| (it.device, it.news, it.held)).collect()
}

fn held(pins: &Pins, leaves: &[(DeviceName, [u8; 2])]) -> Vec<String> {
    let held = pins.held(leaves.iter().map(|(name, key)| (name, &key[..])));
    held.iter().map(|aor| aor.user().to_owned()).collect()
}

#[test]
fn who_is_met_for_the_first_time_is_believed_and_a_further_device_is_told() {
    let pins = Pins::default();
    let (one, two) = ((device("bob", 2), [2; 2]), (device("bob", 3), [3; 2]));

    assert!(see(&pins, &[(device("alice", 1), [1; 2]), one.clone()]).is_empty());

    let seen = see(&pins, &[one.clone(), two.clone()]);
    assert_eq!(seen, [(two.0.clone(), News::New, false)]);
    assert!(held(&pins, &[one.clone(), two.clone()]).is_empty());
    assert!(see(&pins, &[one, two]).is_empty());
}

#[test]
fn another_key_of_a_known_device_is_told() {
    let pins = Pins::default();
    see(&pins, &[(device("bob", 2), [2; 2])]);

    let seen = see(&pins, &[(device("bob", 2), [9; 2])]);

    assert_eq!(seen, [(device("bob", 2), News::OtherKey, false)]);
}

#[test]
fn a_ghost_of_a_verified_person_holds_what_is_said_until_it_is_accepted() {
    let pins = Pins::default();
    let (real, ghost) = ((device("bob", 2), [2; 2]), (device("bob", 66), [6; 2]));
    see(&pins, std::slice::from_ref(&real));
    pins.verify(&real.0.aor, true);

    let seen = see(&pins, &[real.clone(), ghost.clone()]);
    assert_eq!(seen, [(ghost.0.clone(), News::New, true)]);
    assert_eq!(held(&pins, &[real.clone(), ghost.clone()]), ["bob"]);
    // Once it is out of the group nothing has to wait.
    assert!(held(&pins, std::slice::from_ref(&real)).is_empty());

    assert!(pins.accept(&ghost.0.aor));
    assert!(held(&pins, &[real, ghost]).is_empty());
}

#[test]
fn an_own_device_that_was_not_there_before_is_told() {
    let pins = Pins::default();
    assert!(see(&pins, &[(device("alice", 1), [1; 2])]).is_empty());

    let seen = see(&pins, &[(device("alice", 1), [1; 2]), (device("alice", 66), [6; 2])]);

    assert_eq!(seen, [(device("alice", 66), News::New, false)]);
}

#[derive(Debug, Default)]
struct Shelf(Mutex<String>);

impl Keep for Shelf {
    fn keep(&self, pins: &str) -> Result<(), String> {
        pins.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

#[test]
fn pins_outlive_a_start_and_a_ghost_that_came_meanwhile_is_held() {
    let shelf = Arc::new(Shelf::default());
    let (real, ghost) = ((device("bob", 2), [2; 2]), (device("bob", 66), [6; 2]));
    let pins = Pins::kept(None, Arc::clone(&shelf) as Arc<dyn Keep>).unwrap();
    see(&pins, std::slice::from_ref(&real));
    pins.verify(&real.0.aor, true);
    assert!(pins.is_unkept());
    pins.save().unwrap();
    assert!(!pins.is_unkept());

    let text = shelf.0.lock().unwrap().clone();
    let again = Pins::kept(Some(&text), shelf).unwrap();

    assert!(again.is_verified(&real.0.aor));
    assert_eq!(see(&again, &[real, ghost.clone()]), [(ghost.0, News::New, true)]);
    assert!(Pins::kept(Some("{}"), Arc::new(Shelf::default())).is_err());
}
