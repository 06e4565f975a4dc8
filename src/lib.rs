//! A whole system on loopback: certificates, configuration, users, and both servers as child processes. The `conclave`
//! command and the load generator play on it. A deployment needs nothing from here.
//!
//! | file | what it is |
//! |---|---|
//! | `system` | makes the folder of a system, starts it, and says how to reach it |
//! | `children` | runs a server as a child process of this executable |
//! | `servers` | both servers as subcommands of this executable |
pub mod children;
pub mod servers;
pub mod system;
