//! What has changed in the registry, as each node is to be told it.
//!
//! Changes are noted as their net effect until they are taken, so that a burst of joins or a flood
//! of registrations costs what is left of it in the end.

use daffi_protocol::control::RegistryChange;
use daffi_protocol::limits::MAX_FRAME_BODY_BYTES;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

/// What has changed and was not told yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub joined: Vec<(u32, String)>,
    /// Some joined, though they may have left again.
    had_newcomers: bool,
    pub names: Vec<(u32, String)>,
    pub exposes: BTreeMap<u32, BTreeSet<u32>>,
    pub withdraws: BTreeMap<u32, BTreeSet<u32>>,
    left: Vec<Left>,
    /// Which of `joined` a node was told of before all others are.
    introduced: BTreeMap<u32, BTreeSet<u32>>,
    introductions: usize,
}

/// A node that left, and which nodes had been told of it: those of the indexes `first..=last`.
#[derive(Debug)]
struct Left {
    index: u32,
    /// 0 for one that all were told of; else its own index: only later welcomes held it.
    first: u32,
    /// The last index given when it left.
    last: u32,
}

impl Pending {
    pub fn join(&mut self, index: u32, name: &str) {
        self.joined.push((index, name.to_owned()));
        self.had_newcomers = true;
    }

    /// A node left; `last` is the last index given by now.
    pub fn leave(&mut self, index: u32, last: u32) {
        self.exposes.remove(&index);
        self.withdraws.remove(&index);
        self.introduced.remove(&index);
        let untold = self.joined.len();
        self.joined.retain(|(joined, _)| *joined != index);
        let first = if self.joined.len() == untold { 0 } else { index };
        self.left.push(Left { index, first, last });
    }

    pub fn name(&mut self, id: u32, name: &str) {
        self.names.push((id, name.to_owned()));
    }

    pub fn expose(&mut self, index: u32, id: u32) {
        // Undone and not told: nobody but newcomers, whose welcome held it, need know.
        if !take(&mut self.withdraws, index, id) || self.had_newcomers {
            self.exposes.entry(index).or_default().insert(id);
        }
    }

    pub fn withdraw(&mut self, index: u32, id: u32) {
        if !take(&mut self.exposes, index, id) || self.had_newcomers {
            self.withdraws.entry(index).or_default().insert(id);
        }
    }

    /// Whether `to` must be told of `node` before all others are; then it counts as told.
    pub fn introduce(&mut self, node: u32, to: u32) -> bool {
        // The welcome of a later node held it.
        if to >= node || self.joined.binary_search_by_key(&node, |(index, _)| *index).is_err() {
            return false;
        }
        let is_new = self.introduced.entry(to).or_default().insert(node);
        self.introductions += usize::from(is_new);
        is_new
    }

    pub const fn is_full_of_introductions(&self) -> bool {
        self.introductions >= MAX_INTRODUCTIONS
    }

    pub fn is_changed(&self) -> bool {
        let Self { joined, exposes, withdraws, left, .. } = self;
        !(joined.is_empty() && exposes.is_empty() && withdraws.is_empty() && left.is_empty())
    }

    /// As it is told, without the names of which nobody exposes one any more.
    pub fn told(mut self, is_exposed: impl Fn(u32) -> bool) -> Changes {
        self.names.retain(|(id, _)| is_exposed(*id));
        Changes(self)
    }
}

/// Changes that were taken to be told.
#[derive(Debug)]
pub struct Changes(Pending);

impl Changes {
    /// What nodes are told that knew all before and changed nothing themselves.
    #[must_use]
    pub fn for_others(&self) -> RegistryChange {
        self.filtered(|_| true, |_| true, |left| left.first == 0)
    }

    /// What `node` is told when that differs from the others: `None` when it does not.
    ///
    /// It differs for a newcomer, whose welcome held a part, for a node that was told its own
    /// registrations at once, and for one to which newcomers were introduced.
    #[must_use]
    pub fn for_node(&self, node: u32) -> Option<RegistryChange> {
        let Pending { joined, exposes, withdraws, introduced, .. } = &self.0;
        let is_new = joined.first().is_some_and(|(first, _)| *first <= node);
        let introduced = introduced.get(&node);
        if !is_new && introduced.is_none() && !exposes.contains_key(&node) && !withdraws.contains_key(&node) {
            return None;
        }
        let knows = |index| introduced.is_some_and(|introduced| introduced.contains(&index));
        Some(self.filtered(
            |index| index > node && !knows(index),
            |index| index != node,
            |left| (left.first..=left.last).contains(&node) || knows(left.index),
        ))
    }

