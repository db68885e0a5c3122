//! The two tables of a node that tie the frames of a call together, as a NAT does.

/// A call under way at a node: whose it is, and what of it is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Tells the calls apart that used this slot.
    pub generation: u32,
    /// Index of the calling node.
    pub caller: u32,
    /// Where the call stands at the caller.
    pub caller_slot: u32,
    /// The caller's own generation of it.
    pub caller_generation: u32,
    /// Bits of [`state`].
    pub state: u8,
}

/// What is known of a ticket's call.
pub(super) mod state {
    /// The slot is taken.
    pub const LIVE: u8 = 1;
    /// Parts of the request are still to come.
    pub const REQUESTING: u8 = 1 << 1;
    /// The first piece of the answer has passed, its parts are still to come.
    pub const ANSWERING: u8 = 1 << 2;
    /// Nobody waits for an answer.
    pub const NO_REPLY: u8 = 1 << 3;
    /// A cancel has passed.
    pub const CANCELLED: u8 = 1 << 4;
    /// The first piece of the caller's items has passed, its parts are still to come.
    pub const SENDING_ITEMS: u8 = 1 << 5;
}

/// The calls under way at one node, by the slot that this controller allotted.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    slots: Vec<Ticket>,
    free: Vec<u32>,
}

impl Tickets {
    /// Calls under way.
    pub fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a slot for `ticket` and gives slot and generation; `None` when `limit` are taken.
    pub fn issue(&mut self, ticket: Ticket, limit: usize) -> Option<(u32, u32)> {
        if let Some(slot) = self.free.pop() {
            let entry = self.slots.get_mut(slot as usize)?;
            *entry = Ticket { generation: entry.generation, state: ticket.state | state::LIVE, ..ticket };
            return Some((slot, entry.generation));
        }
        if self.slots.len() >= limit {
            return None;
        }
        let slot = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Ticket { generation: 1, state: ticket.state | state::LIVE, ..ticket });
        Some((slot, 1))
    }

    /// The live ticket of this slot and generation.
    pub fn find(&mut self, slot: u32, generation: u32) -> Option<&mut Ticket> {
        let ticket = self.slots.get_mut(slot as usize)?;
        (ticket.generation == generation && ticket.state & state::LIVE != 0).then_some(ticket)
    }

    /// Frees a live slot; its generation never comes back before 2^32 more calls.
    pub fn release(&mut self, slot: u32) {
        if let Some(ticket) = self.slots.get_mut(slot as usize)
            && ticket.state & state::LIVE != 0
        {
            ticket.state = 0;
            ticket.generation = ticket.generation.wrapping_add(1);
            self.free.push(slot);
        }
    }

    /// All live tickets with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Ticket)> {
        (0..).zip(self.slots.iter().copied()).filter(|(_, ticket)| ticket.state & state::LIVE != 0)
    }
}

/// Where a call of one node went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// The caller's generation.
    pub generation: u32,
    /// Index of the node that has it; 0 marks an empty entry.
    pub destination: u32,
    /// Slot of its ticket there.
    pub ticket: u32,
    /// Generation of its ticket there.
    pub ticket_generation: u32,
}

/// The calls that one node has under way, by the slot that the node chose.
///
/// In chunks, so that a single high slot costs a few KiB and not the whole table.
#[derive(Debug, Default)]
pub(super) struct Calls {
    chunks: Vec<Option<Box<[Call; CHUNK]>>>,
}

impl Calls {
    /// The call of this slot and generation.
    pub fn find(&self, slot: u32, generation: u32) -> Option<Call> {
        let call = self.chunks.get(slot as usize / CHUNK)?.as_ref()?.get(slot as usize % CHUNK)?;
        (call.destination != 0 && call.generation == generation).then_some(*call)
    }

    /// Notes where the call of `slot` went, in place of an older one.
    pub fn insert(&mut self, slot: u32, call: Call) {
        let index = slot as usize / CHUNK;
        if index >= self.chunks.len() {
            self.chunks.resize_with(index + 1, || None);
        }
        if let Some(chunk) = self.chunks.get_mut(index)
            && let Some(entry) =
                chunk.get_or_insert_with(|| Box::new([Call::default(); CHUNK])).get_mut(slot as usize % CHUNK)
        {
            *entry = call;
        }
    }

    /// Forgets `call` unless its slot has been taken by another one.
    pub fn remove(&mut self, slot: u32, call: Call) {
        if let Some(Some(chunk)) = self.chunks.get_mut(slot as usize / CHUNK)
            && let Some(entry) = chunk.get_mut(slot as usize % CHUNK)
            && *entry == call
        {
            *entry = Call::default();
        }
    }

