//! RFC 7616 and RFC 8760: digest authentication, both sides against each other and against what attackers send.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use sip::digest::{
    Algorithm, BadCredentials, Challenge, Challenger, Credentials, Denied, Freshness, Ha1, Login,
    NonceLimits, Rejected,
};
use sip::{Headers, Name};

const REALM: &str = "example.net";
const TARGET: &str = "sip:example.net";

struct Scene {
    now: Instant,
    rng: StdRng,
    challenger: Challenger,
    login: Login,
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the first one")]
fn scene(limits: NonceLimits) -> Scene {
    let (now, mut rng) = (Instant::now(), StdRng::seed_from_u64(7));
    let challenger = Challenger::new(REALM, limits, now, &mut rng);
    Scene { now, rng, challenger, login: Login::new("alice", "secret") }
}

fn limits() -> NonceLimits {
    NonceLimits { lifetime: Duration::from_secs(60), used_max: 4 }
}

impl Scene {
    fn challenges(&mut self, freshness: Freshness) -> Vec<String> {
        let challenges = self.challenger.challenges(freshness, self.now, &mut self.rng);
        challenges.iter().map(ToString::to_string).collect()
    }

    fn log_in(&mut self) {
        let values = self.challenges(Freshness::First);
        self.login.challenged(values.iter().map(String::as_str), None).unwrap();
    }

    fn authorize(&mut self, method: &str, uri: &str) -> String {
        self.login.authorize(method, uri, &mut self.rng).unwrap()
    }

    fn check(&mut self, method: &str, value: &str) -> Result<(), Denied> {
        let credentials = Credentials::parse(value).unwrap().unwrap();
        let ha1 = Ha1::new(credentials.algorithm, "alice", REALM, "secret");
        let ha1 = (credentials.username == "alice").then_some(ha1);
        self.challenger.check(self.now, method, TARGET, &credentials, ha1.as_ref())
    }
}

#[test]
fn algorithm_sha_256_is_understood_by_both_sides() {
    let mut scene = scene(limits());
    scene.log_in();
    let value = scene.authorize("REGISTER", TARGET);
    assert!(value.contains("algorithm=SHA-256"));
    assert_eq!(scene.check("REGISTER", &value), Ok(()));
}

#[test]
fn rfc8760_s2_3_sha_256_comes_first_and_md5_only_if_asked_for() {
    let mut scene = scene(limits());
    assert_eq!(scene.challenges(Freshness::First).len(), 1);

    scene.challenger = scene.challenger.with_md5();
    let values = scene.challenges(Freshness::First);

    let algorithms: Vec<_> =
        values.iter().flat_map(|v| Challenge::parse_all(v)).map(|c| c.algorithm).collect();
    assert_eq!(algorithms, [Algorithm::Sha256, Algorithm::Md5]);
    for value in values {
        assert!(value.contains("qop=\"auth\"") && !value.contains("sess"), "{value}");
    }
}

#[test]
fn rfc8760_s2_4_the_client_takes_the_stronger_and_passes_over_what_it_does_not_know() {
    let mut scene = scene(limits());
    scene.challenger = scene.challenger.with_md5();
    let mut values = scene.challenges(Freshness::First);
    values.reverse();
    values.insert(
        0,
        "Digest realm=\"example.net\", nonce=\"n\", algorithm=SHA-999, qop=\"auth\"".into(),
    );
    values.insert(0, "Basic realm=\"example.net\"".into());

    scene.login.challenged(values.iter().map(String::as_str), None).unwrap();

    let value = scene.authorize("INVITE", TARGET);
    assert_eq!(Credentials::parse(&value).unwrap().unwrap().algorithm, Algorithm::Sha256);
    for refused in [
        "Basic realm=\"a\"",
        "Digest realm=\"a\", nonce=\"n\"",
        "Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\"",
        "Digest realm=\"a\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256-sess",
    ] {
        assert_eq!(
            scene.login.challenged([refused], None),
            Err(Rejected::NothingKnown),
            "{refused}"
        );
    }
}

#[test]
fn an_md5_answer_counts_only_where_md5_was_offered() {
    let mut scene = scene(limits());
    let nonce = Challenge::parse_all(&scene.challenges(Freshness::First)[0])[0].nonce.clone();
    let challenge = format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"auth\"");
    scene.login.challenged([challenge.as_str()], None).unwrap();
    let value = scene.authorize("REGISTER", TARGET);
    assert_eq!(scene.check("REGISTER", &value), Err(Denied::Wrong));
    scene.challenger = scene.challenger.with_md5();
    assert_eq!(scene.check("REGISTER", &value), Ok(()));
}

