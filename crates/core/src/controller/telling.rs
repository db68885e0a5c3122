//! What each node is told of changes, encoded as seldom as can be. Pure.
//!
//! Most are told the same. Those that came since the last time know a part: each is told of who came behind it, which
//! is the end of what the one before it is told. So that is encoded once, and cut.

use super::changes::{Changes, ENTRY_BYTES, ID_BYTES, IDS_A_PIECE, PIECE_BYTES, Pending, split};
use super::snapshot::frame;
use bytes::Bytes;
use daffi_protocol::control::{self, RegistryChange};
use daffi_protocol::growing::GrowingChange;
use daffi_protocol::{Header, Kind};

/// Changes that are being told.
#[derive(Debug)]
pub struct Telling {
    changes: Changes,
    for_others: Vec<Bytes>,
    news: Option<News>,
}

impl Telling {
    /// Tells these changes.
    #[must_use]
    pub fn new(changes: Changes) -> Self {
        Self { for_others: frames(changes.for_others()), changes, news: None }
    }

    /// The frames for `node`.
    pub fn frames(&mut self, node: u32) -> Vec<Bytes> {
        let Some(position) = self.changes.position(node) else {
            return self.changes.for_node(node).map_or_else(|| self.for_others.clone(), frames);
        };
        let news = self.news.get_or_insert_with(|| News::of(self.changes.pending()));
        let mut told: Vec<Bytes> = news.behind(position).collect();
        told.extend(frames(self.changes.left_for(node)));
        told
    }
}

/// The frames of a change.
#[must_use]
pub fn frames(change: RegistryChange) -> Vec<Bytes> {
    let encode = |piece| control::frame(Kind::RegistryChange, &piece).unwrap_or_default().into();
    split(change).into_iter().map(encode).collect()
}

/// What those are told that joined since all were told last.
#[derive(Debug, Default)]
struct News {
    /// Changes, to be applied in order, and how many nodes joined before those of each.
    pieces: Vec<(usize, GrowingChange)>,
    /// The frames of these.
    frames: Vec<Bytes>,
}

impl News {
    fn of(pending: &Pending) -> Self {
        let mut news = Self::default();
        for (position, (index, name)) in pending.joined.iter().enumerate() {
            news.add(position, name.len() + ENTRY_BYTES, |open| open.join(*index, name));
        }
        let all = pending.joined.len();
        for (id, name) in &pending.names {
            news.add(all, name.len() + ENTRY_BYTES, |open| open.name(*id, name));
        }
        let mut list = Vec::new();
        for (exposes, nodes) in [(true, &pending.exposes), (false, &pending.withdraws)] {
            for (node, ids) in nodes {
                list.clear();
                list.extend(ids);
                for ids in list.chunks(IDS_A_PIECE) {
                    news.add(all, ids.len() * ID_BYTES + ENTRY_BYTES, |open| {
                        if exposes { open.expose(*node, ids) } else { open.withdraw(*node, ids) }
                    });
                }
            }
        }
        news.frames = news.pieces.iter().map(|(_, piece)| frame(piece)).collect();
        news
    }

    /// The frames for the node that joined behind `position` others: what came behind it.
    fn behind(&self, position: usize) -> impl Iterator<Item = Bytes> {
        // The last piece that begins with it or with one before it.
        let at = self.pieces.partition_point(|(joined, _)| *joined <= position).saturating_sub(1);
        let own = self.pieces.get(at).and_then(|(joined, piece)| {
            let known = position + 1 - joined;
            let body = piece.body_without(known).unwrap_or_default();
            (!piece.is_empty_without(known)).then(|| Header::new(Kind::RegistryChange).frame(&body).into())
        });
        own.into_iter().chain(self.frames.get(at + 1..).unwrap_or_default().iter().cloned())
    }

    /// Adds an item of `bytes` bytes behind `joined` nodes that joined.
    fn add(&mut self, joined: usize, bytes: usize, add: impl FnOnce(&mut GrowingChange)) {
        if self.pieces.last().is_none_or(|(_, open)| open.len() + bytes > PIECE_BYTES) {
            self.pieces.push((joined, GrowingChange::default()));
        }
        if let Some((_, open)) = self.pieces.last_mut() {
            add(open);
        }
    }
}
