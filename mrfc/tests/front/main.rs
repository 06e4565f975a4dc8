//! The MRFC over real sockets: SIP/TLS and HTTPS clients on one side, a control endpoint in the relay's place on the
//! other. What the relay does with messages is tested in `mrfp`, the whole system in the root's `tests/`.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be built should fail its test")]
#![expect(clippy::indexing_slicing, reason = "a missing element should fail its test")]
mod browser;
mod calling;
mod certified;
mod charging;
mod circles;
mod crossing;
mod deferring;
mod directory;
mod enumeration;
mod external;
mod focus;
mod hiding;
mod intruding;
mod inviting;
mod joining;
mod kamailio;
mod levers;
mod lifetime;
mod listing;
mod losing;
mod messaging;
mod moderating;
mod naming;
mod operator;
mod pairing;
mod people;
mod phone;
mod process;
mod pseudonyms;
mod raw;
mod referring;
mod refreshing;
mod registering;
mod relay;
mod remembered;
mod renewal;
mod secured;
mod sipp;
mod strangers;
mod torture;
mod treated_alike;
mod watching;
mod web;
mod world;
