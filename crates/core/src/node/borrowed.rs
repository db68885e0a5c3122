//! A payload that lies in memory of its sender until JavaScript has a place for it.

use crate::memory::Memory;
use crate::node::line::Line;
use crate::node::spares::Payload;
use std::sync::Arc;

/// A large payload that has arrived.
#[derive(Debug)]
pub enum Big {
    /// In memory of ours.
    Read(Payload),
    /// In memory of its sender.
    Borrowed(Borrowed),
}

impl Big {
    /// Its bytes, copied.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Read(payload) => payload.to_vec(),
            Self::Borrowed(payload) => {
                let mut bytes = vec![0; payload.len()];
                payload.copy_to(&mut bytes);
                bytes
            }
        }
    }
}

/// What the sender has back when it is dropped.
#[derive(Debug)]
pub struct Borrowed {
    pub(super) lent: Lent,
    pub(super) line: Arc<Line>,
}

/// Memory, and what was looked at of it.
#[derive(Debug)]
pub(super) struct Lent {
    pub memory: Memory,
    /// What its sender knows it by.
    pub number: u32,
    /// Bytes of the payload.
    pub total: usize,
    /// The first of them, which its MessagePack is: what is decoded must be what was looked at.
    pub head: Vec<u8>,
}

impl Borrowed {
    /// Bytes of the payload.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.lent.total
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lent.total == 0
    }

    /// Copies all of it to `into`, which is as long. What the sender took away meanwhile is zeros: it could have sent these.
    pub fn copy_to(&self, into: &mut [u8]) {
        let Lent { memory, head, .. } = &self.lent;
        let Some((front, rest)) = into.split_at_mut_checked(head.len()) else { return };
        front.copy_from_slice(head);
        if memory.read(rest, head.len() as u64).is_err() {
            rest.fill(0);
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.line.give_back(self.lent.number);
    }
}