#[test]
fn s3_4_a_wrong_password_user_method_or_realm_is_denied() {
    let mut scene = scene(limits());
    scene.log_in();
    let good = scene.authorize("REGISTER", TARGET);
    assert_eq!(scene.check("INVITE", &good), Err(Denied::Wrong));
    assert_eq!(scene.check("REGISTER", &good.replace("alice", "mallory")), Err(Denied::Wrong));
    assert_eq!(
        scene.check("REGISTER", &good.replace("realm=\"example.net", "realm=\"example.org")),
        Err(Denied::Wrong)
    );

    let values = scene.challenges(Freshness::First);
    scene.login = Login::new("alice", "guess");
    scene.login.challenged(values.iter().map(String::as_str), None).unwrap();
    let wrong = scene.authorize("REGISTER", TARGET);
    assert_eq!(scene.check("REGISTER", &wrong), Err(Denied::Wrong));
    assert_eq!(scene.check("REGISTER", &good), Ok(()), "what was denied spent nothing");
}

#[test]
fn s3_4_3_a_count_is_good_once_and_counts_may_overtake_each_other() {
    let mut scene = scene(limits());
    scene.log_in();
    let first = scene.authorize("MESSAGE", TARGET);
    let second = scene.authorize("MESSAGE", TARGET);
    assert_eq!(scene.check("MESSAGE", &second), Ok(()));
    assert_eq!(scene.check("MESSAGE", &first), Ok(()));
    assert_eq!(scene.check("MESSAGE", &first), Err(Denied::Stale));
    assert_eq!(scene.check("MESSAGE", &second), Err(Denied::Stale));
}

#[test]
fn s3_3_an_old_nonce_is_stale_and_the_client_answers_again_by_itself() {
    let mut scene = scene(limits());
    scene.log_in();
    let old = scene.authorize("REGISTER", TARGET);
    scene.now += Duration::from_secs(61);
    assert_eq!(scene.check("REGISTER", &old), Err(Denied::Stale));

    let values = scene.challenges(Freshness::Stale);
    scene.login.challenged(values.iter().map(String::as_str), Some(&old)).unwrap();
    let new = scene.authorize("REGISTER", TARGET);
    assert_eq!(scene.check("REGISTER", &new), Ok(()));

    let values = scene.challenges(Freshness::First);
    let refused = scene.login.challenged(values.iter().map(String::as_str), Some(&new));
    assert_eq!(refused, Err(Rejected::Password), "a right answer would have been called stale");
}

#[test]
fn a_nonce_of_another_server_or_a_forged_one_is_stale() {
    let mut scene = scene(limits());
    let other = Challenger::new(REALM, limits(), scene.now, &mut scene.rng);
    for challenge in other.challenges(Freshness::First, scene.now, &mut scene.rng) {
        scene.login.challenged([challenge.to_string().as_str()], None).unwrap();
        let value = scene.authorize("REGISTER", TARGET);
        assert_eq!(scene.check("REGISTER", &value), Err(Denied::Stale));
    }
    let forged =
        format!("Digest realm=\"{REALM}\", nonce=\"AAAA\", qop=\"auth\", algorithm=SHA-256");
    scene.login.challenged([forged.as_str()], None).unwrap();
    let value = scene.authorize("REGISTER", TARGET);
    assert_eq!(scene.check("REGISTER", &value), Err(Denied::Stale));
}

#[test]
fn the_memory_of_nonces_is_bounded_and_forgetting_never_makes_a_replay_good() {
    let mut scene = scene(limits());
    let mut used = Vec::new();
    for _ in 0..20 {
        scene.now += Duration::from_millis(10);
        scene.log_in();
        let value = scene.authorize("REGISTER", TARGET);
        assert_eq!(scene.check("REGISTER", &value), Ok(()));
        used.push(value);
    }
    for value in used {
        assert_eq!(scene.check("REGISTER", &value), Err(Denied::Stale));
    }
}

#[test]
fn when_too_many_nonces_are_in_use_the_oldest_becomes_stale() {
    let mut scene = scene(limits());
    scene.log_in();
    let first = scene.authorize("REGISTER", TARGET);
    let second = scene.authorize("REGISTER", TARGET);
    assert_eq!(scene.check("REGISTER", &first), Ok(()));

    for _ in 0..limits().used_max {
        scene.now += Duration::from_millis(10);
        scene.log_in();
        let other = scene.authorize("REGISTER", TARGET);
        assert_eq!(scene.check("REGISTER", &other), Ok(()));
    }

    assert_eq!(scene.check("REGISTER", &second), Err(Denied::Stale));
}

