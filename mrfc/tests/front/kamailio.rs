//! Kamailio as the SIP core in front: it registers and authenticates the users and asserts who they are. Skipped, in
//! words, where Kamailio is not installed.
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sip::header::Name;
use sip::{Request, Status};
use tokio::net::TcpStream;

use crate::phone::{Phone, conference, good_offer};
use crate::world::{DOMAIN, World, password};

/// Where Debian puts what we need of it.
const PROGRAM: &str = "/usr/sbin/kamailio";
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/kamailio/modules";

/// A running Kamailio; it ends with the test.
struct Core {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Core {
    fn drop(&mut self) {
        // It stops its own children.
        let id = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &id]).status());
        drop(self.child.wait());
    }
}

#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn installed() -> bool {
    let there = Path::new(PROGRAM).exists() && Path::new(MODULES).join("tls.so").exists();
    static SAID: AtomicBool = AtomicBool::new(false);
    if !there && !SAID.swap(true, Ordering::Relaxed) {
        eprintln!("SKIPPED: Kamailio is not installed (Debian: kamailio kamailio-tls-modules)");
    }
    there
}

/// An MRFC that takes `core.example.net` for its core, and that core in front of it.
async fn world_with_core() -> (World, Core) {
    let world = World::with_core("core.example.net").await;
    let core = start(&world).await;
    (world, core)
}

async fn start(world: &World) -> Core {
    let folder = tempfile::tempdir().unwrap();
    world.ca.issue_files(&["core.example.net", DOMAIN], folder.path(), "core").unwrap();
    world.ca.write_certificate(&folder.path().join("ca.pem")).unwrap();
    let root = folder.path().to_owned();
    let file = |name: &str| root.join(name).display().to_string();
    let tls = format!(
        "[server:default]\nmethod = TLSv1.2+\nprivate_key = {key}\ncertificate = {chain}\n\
         [client:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n\
         private_key = {key}\ncertificate = {chain}\nca_list = {ca}\n",
        key = file("core.key"),
        chain = file("core.pem"),
        ca = file("ca.pem"),
    );
    std::fs::write(folder.path().join("tls.cfg"), tls).unwrap();
    let port = free_port();
    let users: String = ["alice", "bob"]
        .iter()
        .map(|user| format!("$sht(users=>{user}) = \"{}\";\n", password(user)))
        .collect();
    let text = include_str!("kamailio/kamailio.cfg")
        .replace("{{port}}", &port.to_string())
        .replace("{{domain}}", DOMAIN)
        .replace("{{modules}}", MODULES)
        .replace("{{folder}}", &folder.path().display().to_string())
        .replace("{{users}}", &users)
        .replace("{{focus_port}}", &world.addresses.sip.port().to_string());
    let config = folder.path().join("kamailio.cfg");
    std::fs::write(&config, text).unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let child = Command::new(PROGRAM)
        .args(["-DD", "-E", "-f", &file("kamailio.cfg"), "-Y", &file("")])
        .args(["-w", &file(""), "-P", &file("pid"), "-m", "64", "-M", "8"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut core = Core { child, port, _folder: folder };
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(
                core.child.try_wait().unwrap().is_none(),
                "Kamailio ended: see {}",
                file("log")
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listens).await.expect("Kamailio listens");
    core
}

/// A port nobody has at this moment: Kamailio cannot be told to choose one.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Core {
    async fn phone(&self, world: &World, user: &str) -> Phone {
        let mut phone = Phone::connect_to(world, ([127, 0, 0, 1], self.port).into(), user, 1).await;
        let response = phone.register(3_600).await;
        assert_eq!(response.status, Status::OK, "{user} could not register at the core");
        phone
    }
}

/// S2-05.
#[tokio::test]
async fn who_registered_at_the_core_makes_a_conference_without_our_password() {
    if !installed() {
        return;
    }
    let (world, core) = world_with_core().await;
    let mut alice = core.phone(&world, "alice").await;

    let (factory, offer) = (format!("sip:conference-factory@{DOMAIN}"), good_offer());
    let mut talk = alice.invite(&factory, &offer).await.unwrap();

    assert!(!conference(&talk.response).is_empty());
    assert_eq!(world.metric("mrfc_dialogs").await, 1);
    assert_eq!(world.metric("mrfc_logins_total{protocol=\"sip\",result=\"challenged\"}").await, 0);
    let bye = talk.dialog.request(sip::Method::Bye).unwrap();
    assert_eq!(alice.ask(bye).await.status, Status::OK);
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

/// S3-26, S3-27.
#[tokio::test]
async fn a_message_goes_through_the_core_both_ways() {
    if !installed() {
        return;
    }
    let (world, core) = world_with_core().await;
    let mut alice = core.phone(&world, "alice").await;
    let mut bob = core.phone(&world, "bob").await;
    let body: Vec<u8> = (0..=255).collect();
    let request = alice
        .request("MESSAGE", &format!("sip:bob@{DOMAIN}"))
        .with_body("application/x-any", body.clone());

    let (answer, copy) = tokio::join!(alice.ask(request), async {
        let (key, copy) = bob.incoming().await;
        bob.answer(key, &copy, 200).await;
        copy
    });

    assert_eq!(answer.status, Status::OK);
    assert_eq!(copy.body, body);
    assert_eq!(copy.headers.from().unwrap().uri.aor().unwrap(), alice.aor);
    let asserted = copy.headers.text(&Name::PAssertedIdentity).unwrap().into_owned();
    assert_eq!(asserted, format!("<sip:alice@{DOMAIN}>"));
    let nobody = alice.request("MESSAGE", &format!("sip:carol@{DOMAIN}"));
    assert_eq!(alice.ask(nobody).await.status, Status::TEMPORARILY_UNAVAILABLE);
}

/// S1-04, S2-05.
#[tokio::test]
async fn priv_01_an_identity_asserted_by_anybody_else_is_worth_nothing() {
    // A certificate of the same CA by another name is not the core.
    let world = World::with_core("core.example.net").await;
    let stranger = world.ca.issue(&["edge.example.net"]).unwrap();
    let core = world.ca.issue(&["core.example.net"]).unwrap();
    let asserted = |phone: &mut Phone| -> Request {
        phone
            .request("OPTIONS", &format!("sip:{DOMAIN}"))
            .with(Name::PAssertedIdentity, format!("<sip:alice@{DOMAIN}>"))
    };

    let mut nobody = Phone::connect(&world, "alice", 1).await;
    let mut other = Phone::connect_as(&world, &stranger, "alice").await;
    let mut trusted = Phone::connect_as(&world, &core, "alice").await;

    let request = asserted(&mut nobody);
    assert_eq!(nobody.send(request).await.status, Status::UNAUTHORIZED);
    let request = asserted(&mut other);
    assert_eq!(other.send(request).await.status, Status::UNAUTHORIZED);
    let request = asserted(&mut trusted);
    assert_eq!(trusted.send(request).await.status, Status::OK);
    for method in ["INVITE", "REFER", "MESSAGE", "REGISTER", "BYE"] {
        let mut request = trusted.request(method, &format!("sip:room7@{DOMAIN}"));
        request.headers.remove(&Name::PAssertedIdentity);
        assert_eq!(trusted.send(request).await.status, Status::UNAUTHORIZED, "{method}");
    }
}
