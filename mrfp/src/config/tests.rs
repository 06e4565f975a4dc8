//! What a configuration may not say.
use super::*;

const SMALLEST: &str = "[msrp]\ncertificate_file='c'\nkey_file='k'\n[control]\ncertificate_file='c'\nkey_file='k'\nca_file='a'\n";

fn load(more: &str) -> Config {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, format!("{SMALLEST}{more}").as_bytes()).unwrap();
    service::config::load_from(Some(file.path()), "MRFP", std::collections::HashMap::new(), &[])
        .unwrap()
}

#[test]
fn files_are_all_that_must_be_said() {
    let config = load("");

    assert_eq!(config.check(), Ok(()));
    assert_eq!(config.msrp.listen.port(), 2855);
    assert!(config.shard_count() >= 1);
}

#[test]
fn a_bound_that_breaks_a_rule_is_refused() {
    let config = load("[limits]\npiece_octets_max=100\n");

    assert_eq!(config.check().unwrap_err().key, "limits.piece_octets_max");
}

#[test]
fn a_bound_that_lets_nobody_in_is_refused() {
    for key in ["half_open_max", "half_open_per_address_max", "notices_waiting_max"] {
        let config = load(&format!("[limits]\n{key}=0\n"));

        assert_eq!(config.check().unwrap_err().key, format!("limits.{key}"));
    }
}

#[test]
fn a_time_that_no_clock_reaches_is_refused() {
    for key in ["bind_secs", "nickname_secs", "idle_secs"] {
        let config = load(&format!("[limits]\n{key}={}\n", i64::MAX));

        assert_eq!(config.check().unwrap_err().key, format!("limits.{key}"));
    }
}

#[test]
fn what_an_unanswered_chunk_costs_is_as_its_help_says() {
    let octets = outbox::UNANSWERED_OCTETS;
    let here = include_str!("../config.rs");

    assert!(here.contains(&format!("at {octets} octets each")), "{octets}");
}
