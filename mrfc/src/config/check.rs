//! What [`Config::check`] refuses: values that parse and cannot work together. It reads no file.
use service::tls::Names;

use super::{Admin, Config, Limits};

/// Days that are left of KeyPackages when a device replaces them at the latest: it looks every few hours.
const KEY_PACKAGE_DAYS_LEFT: u32 = 29;

/// What is wrong with a configuration that parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadConfig {
    /// The domain cannot stand in a SIP URI.
    #[error("domain = {0:?} is not a host name; write for example domain = \"example.net\"")]
    Domain(String),
    /// The factory cannot stand in a SIP URI.
    #[error("conferences.factory = {0:?} is not a name of a-z 0-9 . _ -")]
    Factory(String),
    /// A reserved word that could be no nickname in any case.
    #[error("conferences.nicknames_reserved: {0:?} can be no nickname; leave it out")]
    Reserved(String),
    /// A standing conference that nobody could call, or that is named twice.
    #[error(
        "conferences.standing: {0:?} is the factory's name, no name of a-z 0-9 . _ -, or there twice"
    )]
    Standing(String),
    /// Nothing could carry a room.
    #[error("no relay is named; add a [[relays]] table with name, control and server_name")]
    NoRelay,
    /// Two relays of one name.
    #[error("two relays are called {0:?}; each needs a name of its own")]
    RelayTwice(String),
    /// A core that nobody could prove to be.
    #[error(
        "sip.core_ca_file and sip.core_names belong together: whose certificates, under which CA"
    )]
    HalfACore,
    /// A core by no name.
    #[error("sip.core_names: {0}")]
    CoreName(service::tls::BadName),
    /// A proxy that nobody could prove to be.
    #[error(
        "https.proxy_ca_file and https.proxy_names belong together: whose certificates, under which CA"
    )]
    HalfAProxy,
    /// A proxy by no name.
    #[error("https.proxy_names: {0}")]
    ProxyName(service::tls::BadName),
    /// An operator's API that nobody could use.
    #[error("nobody could use [admin]; name a token_file, a client_ca_file, or both")]
    NoOperator,
    /// A bound that would let nothing through.
    #[error("limits.{0} is 0, which would refuse everybody; leave it out for the default")]
    Zero(&'static str),
    /// A time in which nobody could answer.
    #[error("{0} is 0, which gives nobody time to answer; leave it out for the default")]
    NoTime(&'static str),
    /// A mailbox that could hold nothing.
    #[error("mailbox.{0} is 0, which would keep nothing; leave it out for the default")]
    NoRoom(&'static str),
    /// No blob store, or two.
    #[error("[blobs] needs a folder or an [blobs.s3] table, and not both")]
    Blobs,
    /// Files without a place to lie in.
    #[error("[mailbox.files] keeps files in the blob store; add [blobs] with a folder")]
    NoBlobs,
    /// A message could wait longer than what it is sealed with is good for.
    #[error(
        "limits.key_package_days_min is shorter than mailbox.keep_secs: what waits could not be opened"
    )]
    PackagesTooShort,
    /// A device that is always there would have none for a while: it renews its certificate, and with it its KeyPackages, when
    /// two thirds of it are over.
    #[error(
        "a third of issuer.certificate_days, which is what a certificate has left when it is renewed, is not longer than \
         limits.key_package_days_min: devices would have no KeyPackages for a while"
    )]
    CertificatesTooShort,
    /// The same, by the age at which a device replaces its KeyPackages.
    #[error(
        "limits.key_package_days_min is above {KEY_PACKAGE_DAYS_LEFT}, which is what KeyPackages have left when a device \
         replaces them: it would have none for a while"
    )]
    PackagesTooOld,
    /// A message could wait longer than what its keys come with.
    #[error(
        "limits.circle_log_days is shorter than mailbox.keep_secs: what waits could not be opened"
    )]
    CircleLogTooShort,
    /// No database, or two.
    #[error("[store]: {0}")]
    Store(String),
    /// A rule that would turn everything away, or with a status that refuses nothing.
    #[error("filters: a rule needs types, words or octets_over, and a status from 400 to 699")]
    Filter,
    /// The registration times contradict each other.
    #[error("limits.register_secs_min <= register_secs_default <= register_secs_max does not hold")]
    RegisterTimes,
    /// The session times contradict each other.
    #[error("1 <= sip.session_secs_min <= sip.session_secs does not hold")]
    SessionTimes,
}

