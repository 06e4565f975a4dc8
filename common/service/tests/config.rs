//! Where a setting comes from, and what a wrong one is told.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use service::config::{ConfigError, load_from};
use service::secret::Secret;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    domain: String,
    #[serde(default)]
    sip: Sip,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    relays: Vec<Relay>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sip {
    listen: SocketAddr,
    key_file: Option<PathBuf>,
}

impl Default for Sip {
    fn default() -> Self {
        Self { listen: "0.0.0.0:5061".parse().unwrap(), key_file: None }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    rooms_max: usize,
    named: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Relay {
    name: String,
    control: SocketAddr,
}

const GOOD: &str = r#"
domain = "example.net"
[sip]
listen = "127.0.0.1:1"
[limits]
rooms_max = 7
[[relays]]
name = "relay-0"
control = "127.0.0.1:4747"
"#;

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, String)],
) -> Result<Settings, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mrfc.toml");
    std::fs::write(&path, file).unwrap();
    let pairs = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    load_from(Some(&path), "MRFC", pairs.collect(), flags)
}

fn refusal(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment, &[]).unwrap_err().to_string()
}

#[test]
fn a_flag_outranks_the_environment_the_environment_the_file_and_the_file_the_default() {
    let port = |environment: &[(&str, &str)], flags: &[(&str, String)]| {
        load(GOOD, environment, flags).unwrap().sip.listen.port()
    };
    let environment = [("MRFC_SIP__LISTEN", "127.0.0.1:2"), ("OTHER_SIP__LISTEN", "127.0.0.1:9")];
    let flag = [("sip.listen", String::from("127.0.0.1:3"))];

    assert_eq!(load("domain = 'x'", &[], &[]).unwrap().sip.listen.port(), 5061);
    assert_eq!(port(&[], &[]), 1);
    assert_eq!(port(&environment, &[]), 2);
    assert_eq!(port(&environment, &flag), 3);
    let merged = load(GOOD, &environment, &[]).unwrap();
    assert_eq!((merged.domain.as_str(), merged.limits.rooms_max), ("example.net", 7));
    let relays: Vec<_> =
        merged.relays.iter().map(|r| (r.name.as_str(), r.control.port())).collect();
    assert_eq!(relays, [("relay-0", 4747)]);
}

