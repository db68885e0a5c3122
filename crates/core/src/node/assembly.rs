//! Big payloads that arrive, in pieces or as memory of the sender.
//!
//! Their total is held against the limits when they are announced. Memory for pieces is reserved with the first that has
//! some bytes; the system backs it with pages only as these arrive.

use crate::memory::Memory;
use crate::node::borrowed::Lent;
use crate::node::inbox::is_sound;
use crate::node::spares::{Payload, Spares};
use daffi_protocol::limits::FRAGMENT_BYTES;
use daffi_protocol::{ErrorCode, Header, Kind, extension, flags};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What a node accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest payload, in bytes.
    pub max_payload: u64,
    /// Most bytes of all payloads that are arriving or wait to be taken.
    pub max_assembling: u64,
}

/// A payload that has ended.
#[derive(Debug)]
pub(super) enum Completed {
    /// Whole; to be taken with the token when `sound`, else already dropped, and the memory of number `over` is its owner's again.
    Ready { header: Header, extension: Vec<u8>, token: u32, sound: bool, over: Option<u32> },
}

#[derive(Debug)]
pub(super) struct Assemblies {
    limits: Limits,
    /// Where their memory comes from, and goes.
    spares: Arc<Spares>,
    arriving: FxHashMap<Key, Assembly>,
    /// What lies in memory and is too much to be copied at once, the front one next.
    copying: VecDeque<Copying>,
    ready: FxHashMap<u32, Ready>,
    /// Bytes announced by all that are arriving and held by all that are ready.
    reserved: u64,
    next_token: u32,
}

/// Which call, and which of its payloads: a node is caller and callee on one connection.
type Key = (Kind, u32, u32);

#[derive(Debug)]
struct Assembly {
    header: Header,
    extension: Vec<u8>,
    total: usize,
    /// Empty, or with room for all.
    payload: Vec<u8>,
    /// The whole of it, where it lies in memory of the sender.
    lent: Option<Lent>,
    /// It is copied from there, bit by bit.
    is_copying: bool,
}

/// Memory of the sender that is being copied.
#[derive(Debug)]
struct Copying {
    /// The part that it came with.
    header: Header,
    memory: Memory,
    number: u32,
    /// Bytes copied so far.
    at: usize,
}

/// What [`Assemblies::copy_some`] did.
#[derive(Debug)]
pub(super) enum Copied {
    /// There is more to copy.
    Some,
    /// Memory of this number is its owner's again, and with this part its payload has ended; `None` when nobody wants that any more.
    All(Option<Header>, u32),
}

/// A payload that waits to be taken.
#[derive(Debug)]
pub(super) enum Ready {
    Read(Payload),
    Lent(Lent),
}

impl Ready {
    fn len(&self) -> usize {
        match self {
            Self::Read(payload) => payload.len(),
            Self::Lent(lent) => lent.total,
        }
    }
}

impl Assemblies {
    pub(super) fn new(limits: Limits, spares: Arc<Spares>) -> Self {
        Self {
            limits,
            spares,
            arriving: FxHashMap::default(),
            copying: VecDeque::new(),
            ready: FxHashMap::default(),
            reserved: 0,
            next_token: 1,
        }
    }

    /// Whether no payload is arriving.
    pub(super) fn is_empty(&self) -> bool {
        self.arriving.is_empty()
    }

    /// Whether there is something for [`Assemblies::copy_some`] to do.
    pub(super) fn is_copying(&self) -> bool {
        !self.copying.is_empty()
    }

    /// Payloads that are arriving or wait to be taken, and the bytes reserved for them.
    pub(super) fn held(&self) -> (usize, u64) {
        (self.arriving.len() + self.ready.len(), self.reserved)
    }

    /// Whether a payload of so many bytes is over the limit of this node.
    pub(super) const fn is_too_large(&self, bytes: u64) -> bool {
        bytes > self.limits.max_payload
    }

