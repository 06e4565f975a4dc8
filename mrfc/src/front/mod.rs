//! The SIP server.
mod authenticate;
mod offer;
mod register;
mod screen;
mod target;
