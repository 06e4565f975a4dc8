//! Desks on a real file, with a relay at the far end of real QUIC that speaks real frames. Only the relay's rooms
//! are not there: the test says what happens in them.
mod confirmed;
mod groups;
mod operator;
mod owners;
mod relay;
mod restored;
mod rig;
mod seats;
