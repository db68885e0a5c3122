//! Payloads that go as memory from node to node: the descriptor is passed on, or its bytes in pieces where that cannot be.
//!
//! Memory is its sender's, who has it back when whoever it was passed on to has read it, or is gone. To a node that takes
//! none, has as much to read as it may, or for which bytes wait, the payload goes in pieces at the pace of the receiver.

use super::batch::PIECES_SOFT_BYTES;
use super::hub::Hub;
use super::peer::Peer;
use crate::error::CoreError;
use crate::handshake::decode_error;
use crate::memory::{Arrived, Memory};
use crate::panics;
use crate::transport::Address;
use daffi_protocol::limits::{FRAGMENT_BYTES, HEADER_BYTES, MAX_LOANS};
use daffi_protocol::{DecodeError, ErrorCode, Header, Kind, extension, flags};
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// What is lent between a node and the controller.
#[derive(Debug, Default)]
pub(super) struct Loans {
    offer: Cell<Offer>,
    /// From the node, and not given back.
    from: Cell<usize>,
    /// To the node, by its number there: whose it is, and its number with that one.
    to: RefCell<FxHashMap<u32, (Rc<Peer>, u32)>>,
    last_number: Cell<u32>,
}

/// How far both sides have agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
enum Offer {
    /// The node has not been heard of.
    #[default]
    Undecided,
    /// The node may send no memory, and gets none.
    Withheld,
    /// The node was told that it may send memory.
    Made,
    /// It has said that it takes some, too, and the memory that it showed did not come.
    OneWay,
    /// It came.
    BothWays,
}

impl Loans {
    /// The node sends memory; false when it may not.
    pub fn begin(&self) -> bool {
        self.from.set(self.from.get() + 1);
        self.offer.get() >= Offer::Made && self.from.get() <= MAX_LOANS
    }

    /// Whether more may be sent to the node.
    pub fn may_go(&self) -> bool {
        self.offer.get() == Offer::BothWays && self.to.borrow().len() < MAX_LOANS
    }

    /// A number for what is sent to the node next; never 0.
    fn next_number(&self) -> u32 {
        self.last_number.set(self.last_number.get().checked_add(1).unwrap_or(1));
        self.last_number.get()
    }

    /// Whether nothing was decided yet.
    pub fn is_new(&self) -> bool {
        self.offer.get() == Offer::Undecided
    }

    /// The node takes memory, if its word for that came with some; false when it may not say so.
    pub fn accept(&self, arrived: Option<Arrived>) -> bool {
        if self.offer.get() != Offer::Made {
            return false;
        }
        self.offer.set(if arrived.flatten().is_some() { Offer::BothWays } else { Offer::OneWay });
        true
    }

    /// The node has read memory; false when it has not got that.
    pub fn end(&self, hub: &Hub, number: u32) -> bool {
        let lent = self.to.borrow_mut().remove(&number);
        if let Some((owner, number)) = &lent {
            give_back(hub, owner, *number);
        }
        lent.is_some()
    }

    /// The node is gone: what it has not read is over, too.
    pub fn end_all(&self, hub: &Hub) {
        for (owner, number) in self.to.take().into_values() {
            give_back(hub, &owner, number);
        }
    }
}

/// Lets a node send memory from its first frame on, if it can, and others may take it, too. This comes with some: who
/// stands between and passes bytes on would lose it.
///
/// Who has read memory can look at what it holds later. So all must be nodes of one user that may do what they like.
pub(super) fn begin(hub: &Rc<Hub>, peer: &Rc<Peer>) {
    peer.loans.offer.set(Offer::Withheld);
    let is_alone = matches!(hub.options.address, Some(Address::Tcp { .. }));
    if !peer.identity.memory || !peer.is_local || is_alone || hub.options.grants.is_some() {
        return;
    }
    let frame = Header::new(Kind::Returned).encode();
    if Memory::create().is_ok_and(|memory| peer.send_memory(hub, &frame, &memory)) {
        peer.loans.offer.set(Offer::Made);
    }
}

