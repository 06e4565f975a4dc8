//! Transactions, dialogs and the endpoint that owns them, driven message by message with a time of their own.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![expect(clippy::indexing_slicing, reason = "a helper of a test fails the test")]
mod bench;
mod cancel;
mod client;
mod dialogs;
mod hostile;
mod rows;
mod server;
mod story;