#[test]
fn the_environment_can_set_numbers_switches_and_keys_with_underscores_without_any_file() {
    let environment = [
        ("MRFC_DOMAIN", "example.net"),
        ("MRFC_LIMITS__ROOMS_MAX", "12"),
        ("MRFC_LIMITS__NAMED", "true"),
        ("MRFC_SIP__KEY_FILE", "/run/Secret.key"),
    ];
    let environment: HashMap<_, _> =
        environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();

    let settings: Settings = load_from(None, "MRFC", environment, &[]).unwrap();

    assert_eq!((settings.limits.rooms_max, settings.limits.named), (12, true));
    assert_eq!(settings.sip.key_file, Some("/run/Secret.key".into()));
    assert!(settings.relays.is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_what_was_meant() {
    let in_file = refusal(&GOOD.replace("listen", "listn"), &[]);
    assert!(
        in_file.contains("mrfc.toml: unknown key `sip.listn`; did you mean `sip.listen`?"),
        "{in_file}"
    );

    let at_top = refusal(&format!("domian = 'x'\n{GOOD}"), &[]);
    assert!(at_top.contains("unknown key `domian`; did you mean `domain`?"), "{at_top}");

    let in_array = refusal(&GOOD.replace("control", "contrl"), &[]);
    assert!(in_array.contains("unknown key `relays[0].contrl`; did you mean"), "{in_array}");

    let unlike = refusal(&GOOD.replace("listen", "zebra"), &[]);
    assert!(unlike.contains("unknown key `sip.zebra`; there are listen, key_file"), "{unlike}");

    let in_environment = refusal(GOOD, &[("MRFC_SIP__LISTN", "127.0.0.1:1")]);
    assert!(
        in_environment.starts_with("the environment: unknown key `sip.listn`"),
        "{in_environment}"
    );
}

#[test]
fn a_key_known_elsewhere_is_named_where_it_is_wrong() {
    let refusal = refusal(&GOOD.replace("[limits]", "[limits]\nlisten = 1"), &[]);

    assert!(refusal.contains("unknown key `limits.listen`"), "{refusal}");
}

#[test]
fn a_missing_key_is_told_with_its_environment_variable() {
    let refusal = refusal(&GOOD.replace("domain", "#"), &[]);

    assert_eq!(refusal, "`domain` is not set; write it into the file or set MRFC_DOMAIN");
}

#[test]
fn a_wrong_value_is_told_with_its_key_and_file() {
    let refusal = refusal(&GOOD.replace("= 7", "= 'many'"), &[]);

    assert!(refusal.contains("limits.rooms_max") && refusal.contains("mrfc.toml"), "{refusal}");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_told_with_its_name() {
    let syntax = refusal("domain = ", &[]);
    assert!(syntax.contains("mrfc.toml: ") && syntax.contains("line 1"), "{syntax}");

    let missing =
        load_from::<Settings>(Some("/nowhere/x.toml".as_ref()), "MRFC", HashMap::new(), &[]);
    assert!(missing.unwrap_err().to_string().contains("cannot read /nowhere/x.toml"));
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_of_our_name_are_no_settings() {
    let links = [
        ("MRFC_SERVICE_HOST", "10.0.0.1"),
        ("MRFC_SERVICE_PORT", "5061"),
        ("MRFC_SERVICE_PORT_SIPS", "5061"),
        ("MRFC_PORT", "tcp://10.0.0.1:5061"),
        ("MRFC_PORT_5061_TCP_ADDR", "10.0.0.1"),
    ];

    assert!(load(GOOD, &links, &[]).is_ok());
    assert!(load(GOOD, &[("MRFC_PORTS", "1")], &[]).is_err());
}

#[test]
fn a_secret_is_read_without_white_space_and_shows_itself_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (path, empty) = (folder.path().join("secret"), folder.path().join("empty"));
    std::fs::write(&path, "  hunter2\r\n").unwrap();
    std::fs::write(&empty, "\n").unwrap();

    let secret = Secret::read(&path).unwrap();

    assert_eq!(secret.expose(), "hunter2");
    assert_eq!(format!("{secret:?}"), "Secret");
    assert!(Secret::read(&empty).unwrap_err().to_string().contains("empty"));
    assert!(Secret::read(&folder.path().join("none")).is_err());
}

#[test]
fn nothing_of_the_memory_goes_into_a_core_file() {
    service::secret::keep_out_of_core_files();

    let filter = std::fs::read_to_string("/proc/self/coredump_filter").unwrap();
    assert_eq!(u32::from_str_radix(filter.trim(), 16), Ok(0));
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only what is missing in it matters")]
struct Tables {
    msrp: Needed,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only what is missing in it matters")]
struct Needed {
    certificate_file: PathBuf,
}

#[test]
fn a_missing_table_is_told_by_a_key_in_it_for_no_variable_sets_a_table() {
    let refusal = load_from::<Tables>(None, "MRFP", HashMap::new(), &[]).unwrap_err().to_string();

    assert_eq!(
        refusal,
        "`msrp.certificate_file` is not set; write it into the file or set MRFP_MSRP__CERTIFICATE_FILE"
    );
}

#[test]
fn a_value_that_cannot_be_read_is_named_with_its_file_and_its_key() {
    let refusal = refusal(&GOOD.replace("127.0.0.1:1", "127.0.0.1"), &[]);

    for word in ["mrfc.toml: ", "`sip.listen`", "\"127.0.0.1\"", "invalid socket address"] {
        assert!(refusal.contains(word), "{word} is not in {refusal}");
    }
}

#[test]
fn a_folder_in_the_place_of_the_file_is_called_one() {
    let folder = tempfile::tempdir().unwrap();

    let refusal = load_from::<Settings>(Some(folder.path()), "MRFC", HashMap::new(), &[]);

    let refusal = refusal.unwrap_err().to_string();
    assert!(refusal.contains("directory"), "{refusal}");
}

#[test]
fn a_binary_file_does_not_steer_the_terminal() {
    for file in ["\u{1b}]0;owned\u{7} = 1", "domain = \"\u{9b}2J\u{1b}[2J", "\0\0\0"] {
        let refusal = refusal(file, &[]);
        let raw = refusal.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(raw, None, "{refusal:?}");
    }
}
