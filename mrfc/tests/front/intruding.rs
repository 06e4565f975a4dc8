//! Strangers at the HTTPS resources of people: what they cannot take, and what they cannot push out.
use serde_json::json;

use crate::operator::{admin, get};
use crate::people::call;
use crate::relay::Manner;
use crate::web::exchange;
use crate::world::{DOMAIN, World};

async fn world() -> World {
    World::with(Manner::Prompt, |config| {
        let folder = config.https.certificate_file.parent().unwrap().to_owned();
        config.admin = Some(admin(&folder));
        config.limits.http_failures_per_minute_max = 2;
    })
    .await
}

/// SEC-3.
#[tokio::test]
async fn strangers_write_no_more_into_the_audit_than_they_may_guess() {
    let world = world().await;
    let path = format!("/v1/people/sip:alice@{DOMAIN}/profile");
    let wrong = format!(
        "Authorization: Digest username=\"alice\", realm=\"{DOMAIN}\", nonce=\"x\", uri=\"{path}\", response=\"{}\"\r\n",
        "0".repeat(64)
    );
    for headers in ["Authorization: nonsense\r\n", "Authorization: Basic eA==\r\n", &wrong] {
        for _ in 0..20 {
            let status = exchange(&world, "GET", &path, headers, b"").await.status;
            assert!([400, 401, 429].contains(&status), "{status}");
        }
    }

    let audit = get(&world, "/v1/audit").await;

    let lines = audit["audit"].as_array().unwrap();
    assert!(lines.len() <= 2, "{} lines of strangers", lines.len());
}

/// SEC-3.
#[tokio::test]
async fn a_line_of_the_audit_is_as_long_as_a_line_may_be() {
    let world = world().await;
    let path = format!("/v1/people/sip:alice@{DOMAIN}/phonebook/{}", "9".repeat(20_000));

    let asked = call(&world, "alice", ("GET", &path), None, &json!(null)).await;
    assert_eq!(asked.status, 400, "{asked:?}");

    let audit = get(&world, &format!("/v1/audit?actor=sip:alice@{DOMAIN}")).await;
    let subject = audit["audit"][0]["subject"].as_str().unwrap();
    assert!(subject.starts_with("/v1/people/") && subject.len() <= 1_024, "{}", subject.len());
}