    /// Begins the payload that `header` announces. Its frame may hold the first piece or not.
    pub(super) fn begin(&mut self, header: &Header, extension: &[u8]) -> Result<(), ErrorCode> {
        let total = extension::total(extension).unwrap_or(0);
        if self.is_too_large(total) {
            return Err(ErrorCode::PayloadTooLarge);
        }
        if self.reserved + total > self.limits.max_assembling || self.arriving.len() >= MAX_ARRIVING {
            return Err(ErrorCode::Overloaded);
        }
        let total_len = usize::try_from(total).map_err(|_| ErrorCode::PayloadTooLarge)?;
        let mut payload = Vec::new();
        if header.payload_len() > 0 {
            payload = self.spares.take(total_len).map_err(|_| ErrorCode::Overloaded)?;
        }
        let extension = extension.to_vec();
        let assembly =
            Assembly { header: *header, extension, total: total_len, payload, lent: None, is_copying: false };
        if let Some(before) = self.arriving.insert(key(header), assembly) {
            self.reserved -= before.total as u64;
        }
        self.reserved += total;
        Ok(())
    }

    /// Where the next `left` bytes of `header`'s payload belong; `None` when nobody wants them.
    pub(super) fn space(&mut self, header: &Header, left: usize) -> Option<&mut [u8]> {
        let assembly = self.arriving.get_mut(&key(header))?;
        let filled = assembly.payload.len();
        if filled + left > assembly.total || !assembly.has_room(&self.spares) {
            return None;
        }
        let spare = assembly.payload.spare_capacity_mut().get_mut(..left)?;
        // SAFETY: the bytes are only written to, by readv, and `advance` counts in what was written.
        Some(unsafe { std::slice::from_raw_parts_mut(spare.as_mut_ptr().cast(), spare.len()) })
    }

    /// Counts in `bytes` that were read into [`Assemblies::space`].
    pub(super) fn advance(&mut self, header: &Header, bytes: usize) {
        if let Some(assembly) = self.arriving.get_mut(&key(header)) {
            let filled = assembly.payload.len() + bytes;
            if filled <= assembly.total {
                // SAFETY: `bytes` of the spare capacity were just written.
                unsafe { assembly.payload.set_len(filled) };
            }
        }
    }

    /// Copies bytes of a piece that came together with other frames.
    pub(super) fn append(&mut self, header: &Header, bytes: &[u8]) {
        if !bytes.is_empty()
            && let Some(assembly) = self.arriving.get_mut(&key(header))
            && assembly.payload.len() + bytes.len() <= assembly.total
            && assembly.has_room(&self.spares)
        {
            assembly.payload.extend_from_slice(bytes);
        }
    }

    /// Takes the whole of `header`'s payload, which lies in `memory` of this number. Gives the number back when the memory
    /// is not needed any more: unless raw bytes in it wait for JavaScript to have a place for them.
    pub(super) fn lend(&mut self, header: &Header, memory: Memory, number: u32) -> Option<u32> {
        let assembly = self.arriving.get_mut(&key(header)).filter(|assembly| assembly.payload.is_empty());
        let Some(assembly) = assembly else { return Some(number) };
        let total = assembly.total;
        let is_attached = assembly.header.flags & flags::ATTACHED != 0;
        let message = extension::message_pack_len(&assembly.extension).filter(|_| is_attached).map(|len| len as usize);
        if let Some(len) = message.filter(|len| *len <= MOST_HEAD_BYTES && BORROWED_BYTES.contains(&total)) {
            let mut head = vec![0; len];
            if memory.read(&mut head, 0).is_ok() {
                assembly.lent = Some(Lent { memory, number, total, head });
                return None;
            }
        } else if total > MOST_COPIED_BYTES {
            assembly.is_copying = true;
            self.copying.push_back(Copying { header: *header, memory, number, at: 0 });
            return None;
        } else if let Some(space) = self.space(header, total)
            && memory.read(space, 0).is_ok()
        {
            self.advance(header, total);
        }
        Some(number)
    }