    /// All calls under way.
    pub fn iter(&self) -> impl Iterator<Item = Call> {
        self.chunks.iter().flatten().flat_map(|chunk| chunk.iter().copied()).filter(|call| call.destination != 0)
    }
}

/// Entries that are allocated together: one page.
const CHUNK: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashSet};

    proptest! {
        #[test]
        fn tickets_are_those_issued_and_not_released_and_no_generation_comes_twice(
            limit in 1usize..20,
            steps in prop::collection::vec((any::<bool>(), any::<u32>()), 0..300),
        ) {
            let (mut tickets, mut live, mut given) = (Tickets::default(), BTreeMap::new(), HashSet::new());
            let mut gone = Vec::new();
            for (number, (is_issue, pick)) in steps.into_iter().enumerate() {
                if is_issue {
                    let ticket = Ticket { caller: number as u32, ..Ticket::default() };
                    let issued = tickets.issue(ticket, limit);
                    prop_assert_eq!(issued.is_some(), live.len() < limit);
                    let Some(name) = issued else { continue };
                    prop_assert!(given.insert(name), "{name:?} was given before");
                    live.insert(name.0, (name.1, number as u32));
                } else if let Some((&slot, &(generation, _))) = live.iter().nth(pick as usize % limit) {
                    live.remove(&slot);
                    gone.push((slot, generation));
                    tickets.release(slot);
                }
                prop_assert_eq!(tickets.live(), live.len());
                prop_assert!(tickets.slots.len() <= limit, "memory is a matter of the limit");
                let all: Vec<(u32, u32)> = tickets.iter().map(|(slot, ticket)| (slot, ticket.caller)).collect();
                let wanted: Vec<(u32, u32)> = live.iter().map(|(slot, (_, caller))| (*slot, *caller)).collect();
                prop_assert_eq!(all, wanted);
                for (slot, (generation, caller)) in &live {
                    prop_assert_eq!(tickets.find(*slot, *generation).map(|ticket| ticket.caller), Some(*caller));
                }
                for (slot, generation) in &gone {
                    prop_assert_eq!(tickets.find(*slot, *generation), None);
                }
            }
        }

        #[test]
        fn calls_are_the_last_of_each_slot_until_removed_and_cost_what_their_slots_span(
            steps in prop::collection::vec((any::<bool>(), 0u32..2000, 1u32..4), 0..200),
        ) {
            let (mut calls, mut model) = (Calls::default(), BTreeMap::new());
            let mut highest = None;
            for (is_insert, slot, generation) in steps {
                let call = Call { generation, destination: 1 + slot, ticket: slot, ticket_generation: generation };
                if is_insert {
                    calls.insert(slot, call);
                    model.insert(slot, call);
                    highest = highest.max(Some(slot as usize / CHUNK));
                } else {
                    calls.remove(slot, call);
                    if model.get(&slot) == Some(&call) {
                        model.remove(&slot);
                    }
                }
                prop_assert_eq!(calls.iter().collect::<Vec<_>>(), model.values().copied().collect::<Vec<_>>());
                prop_assert_eq!(calls.find(slot, generation), model.get(&slot).copied().filter(|it| it.generation == generation));
                prop_assert_eq!(calls.chunks.len(), highest.map_or(0, |chunk| chunk + 1));
            }
        }
    }

    #[test]
    fn a_released_ticket_is_not_found_again_by_its_old_generation() {
        let mut tickets = Tickets::default();
        let (slot, generation) = tickets.issue(Ticket { caller: 3, ..Ticket::default() }, 1).unwrap();
        assert_eq!(tickets.find(slot, generation).unwrap().caller, 3);
        assert_eq!(tickets.issue(Ticket::default(), 1), None);
        tickets.release(slot);
        tickets.release(slot);
        assert_eq!(tickets.live(), 0);
        assert_eq!(tickets.find(slot, generation), None);
        let again = tickets.issue(Ticket::default(), 1).unwrap();
        assert_eq!(again.0, slot);
        assert_ne!(again.1, generation);
    }

    #[test]
    fn a_call_is_removed_only_while_its_slot_is_still_its_own() {
        let mut calls = Calls::default();
        let first = Call { generation: 1, destination: 9, ticket: 4, ticket_generation: 5 };
        let second = Call { generation: 2, ..first };
        calls.insert(1 << 19, first);
        calls.insert(1 << 19, second);
        calls.remove(1 << 19, first);
        assert_eq!(calls.find(1 << 19, 2), Some(second));
        assert_eq!(calls.find(1 << 19, 1), None);
        calls.remove(1 << 19, second);
        assert_eq!(calls.iter().count(), 0);
    }
}
