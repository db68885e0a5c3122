//! Controller and node of daffi on tokio.
//!
//! A payload is opaque here, but for the pre-scan of what arrives at a node. No Node-API, no JSON.

pub mod auth;
pub mod controller;
pub mod error;
pub mod handshake;
mod heartbeat;
pub mod memory;
pub mod node;
pub mod panics;
mod pattern;
pub mod runtime;
pub mod socket;
pub mod spin;
pub mod tls;
pub mod transport;