/// Whether memory came along for which this frame stands.
pub(super) const fn goes_with(header: Header) -> bool {
    header.flags & flags::MEMORY != 0 && header.kind.is_part()
}

/// The memory of a part, which counts as lent by the node until it is given back. `None` when there was no descriptor left
/// for it.
pub(super) fn take(peer: &Peer, header: Header, arrived: &mut VecDeque<Arrived>) -> Result<Option<Memory>, CoreError> {
    let missing = || decode_error(DecodeError::MissingMemory(header.kind));
    let arrived = arrived.pop_front().filter(|_| header.payload_len() == 0).ok_or_else(missing)?;
    let memory = arrived.map(Memory::received).transpose().map_err(|_| missing())?;
    if !peer.loans.begin() {
        return Err(CoreError::new(ErrorCode::Protocol, "The node sent more memory than it may."));
    }
    Ok(memory)
}

/// A payload on its way through.
#[derive(Debug)]
pub(super) struct Passing {
    /// `None` when nobody wants it any more.
    pub target: Option<Rc<Peer>>,
    /// Of its one part, as the receiver sees it.
    pub header: Header,
    pub memory: Memory,
    /// Bytes of it, as announced.
    pub bytes: u64,
}

impl Passing {
    /// Sends it on, as memory or in pieces.
    pub fn pass_on(self, hub: &Rc<Hub>, owner: &Rc<Peer>) {
        let number = self.header.callback;
        let Some(target) = self.target.clone() else { return give_back(hub, owner, number) };
        let entry = extension::entry(extension::TAG_TOTAL, 0, &[self.bytes]);
        let callback = target.loans.next_number();
        if target.loans.may_go()
            && target.send_memory(hub, &Header { callback, ..self.header }.frame(&entry), &self.memory)
        {
            target.loans.to.borrow_mut().insert(callback, (Rc::clone(owner), number));
            return;
        }
        let (hub, owner) = (Rc::clone(hub), Rc::clone(owner));
        tokio::task::spawn_local(async move {
            if panics::catch(self.send_pieces(&hub, &owner, &target)).await.is_none() {
                hub.fail(&target, ErrorCode::ConnectionLost);
            }
            give_back(&hub, &owner, number);
            hub.settle();
        });
    }

    async fn send_pieces(&self, hub: &Rc<Hub>, owner: &Rc<Peer>, target: &Rc<Peer>) {
        let mut at = 0;
        while at < self.bytes {
            while target.queued() > PIECES_SOFT_BYTES && !target.is_gone.get() {
                target.room.notified().await;
            }
            // Whoever waits for a payload of a node that has left has been told so.
            if target.is_gone.get() || owner.is_gone.get() {
                return;
            }
            let left = self.bytes - at;
            let piece = u32::try_from(left).unwrap_or(u32::MAX).min(FRAGMENT_BYTES);
            let flags = if u64::from(piece) == left { flags::LAST } else { 0 };
            let header = Header { flags, body_len: piece, ext_len: 0, callback: 0, ..self.header };
            let mut frame = hub.take_buffer(header.frame_len());
            frame.resize(header.frame_len(), 0);
            header.write_over(&mut frame);
            let body = frame.get_mut(HEADER_BYTES..HEADER_BYTES + piece as usize).unwrap_or_default();
            let is_whole = self.memory.read(body, at).is_ok();
            if !is_whole {
                // Shorter than announced: the receiver refuses what it has so far.
                Header { flags: flags::LAST, ..header }.write_over(&mut frame);
            }
            target.send_owned(hub, frame);
            hub.settle();
            if !is_whole {
                return;
            }
            at += u64::from(piece);
            tokio::task::yield_now().await;
        }
    }
}

/// The owner of memory may use it again.
pub(super) fn give_back(hub: &Hub, owner: &Peer, number: u32) {
    if !owner.is_gone.get() {
        owner.loans.from.set(owner.loans.from.get().saturating_sub(1));
        hub.answer_later(owner.index, Header { callback: number, ..Header::new(Kind::Returned) }.encode());
    }
}
