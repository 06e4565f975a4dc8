//! The conference focus (MRFC): it decides who is in, what they may do and which commit wins. It sees no message.
//!
//! # A membership change's way
//!
//! ```text
//! SIP bytes ─► Request ─► Command ─► Event ─► kept ─► Effects
//!         front      desk     decide    append   apply    perform
//! ```
//!
//! 1. `edge` cuts a SIP message from a connection; `sip::endpoint` makes it a request of a transaction.
//! 2. `front/authenticate.rs` says who asks, `front/screen.rs` turns away what nobody here does, and
//!    `front/dispatch.rs` gives it to `front/register.rs` (with [`registrar`]), `front/invite.rs` or
//!    `front/refer.rs`. `front/offer.rs` reads the SDP, and says 488 before anybody else is troubled; `front/end.rs`
//!    says what the relay must know of it.
//! 3. The front asks the desk of the conference ([`desk::Desks`]) in a task of its own (`front/calls.rs`) and goes on
//!    with others. `desk/registry.rs` finds the desk, which is the only task that changes the conference.
//! 4. The desk has [`conference::Conference`] decide (`conference/decide.rs`: pure; an event or a refusal), appends the
//!    event to the journal (`store`), and applies it (`conference/apply.rs`: pure, cannot fail), which gives effects.
//! 5. `perform.rs` carries the effects out: orders (`orders.rs`: pure) to the relay (`relays`), the directory of KeyPackages (`store`),
//!    and for the front [`desk::SipEffect`]: call somebody (`front/dial_out.rs`), end a dialog (`front/dispatch.rs`).
//! 6. The relay says *seated*; the desk answers the front; the front answers the INVITE with the seat's path. So
//!    nobody arrives before their seat.
//! 7. Handshakes of the group come from the relay as notices and go the same way from step 4 on; what is accepted goes
//!    back as an order to broadcast, at its place in the room's order.
//!
//! The operator's levers are in [`admin`]: the same desks, front and relays, asked over HTTPS.
//!
//! Beside this, `http` gives devices their certificates and keeps their KeyPackages, with the same users and the same
//! digest as SIP. `server.rs` puts everything together; [`config`] holds every bound.
//!
//! # How conferences come and go
//!
//! A call to the factory makes one; a list in that call has the others called once it is answered (`front/recipients.rs`,
//! `front/guests.rs`, RFC 5366). `conference/life.rs` says when it ends by itself, and which ones rest and stay
//! (`server/standing.rs` makes those of the configuration). What has ended is remembered for a while (`desk/ended.rs`), and
//! its journal is forgotten. `front/options.rs` says what a conference tells of itself, and to whom.
//!
//! # What is kept for who is away
//!
//! In a sealed conference a message counts when it is stored. `log.rs` hears the relays before the desks do: it stores
//! what they deposit, many in one transaction, and says so; it moves the cursors of devices by what their answers say, and
//! reads pages for seats that are behind. A seat of a member that comes back is ordered with its cursor (`perform.rs`). A new
//! start of the relay or of this focus raises the room's term, so that no number is used twice.
//!
//! # Between two people
//!
//! An INVITE to a person goes to `front/pair_invite.rs`, which rings every device, and from its answer on to
//! `front/pair_dialog.rs`; `front/pairs.rs` is the table. `front/pair_media.rs` puts a relay between the two where the
//! configuration asks for it, `legs.rs` has the rooms made and hears the relays before the desks do, `charging.rs` keeps
//! what messages cost. A MESSAGE goes to `front/message.rs`, or by `front/list.rs` to many; [`filter`] may refuse it.
//! What reaches nobody goes by `front/deferral.rs` to the mailbox, where it waits for a device that registers. Files, and
//! messages of a session, go by `front/kept_calls.rs` to `mailbox/files`, which is an end of their MSRP session and keeps
//! what is large in the blob store (`blobs`); a large message goes to devices by `front/late_calls.rs`.
//!
//! People who write to each other sealed share a *circle*: `circles.rs` orders the changes of its group, which come beside
//! a first message (`front/message/sealed.rs`) or over HTTPS (`http/circles.rs`), by the rules of every group.
//!
//! # Refusals
//!
//! A desk refuses with [`desk::Refusal`]; `front/refusal.rs` is the one place where that becomes a SIP status.
//!
//! # Example
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use service::shutdown::Shutdown;
//! service::tls::install_provider();
//! let config: mrfc::Config = service::config::load(Some("mrfc.toml".as_ref()), "MRFC", &[])?;
//! let server = mrfc::Server::start(config, Shutdown::new()).await?;
//! println!("SIP on {}", server.addresses().sip);
//! server.serve().await?;
//! # Ok(()) }
//! ```
pub mod admin;
mod charging;
mod circles;
pub mod conference;
pub mod config;
pub mod database;
pub mod desk;
mod devices;
pub mod filter;
mod front;
mod http;
mod legs;
mod log;
mod mailbox;
mod metrics;
mod numbers;
pub mod orders;
pub mod people;
mod perform;
pub mod registrar;
pub mod relays;
mod server;
pub mod users;

pub use config::Config;
pub use front::NoRandomness;
pub use mailbox::inspect::KeptMessage;
pub use mailbox::{BadKeys, NoFiles, NoMailbox};
pub use server::{
    Addresses, Server, StartError, check_config, database_of, kept_messages, run, serve,
};

/// Every metric of a focus, for whoever documents or watches it.
pub fn metrics() -> Vec<service::metrics::Description> {
    let registry = service::metrics::Metrics::new();
    drop(metrics::Metrics::new(&registry));
    // What certificates say of themselves is counted where they are renewed.
    drop(service::tls::Watch::new(Vec::new(), &registry));
    registry.describe()
}