impl Config {
    /// Refuses what parses but cannot work.
    ///
    /// # Errors
    /// The first contradiction found, in words that say how to mend it.
    pub fn check(&self) -> Result<(), BadConfig> {
        if format!("sip:x@{}", self.domain).parse::<ids::Aor>().is_err()
            || self.domain.contains(':')
        {
            return Err(BadConfig::Domain(self.domain.clone()));
        }
        self.store.place()?;
        if self.conferences.factory.parse::<ids::ConferenceId>().is_err() {
            return Err(BadConfig::Factory(self.conferences.factory.clone()));
        }
        self.conferences.nickname_policy()?;
        self.check_standing()?;
        if self.filters.iter().any(|rule| !rule.is_useful()) {
            return Err(BadConfig::Filter);
        }
        if self.relays.is_empty() {
            return Err(BadConfig::NoRelay);
        }
        let mut names: Vec<&str> = self.relays.iter().map(|relay| relay.name.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[a, b]| a == b) {
            return Err(BadConfig::RelayTwice((*twice).to_owned()));
        }
        Names::parse(&self.sip.core_names).map_err(BadConfig::CoreName)?;
        if self.sip.core_ca_file.is_some() == self.sip.core_names.is_empty() {
            return Err(BadConfig::HalfACore);
        }
        if !(1..=self.sip.session_secs).contains(&self.sip.session_secs_min) {
            return Err(BadConfig::SessionTimes);
        }
        Names::parse(&self.https.proxy_names).map_err(BadConfig::ProxyName)?;
        if self.https.proxy_ca_file.is_some() == self.https.proxy_names.is_empty() {
            return Err(BadConfig::HalfAProxy);
        }
        if self.numbers.lookup_secs == 0 {
            return Err(BadConfig::NoTime("numbers.lookup_secs"));
        }
        let unusable = |admin: &Admin| admin.token_file.is_none() && admin.client_ca_file.is_none();
        if self.admin.as_ref().is_some_and(unusable) {
            return Err(BadConfig::NoOperator);
        }
        if self.messages.answer_secs == 0 {
            return Err(BadConfig::NoTime("messages.answer_secs"));
        }
        if self.issuer.certificate_days / 3 <= self.limits.key_package_days_min {
            return Err(BadConfig::CertificatesTooShort);
        }
        if self.limits.key_package_days_min > KEY_PACKAGE_DAYS_LEFT {
            return Err(BadConfig::PackagesTooOld);
        }
        self.check_mailbox()?;
        self.limits.check()
    }

    fn check_mailbox(&self) -> Result<(), BadConfig> {
        if self.blobs.as_ref().is_some_and(|it| it.folder.is_some() == it.s3.is_some()) {
            return Err(BadConfig::Blobs);
        }
        let Some(mailbox) = &self.mailbox else { return Ok(()) };
        if mailbox.files.is_some() && self.blobs.is_none() {
            return Err(BadConfig::NoBlobs);
        }
        let bounds = [
            ("keep_secs", mailbox.keep_secs),
            ("replay_secs", mailbox.replay_secs),
            ("letters_max", mailbox.letters_max.into()),
            ("sender_letters_max", mailbox.sender_letters_max.into()),
            ("octets_max", mailbox.octets_max),
        ];
        let secs = |days: u32| u64::from(days) * 24 * 3600;
        let (good_for, log) =
            (secs(self.limits.key_package_days_min), secs(self.limits.circle_log_days));
        match bounds.iter().find(|(_, bound)| *bound == 0) {
            Some((name, _)) => Err(BadConfig::NoRoom(name)),
            None if good_for < mailbox.keep_secs => Err(BadConfig::PackagesTooShort),
            None if log < mailbox.keep_secs => Err(BadConfig::CircleLogTooShort),
            None => Ok(()),
        }
    }

    fn check_standing(&self) -> Result<(), BadConfig> {
        let standing = &self.conferences.standing;
        for (at, one) in standing.iter().enumerate() {
            let twice = standing.iter().take(at).any(|other| other.name == one.name);
            let bad = one.name.parse::<ids::ConferenceId>().is_err();
            if bad || twice || one.name == self.conferences.factory {
                return Err(BadConfig::Standing(one.name.clone()));
            }
        }
        Ok(())
    }
}

