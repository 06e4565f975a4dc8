//! AUTH requests by hand, and a focus that says what the test wants.
use bytes::BytesMut;
use msrp::{Decoder, Item, Request, TransactionId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;

use super::*;

struct Scene {
    auth: Auth,
    now: Instant,
    rng: StdRng,
}

fn scene() -> Scene {
    let (now, mut rng) = (service::clock::now(), StdRng::seed_from_u64(1));
    let policy = Policy {
        realm: "example.net".into(),
        offered: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
        expires: Expires { min: 60, default: 900, max: 3600 },
        nonces: NonceLimits { lifetime: Duration::from_secs(300), used_max: 100 },
    };
    Scene { auth: Auth::new(policy, now, &mut rng), now, rng }
}

/// As it arrives.
fn auth(headers: &[(&str, String)]) -> Arc<Head> {
    let to = "msrps://alice@relay.example.net;tcp".parse().unwrap();
    let from = "msrps://ua.example:9/u1;tcp".parse().unwrap();
    let request = Request::new(msrp::Method::Auth, &to, &from);
    let request = headers.iter().fold(request, |r, (name, value)| r.header(name, value));
    let octets = request.encode(TransactionId::parse(b"a1b2c3d4").unwrap()).to_bytes();
    match Decoder::default().next(&mut BytesMut::from(&octets[..])).unwrap().unwrap() {
        Item::Request(chunk) => chunk.head,
        Item::Response(head) => head,
    }
}

/// As the client reads it.
fn read(answer: &Answer) -> Arc<Head> {
    let octets = answer.encode(&auth(&[])).unwrap().to_bytes();
    match Decoder::default().next(&mut BytesMut::from(&octets[..])).unwrap().unwrap() {
        Item::Response(head) => head,
        Item::Request(chunk) => chunk.head,
    }
}

impl Scene {
    fn challenges(&mut self) -> Vec<Challenge> {
        match self.auth.receive(&auth(&[]), self.now, &mut self.rng) {
            Received::Answer(answer) => read(&answer).challenges(),
            Received::Ask(_) => panic!("asked without a proof"),
        }
    }

    fn credentials(&mut self, nc: u32) -> Credentials {
        let challenge = self.challenges().remove(0);
        Credentials {
            username: "alice".into(),
            realm: challenge.realm,
            nonce: challenge.nonce,
            algorithm: challenge.algorithm,
            cnonce: "c1".into(),
            nc,
            response: "00".into(),
        }
    }

    fn ask(&mut self, credentials: &Credentials, more: &[(&str, String)]) -> Question {
        let mut headers = vec![("Authorization", credentials.to_wire())];
        headers.extend_from_slice(more);
        match self.auth.receive(&auth(&headers), self.now, &mut self.rng) {
            Received::Ask(question) => *question,
            Received::Answer(answer) => panic!("{answer:?}"),
        }
    }

    fn judge(&mut self, question: &Question, status: u16) -> Judged {
        let request = question.asked.request;
        let answer = AuthAnswer { request, status, rspauth: "f00d".into() };
        self.auth.judge(question, &answer, self.now, &mut self.rng)
    }

    fn refused(&mut self, question: &Question, status: u16) -> Answer {
        match self.judge(question, status) {
            Judged::Refused(answer) => answer,
            Judged::Granted(granted) => panic!("{granted:?}"),
        }
    }

    fn granted(&mut self, question: &Question) -> Granted {
        match self.judge(question, 200) {
            Judged::Granted(granted) => granted,
            Judged::Refused(answer) => panic!("{answer:?}"),
        }
    }
}

#[test]
fn m4976_02_without_a_proof_there_is_a_challenge_of_each_algorithm_the_stronger_first() {
    let mut scene = scene();

    let Received::Answer(answer) = scene.auth.receive(&auth(&[]), scene.now, &mut scene.rng) else {
        panic!("asked without a proof")
    };

    assert_eq!((answer.status, answer.failed), (Status::UNAUTHORIZED, false));
    let text = String::from_utf8(answer.encode(&auth(&[])).unwrap().to_bytes().to_vec()).unwrap();
    assert!(text.starts_with(
        "MSRP a1b2c3d4 401 Unauthorized\r\nTo-Path: msrps://ua.example:9/u1;tcp\r\n\
         From-Path: msrps://alice@relay.example.net;tcp\r\n\
         WWW-Authenticate: Digest realm=\"example.net\", qop=\"auth\", nonce=\""
    ));
    for never in ["Basic", "auth-int", "-sess", "domain=", "stale"] {
        assert!(!text.contains(never), "{text}");
    }
    let offered: Vec<_> = read(&answer).challenges().iter().map(|c| c.algorithm).collect();
    assert_eq!(offered, [DigestAlgorithm::Sha256, DigestAlgorithm::Md5]);
}

#[test]
fn m4976_03_the_focus_is_asked_about_the_rightmost_uri_of_to_path() {
    let mut scene = scene();
    let credentials = scene.credentials(1);
    let lying = format!("{}, uri=\"msrps://other.example;tcp\"", credentials.to_wire());

    let received =
        scene.auth.receive(&auth(&[("Authorization", lying)]), scene.now, &mut scene.rng);

    let Received::Ask(question) = received else { panic!("{received:?}") };
    assert_eq!(question.asked.uri, "msrps://alice@relay.example.net;tcp");
    assert_eq!(question.asked.method, "AUTH");
    assert_eq!(question.asked.algorithm, "SHA-256");
    assert_eq!((question.asked.nc, question.asked.cnonce.as_str()), (1, "c1"));
}

#[test]
fn m4976_04_a_wrong_proof_is_asked_for_again_and_counts() {
    let mut scene = scene();
    let credentials = scene.credentials(1);
    let question = scene.ask(&credentials, &[]);

    let answer = scene.refused(&question, 401);

    assert_eq!((answer.status, answer.failed), (Status::UNAUTHORIZED, true));
    assert!(read(&answer).challenges().iter().all(|challenge| !challenge.stale));
}

#[test]
fn m4976_04_who_is_not_allowed_gets_403() {
    let mut scene = scene();
    let credentials = scene.credentials(1);
    let question = scene.ask(&credentials, &[]);

    let answer = scene.refused(&question, 403);

    assert_eq!((answer.status, answer.failed), (Status::FORBIDDEN, true));
}

#[test]
fn m4976_04_what_cannot_be_checked_is_a_wrong_proof() {
    let mut scene = scene();
    let credentials = scene.credentials(1);
    let elsewhere = Credentials { realm: "example.org".into(), ..credentials.clone() };
    let no_count = credentials.to_wire().replace("nc=00000001, ", "");
    for bad in [elsewhere.to_wire(), no_count, "Basic QWxpY2U6eA==".into(), String::new()] {
        let head = auth(&[("Authorization", bad)]);

        let received = scene.auth.receive(&head, scene.now, &mut scene.rng);

        let Received::Answer(answer) = received else { panic!("{received:?}") };
        assert_eq!((answer.status, answer.failed), (Status::UNAUTHORIZED, true));
    }
}

#[test]
fn m4976_04_a_nonce_that_is_old_or_was_used_with_this_count_is_stale_and_no_failure() {
    let mut scene = scene();
    let credentials = scene.credentials(1);
    let question = scene.ask(&credentials, &[]);
    let fresh = scene.credentials(1);
    let late = scene.ask(&fresh, &[]);

    scene.granted(&question);
    let replayed = scene.refused(&question, 200);
    scene.now += Duration::from_secs(301);
    let old = scene.refused(&late, 200);

    for answer in [replayed, old] {
        assert_eq!((answer.status, answer.failed), (Status::UNAUTHORIZED, false));
        assert!(read(&answer).challenges().iter().all(|challenge| challenge.stale));
    }
}

#[test]
fn m4976_03_the_200_proves_that_we_know_the_password_and_gives_the_next_nonce() {
    let mut scene = scene();
    let credentials = scene.credentials(1);
    let question = scene.ask(&credentials, &[]);
    let own: Path = "msrps://relay.example.net:2855/s1;tcp".parse().unwrap();

    let head = read(&scene.granted(&question).answer(&own));

    let info = head.authentication_info().unwrap();
    assert_eq!((info.rspauth.as_str(), info.cnonce.as_str(), info.nc), ("f00d", "c1", 1));
    assert_eq!(head.use_path(), Some(Ok(own)));
    assert_eq!(head.expires(), Some(900));
    let again = Credentials { nonce: info.nextnonce.unwrap(), ..credentials };
    let question = scene.ask(&again, &[]);
    scene.granted(&question);
}

#[test]
fn m4976_05_an_expiry_out_of_bounds_gets_423_with_the_bound_that_was_met() {
    let mut scene = scene();
    for (secs, min, max) in
        [("59", Some(60), None), ("3601", None, Some(3600)), ("0", Some(60), None)]
    {
        let credentials = scene.credentials(1);
        let question = scene.ask(&credentials, &[("Expires", secs.into())]);

        let answer = scene.refused(&question, 200);

        let head = read(&answer);
        assert_eq!((answer.status, answer.failed), (Status::OUT_OF_BOUNDS, false));
        assert_eq!((head.min_expires(), head.max_expires()), (min, max), "{secs}");
    }
    for secs in ["60", "3600"] {
        let credentials = scene.credentials(1);
        let question = scene.ask(&credentials, &[("Expires", secs.into())]);
        assert_eq!(scene.granted(&question).lifetime.as_secs().to_string(), secs);
    }
}

#[test]
fn m4976_05_an_expiry_that_is_no_number_gets_400() {
    let mut scene = scene();
    let head = auth(&[("Expires", "soon".into())]);

    let received = scene.auth.receive(&head, scene.now, &mut scene.rng);

    let Received::Answer(answer) = received else { panic!("{received:?}") };
    assert_eq!(answer, Answer::plain(Status::BAD_REQUEST));
}

#[test]
fn s5_1_the_use_path_is_the_way_back_to_the_client_and_then_our_uri() {
    let own = || "msrps://c:3/c;tcp".parse().unwrap();
    let direct: Path = "msrps://ua:9/u;tcp".parse().unwrap();
    let over_two: Path = "msrps://b:2/b;tcp msrps://a:1/a;tcp msrps://ua:9/u;tcp".parse().unwrap();

    assert_eq!(use_path(&direct, own()).to_wire(), "msrps://c:3/c;tcp");
    assert_eq!(
        use_path(&over_two, own()).to_wire(),
        "msrps://a:1/a;tcp msrps://b:2/b;tcp msrps://c:3/c;tcp"
    );
}
