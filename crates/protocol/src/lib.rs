//! The wire format of daffi.
//!
//! Bytes in, frames out. This crate opens no socket, reads no clock, starts no task and writes no
//! log; time is an argument where it matters. Everything a second implementation needs is told in
//! `docs/protocol.md`; the golden vectors under `tests/golden` hold both to the same bytes.
//!
//! # Layout
//!
//! A connection opens with the eight bytes of [`PREAMBLE`] from the connecting side, then both
//! sides send frames. A frame is a [`Header`] of 24 bytes, a body of `body_len` bytes and up to
//! seven zero bytes, so that every header starts at a multiple of eight.

pub mod codec;
pub mod control;
pub mod error_code;
pub mod extension;
pub mod growing;
pub mod kind;
pub mod limits;
pub mod prescan;

pub use codec::{DecodeError, Header, frame_len, padded};
pub use error_code::ErrorCode;
pub use kind::{Kind, flags};

/// First bytes of a connection, sent by the side that connected: a byte no text protocol starts
/// with, the name, the version of the layout, and zeros up to eight bytes.
pub const PREAMBLE: [u8; 8] = [0xDA, b'd', b'a', b'f', b'f', b'i', VERSION, 0];

/// Version of the frame layout. A controller refuses every other one with
/// [`ErrorCode::VersionMismatch`].
pub const VERSION: u8 = 1;