impl Limits {
    fn check(&self) -> Result<(), BadConfig> {
        let bounds = [
            ("sip_connections_max", self.sip_connections_max),
            ("sip_head_bytes_max", self.sip_head_bytes_max),
            ("sip_body_bytes_max", self.sip_body_bytes_max),
            ("sip_queue_bytes_max", self.sip_queue_bytes_max),
            ("calls_max", self.calls_max),
            ("calls_per_connection_max", self.calls_per_connection_max),
            ("dialogs_max", self.dialogs_max),
            ("dialogs_per_connection_max", self.dialogs_per_connection_max),
            ("conferences_max", self.conferences_max),
            ("conferences_per_person_max", self.conferences_per_person_max),
            ("participants_max", self.participants_max),
            ("bindings_per_person_max", self.bindings_per_person_max),
            ("bindings_max", self.bindings_max),
            ("http_connections_max", self.http_connections_max),
            ("http_body_bytes_max", self.http_body_bytes_max),
            ("key_packages_max", self.key_packages_max),
        ];
        let times = [
            ("sip_handshake_secs", self.sip_handshake_secs),
            ("sip_idle_secs", self.sip_idle_secs),
            ("call_secs", self.call_secs),
            ("ring_secs", self.ring_secs),
            ("nonce_secs", self.nonce_secs),
            ("http_request_secs", self.http_request_secs),
            ("message_bytes_max", self.message_bytes_max),
            ("entries_per_day_max", u64::from(self.entries_per_day_max)),
            ("register_secs_min", u64::from(self.register_secs_min)),
            ("http_failures_per_minute_max", u64::from(self.http_failures_per_minute_max)),
            (
                "key_package_claims_per_minute_max",
                u64::from(self.key_package_claims_per_minute_max),
            ),
        ];
        let zero = bounds.iter().find(|(_, bound)| *bound == 0).map(|(name, _)| *name);
        let zero =
            zero.or_else(|| times.iter().find(|(_, secs)| *secs == 0).map(|(name, _)| *name));
        if let Some(name) = zero {
            return Err(BadConfig::Zero(name));
        }
        let ordered = self.register_secs_min <= self.register_secs_default
            && self.register_secs_default <= self.register_secs_max;
        if ordered { Ok(()) } else { Err(BadConfig::RegisterTimes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Level;

    const SMALLEST: &str = r#"
        domain = "example.net"
        users_file = "users.toml"
        [sip]
        certificate_file = "sip.pem"
        key_file = "sip.key"
        [https]
        certificate_file = "sip.pem"
        key_file = "sip.key"
        [store]
        path = "mrfc.sqlite"
        [issuer]
        certificate_file = "ca.pem"
        key_file = "ca.key"
        [control]
        name = "mrfc-0"
        certificate_file = "mrfc.pem"
        key_file = "mrfc.key"
        ca_file = "control-ca.pem"
        [[relays]]
        name = "mrfp-0"
        control = "127.0.0.1:4747"
        server_name = "mrfp-0.example.net"
    "#;

    fn smallest() -> Config {
        toml::from_str(SMALLEST).unwrap()
    }

    #[test]
    fn the_smallest_configuration_gets_every_default() {
        let config = smallest();

        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.sip.listen.port(), 5061);
        assert_eq!(config.https.listen.port(), 8443);
        assert_eq!(config.ops.listen.port(), 9464);
        assert_eq!(config.conferences.level, Level::Sealed);
        assert!(!config.sip.md5 && config.sip.protected_listen.is_none());
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let text = format!("colour = \"red\"\n{SMALLEST}");

        assert!(toml::from_str::<Config>(&text).unwrap_err().message().contains("colour"));
    }

    #[test]
    fn contradictions_are_refused_with_their_name() {
        type Break = fn(&mut Config);
        let breaks: [(Break, BadConfig); 13] = [
            (
                |c| {
                    let text = "name = 'conference-factory'\ncreator = 'sip:a@example.net'";
                    c.conferences.standing.push(toml::from_str(text).unwrap());
                },
                BadConfig::Standing(String::from("conference-factory")),
            ),
            (|c| c.filters.push(toml::from_str("status = 403").unwrap()), BadConfig::Filter),
            (
                |c| c.conferences.nicknames_reserved.push(String::from(" ")),
                BadConfig::Reserved(String::from(" ")),
            ),
            (|c| c.sip.core_names.push(String::from("core")), BadConfig::HalfACore),
            (|c| c.domain = String::from("a b"), BadConfig::Domain(String::from("a b"))),
            (|c| c.relays.clear(), BadConfig::NoRelay),
            (|c| c.relays.push(c.relays[0].clone()), BadConfig::RelayTwice(String::from("mrfp-0"))),
            (|c| c.limits.calls_max = 0, BadConfig::Zero("calls_max")),
            (|c| c.limits.register_secs_max = 10, BadConfig::RegisterTimes),
            (
                |c| {
                    let mailbox = "key_file = 'm'\nkeep_secs = 604801";
                    c.mailbox = Some(toml::from_str(mailbox).unwrap());
                },
                BadConfig::PackagesTooShort,
            ),
            (
                |c| {
                    c.mailbox = Some(toml::from_str("key_file = 'm'").unwrap());
                    c.limits.circle_log_days = 6;
                },
                BadConfig::CircleLogTooShort,
            ),
            (|c| c.issuer.certificate_days = 21, BadConfig::CertificatesTooShort),
            (
                |c| (c.issuer.certificate_days, c.limits.key_package_days_min) = (365, 30),
                BadConfig::PackagesTooOld,
            ),
        ];
        for (break_it, expected) in breaks {
            let mut config = smallest();
            break_it(&mut config);

            assert_eq!(config.check(), Err(expected));
        }
    }
}