    /// How many joined before `node` of those of which is told; `None` for a node that was there before, and for one to
    /// which some of them were introduced. What such a newcomer is told of itself it knows already.
    #[must_use]
    pub fn position(&self, node: u32) -> Option<usize> {
        let Pending { joined, introduced, .. } = &self.0;
        joined.binary_search_by_key(&node, |(index, _)| *index).ok().filter(|_| !introduced.contains_key(&node))
    }

    /// Who left, as far as `node` knew of them.
    #[must_use]
    pub fn left_for(&self, node: u32) -> RegistryChange {
        let knew = self.0.left.iter().filter(|left| (left.first..=left.last).contains(&node));
        RegistryChange { left: knew.map(|left| left.index).collect(), ..RegistryChange::default() }
    }

    pub(super) const fn pending(&self) -> &Pending {
        &self.0
    }

    fn filtered(
        &self,
        tells_join: impl Fn(u32) -> bool,
        tells_of: impl Fn(u32) -> bool,
        tells_left: impl Fn(&Left) -> bool,
    ) -> RegistryChange {
        let list = |map: &BTreeMap<u32, BTreeSet<u32>>| {
            let told = map.iter().filter(|(index, ids)| tells_of(**index) && !ids.is_empty());
            told.map(|(index, ids)| (*index, ids.iter().copied().collect())).collect()
        };
        RegistryChange {
            joined: self.0.joined.iter().filter(|(index, _)| tells_join(*index)).cloned().collect(),
            names: self.0.names.clone(),
            exposes: list(&self.0.exposes),
            withdraws: list(&self.0.withdraws),
            left: self.0.left.iter().filter(|left| tells_left(left)).map(|left| left.index).collect(),
        }
    }
}

/// Takes `id` out of the set of `index`, and the set away with its last id.
fn take(map: &mut BTreeMap<u32, BTreeSet<u32>>, index: u32, id: u32) -> bool {
    let Some(ids) = map.get_mut(&index) else { return false };
    let taken = ids.remove(&id);
    if ids.is_empty() {
        map.remove(&index);
    }
    taken
}

/// Cuts a change into pieces that each fit into one frame, to be applied in order.
#[must_use]
pub fn split(change: RegistryChange) -> Vec<RegistryChange> {
    let mut cutter = Cutter::default();
    for joined in change.joined {
        cutter.room(joined.1.len() + ENTRY_BYTES).joined.push(joined);
    }
    for named in change.names {
        cutter.room(named.1.len() + ENTRY_BYTES).names.push(named);
    }
    for (node, ids) in change.exposes {
        for ids in ids.chunks(IDS_A_PIECE) {
            cutter.room(ids.len() * ID_BYTES + ENTRY_BYTES).exposes.push((node, ids.to_vec()));
        }
    }
    for (node, ids) in change.withdraws {
        for ids in ids.chunks(IDS_A_PIECE) {
            cutter.room(ids.len() * ID_BYTES + ENTRY_BYTES).withdraws.push((node, ids.to_vec()));
        }
    }
    for index in change.left {
        cutter.room(ID_BYTES).left.push(index);
    }
    cutter.finish()
}

#[derive(Default)]
struct Cutter {
    whole: Vec<RegistryChange>,
    open: RegistryChange,
    bytes: usize,
}

impl Cutter {
    /// The piece to put an item of `bytes` bytes into.
    fn room(&mut self, bytes: usize) -> &mut RegistryChange {
        if self.bytes + bytes > PIECE_BYTES {
            self.whole.push(mem::take(&mut self.open));
            self.bytes = 0;
        }
        self.bytes += bytes;
        &mut self.open
    }

    fn finish(mut self) -> Vec<RegistryChange> {
        if !self.open.is_empty() {
            self.whole.push(self.open);
        }
        self.whole
    }
}

/// Introductions until all are told: a megabyte or two.
const MAX_INTRODUCTIONS: usize = 65_536;
/// What MessagePack spends on an id.
pub(super) const ID_BYTES: usize = 5;
/// What MessagePack spends on an entry beside its name or ids.
pub(super) const ENTRY_BYTES: usize = 16;
/// Ids of one node that travel in one entry.
pub(super) const IDS_A_PIECE: usize = 16 * 1024;
/// Half a frame: leaves room for the other fields of a welcome.
pub(super) const PIECE_BYTES: usize = MAX_FRAME_BODY_BYTES as usize / 2;
