//! Conferences with real members, without a socket: a world of devices that answer what the focus asks.
mod changes;
mod crowd;
mod doubt;
mod expiry;
mod hiding;
mod invariants;
mod joining;
mod life;
mod masks;
mod nicknames;
mod people;
mod recovery;
mod ruling;
mod trial;
mod world;