    /// Copies as much as a piece has of a payload that lies in memory. `None` when there is none.
    pub(super) fn copy_some(&mut self) -> Option<Copied> {
        let mut copying = self.copying.pop_front()?;
        let header = copying.header;
        let assembly = self.arriving.get(&key(&header));
        let wanted = assembly.filter(|assembly| assembly.is_copying && assembly.payload.len() == copying.at);
        let Some(left) = wanted.map(|assembly| assembly.total - copying.at) else {
            return Some(Copied::All(None, copying.number));
        };
        let bytes = left.min(FRAGMENT_BYTES as usize);
        let space = self.space(&header, bytes);
        if space.is_some_and(|space| copying.memory.read(space, copying.at as u64).is_ok()) {
            self.advance(&header, bytes);
            copying.at += bytes;
            if bytes < left {
                self.copying.push_front(copying);
                return Some(Copied::Some);
            }
        }
        if let Some(assembly) = self.arriving.get_mut(&key(&header)) {
            assembly.is_copying = false;
        }
        Some(Copied::All(Some(header), copying.number))
    }

    /// A piece has ended: the payload with it, when it was the last.
    pub(super) fn end_piece(&mut self, header: &Header) -> Option<Completed> {
        let key = key(header);
        let assembly = self.arriving.get(&key).filter(|assembly| !assembly.is_copying)?;
        let whole = assembly.lent.is_some() || assembly.payload.len() == assembly.total;
        if !whole && header.flags & flags::LAST == 0 {
            return None;
        }
        let Assembly { header, extension, payload, lent, total, .. } = self.arriving.remove(&key)?;
        let sound = whole && is_sound(&header, &extension, lent.as_ref().map_or(&payload, |lent| &lent.head));
        let over = lent.as_ref().filter(|_| !sound).map(|lent| lent.number);
        let payload = Payload::new(payload, Arc::clone(&self.spares));
        let ready = lent.map_or(Ready::Read(payload), Ready::Lent);
        let token = self.next_token;
        if sound {
            self.next_token = self.next_token.wrapping_add(1);
            self.ready.insert(token, ready);
        } else {
            self.reserved -= total as u64;
        }
        Some(Completed::Ready { header, extension, token, sound, over })
    }

    /// The payload with this token, once.
    pub(super) fn take(&mut self, token: u32) -> Option<Ready> {
        let ready = self.ready.remove(&token)?;
        self.reserved -= ready.len() as u64;
        Some(ready)
    }

    /// What is arriving of this kind for `header`'s call is no longer wanted; gives the header it began with.
    pub(super) fn drop_payload(&mut self, kind: Kind, header: &Header) -> Option<Header> {
        if self.arriving.is_empty() {
            return None;
        }
        let assembly = self.arriving.remove(&(kind.part(), header.slot, header.generation))?;
        self.reserved -= assembly.total as u64;
        self.spares.give_back(assembly.payload);
        Some(assembly.header)
    }
}

impl Assembly {
    /// Whether there is memory for its pieces, by now.
    fn has_room(&mut self, spares: &Spares) -> bool {
        if self.payload.capacity() < self.total
            && let Ok(memory) = spares.take(self.total)
        {
            self.payload = memory;
        }
        self.payload.capacity() >= self.total
    }
}

fn key(header: &Header) -> Key {
    let kind = match header.kind {
        Kind::ResponsePart | Kind::CallerItemsPart | Kind::CalleeItemsPart => header.kind,
        kind => kind.part(),
    };
    (kind, header.slot, header.generation)
}

/// Payloads that wait in memory of the sender until JavaScript has memory of its own for them: some of them are more than it
/// collects at. That of larger ones the allocator gives back to the system each time, so ours is better there.
const BORROWED_BYTES: RangeInclusive<usize> = 8 * 1024 * 1024..=32 * 1024 * 1024;

/// Most that is copied from memory at once: in a few milliseconds, in which JavaScript does nothing else.
const MOST_COPIED_BYTES: usize = 8 * 1024 * 1024;

/// Longest MessagePack that is looked at apart from the raw bytes behind it.
const MOST_HEAD_BYTES: usize = 64 * 1024;

/// Most payloads that may arrive at once on one connection.
const MAX_ARRIVING: usize = 1024;
