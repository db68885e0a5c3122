//! What a newcomer is told, encoded once for all newcomers. Pure.
//!
//! While thousands join, each is told of all before it. So what is known is kept in its encoded form, to which a node
//! that joins or registers adds its own few bytes. What is taken back makes it stale, and it is encoded anew when it
//! is next asked for.

use super::changes::{ENTRY_BYTES, ID_BYTES, IDS_A_PIECE, PIECE_BYTES};
use bytes::Bytes;
use daffi_protocol::growing::GrowingChange;
use daffi_protocol::{Header, Kind};
use std::mem;

/// All that is known as registry changes, the last of which grows.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The body of the first, once it is as large as it may be.
    first: Option<Bytes>,
    /// The frames of further ones that are.
    whole: Vec<Bytes>,
    open: GrowingChange,
    /// Takes what is new. Without it nothing is kept.
    is_kept: bool,
}

/// What a newcomer is told, to be applied in order.
#[derive(Debug)]
pub struct Told {
    /// The MessagePack of the change that stands in its welcome.
    pub first: Bytes,
    /// Frames of further changes.
    pub rest: Vec<Bytes>,
}

impl Snapshot {
    /// Whether it holds all that is known.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// From now on it holds all that is known, which is to be added.
    pub const fn begin(&mut self) {
        self.is_kept = true;
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        if self.is_kept {
            *self = Self::default();
        }
    }

    /// A node that joined.
    pub fn join(&mut self, index: u32, name: &str) {
        if let Some(open) = self.room(name.len() + ENTRY_BYTES) {
            open.join(index, name);
        }
    }

    /// A name that is new.
    pub fn name(&mut self, id: u32, name: &str) {
        if let Some(open) = self.room(name.len() + ENTRY_BYTES) {
            open.name(id, name);
        }
    }

    /// Callbacks that a node exposes, of names that were told before.
    pub fn expose(&mut self, node: u32, ids: &[u32]) {
        for ids in ids.chunks(IDS_A_PIECE) {
            if let Some(open) = self.room(ids.len() * ID_BYTES + ENTRY_BYTES) {
                open.expose(node, ids);
            }
        }
    }

    /// All that was added.
    #[must_use]
    pub fn told(&self) -> Told {
        let Some(first) = &self.first else {
            return Told { first: body(&self.open), rest: Vec::new() };
        };
        let mut rest = self.whole.clone();
        if !self.open.is_empty() {
            rest.push(frame(&self.open));
        }
        Told { first: first.clone(), rest }
    }

    /// Where an item of `bytes` bytes goes; `None` when nothing is kept.
    fn room(&mut self, bytes: usize) -> Option<&mut GrowingChange> {
        if !self.is_kept {
            return None;
        }
        if self.open.len() + bytes > PIECE_BYTES {
            let whole = mem::take(&mut self.open);
            if self.first.is_none() {
                self.first = Some(body(&whole));
            } else {
                self.whole.push(frame(&whole));
            }
        }
        Some(&mut self.open)
    }
}

fn body(change: &GrowingChange) -> Bytes {
    change.body().unwrap_or_default().into()
}

pub(super) fn frame(change: &GrowingChange) -> Bytes {
    Header::new(Kind::RegistryChange).frame(&body(change)).into()
}