#[test]
fn rfc8760_s2_6_the_uri_must_mean_the_request_uri() {
    let mut scene = scene(limits());
    scene.log_in();
    let elsewhere = scene.authorize("REGISTER", "sip:example.org");
    assert_eq!(scene.check("REGISTER", &elsewhere), Err(Denied::OtherUri));
    let same = scene.authorize("REGISTER", "sip:EXAMPLE.net");
    assert_eq!(scene.check("REGISTER", &same), Ok(()));
}

#[test]
fn http_requests_are_checked_by_the_same_rules() {
    let mut scene = scene(limits());
    scene.log_in();
    let value = scene.authorize("PUT", "/v1/key-packages");
    let credentials = Credentials::parse(&value).unwrap().unwrap();
    let ha1 = Ha1::new(Algorithm::Sha256, "alice", REALM, "secret");
    let mut check =
        |target| scene.challenger.check(scene.now, "PUT", target, &credentials, Some(&ha1));
    assert_eq!(check("/v1/certificates"), Err(Denied::OtherUri));
    assert_eq!(check("/v1/key-packages"), Ok(()));
}

#[test]
fn s3_4_what_cannot_be_checked_is_malformed() {
    let good = "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x\", algorithm=SHA-256, cnonce=\"c\", qop=auth, nc=00000001";
    assert!(Credentials::parse(good).unwrap().is_some());
    for part in [
        "username=\"a\", ",
        "realm=\"r\", ",
        "nonce=\"n\", ",
        "uri=\"u\", ",
        "response=\"x\", ",
        "cnonce=\"c\", ",
        "qop=auth, ",
        ", nc=00000001",
    ] {
        let missing = Credentials::parse(&good.replace(part, ""));
        assert!(matches!(missing, Err(BadCredentials::Missing(_))), "{part}");
    }
    for (from, to) in [
        ("00000001", "1"),
        ("00000001", "0000000g"),
        ("00000001", "+0000001"),
        ("\"a\"", "\"a"),
        ("uri=", "realm="),
    ] {
        assert_eq!(
            Credentials::parse(&good.replace(from, to)),
            Err(BadCredentials::Malformed),
            "{to}"
        );
    }
    for (from, to) in [
        ("qop=auth", "qop=auth-int"),
        ("SHA-256", "SHA-256-sess"),
        ("algorithm=SHA-256", "algorithm=MD5-sess"),
    ] {
        assert_eq!(
            Credentials::parse(&good.replace(from, to)),
            Err(BadCredentials::Unsupported),
            "{to}"
        );
    }
    assert_eq!(Credentials::parse("Bearer abc"), Ok(None));
    assert_eq!(Credentials::parse(""), Err(BadCredentials::Malformed));
}

#[test]
fn the_credentials_of_our_realm_are_found_among_others() {
    let mut scene = scene(limits());
    scene.log_in();
    let value = scene.authorize("INVITE", TARGET);
    let mut headers = Headers::new();
    headers.push(Name::Authorization, "Bearer abc");
    headers.push(Name::Authorization, value.replace(REALM, "elsewhere.example"));
    assert_eq!(Credentials::find(&headers, REALM), Ok(None));
    headers.push(Name::Authorization, value);
    assert_eq!(Credentials::find(&headers, REALM).unwrap().unwrap().username, "alice");
}

#[test]
fn a_name_with_quotes_and_a_challenge_of_two_in_one_line_survive() {
    let mut scene = scene(limits());
    scene.challenger = scene.challenger.with_md5();
    scene.login = Login::new("al \"ice\" \\", "secret");
    let both = scene.challenges(Freshness::First).join(", ");
    assert_eq!(Challenge::parse_all(&both).len(), 2);
    scene.login.challenged([both.as_str()], None).unwrap();
    let value = scene.authorize("GET", "/");
    assert_eq!(Credentials::parse(&value).unwrap().unwrap().username, "al \"ice\" \\");
}

#[test]
fn nothing_that_logs_in_shows_in_debug() {
    let mut scene = scene(limits());
    scene.log_in();
    let value = scene.authorize("INVITE", TARGET);
    let credentials = Credentials::parse(&value).unwrap().unwrap();
    let challenge = &Challenge::parse_all(&scene.challenges(Freshness::First)[0])[0];
    let shown = format!("{:?} {:?} {credentials:?} {challenge:?}", scene.login, scene.challenger);
    let response = value.split("response=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(
        !shown.contains("secret") && !shown.contains(response) && !shown.contains(&challenge.nonce),
        "{shown}"
    );
}
