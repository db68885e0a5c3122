//! Header → destination. Pure: no socket, no clock, no task.
//!
//! A slot and generation name a call on one connection. On the way through they are swapped, as a
//! NAT does: the callee sees a ticket of its own, the caller its own slot again. So an answer from a
//! node that was not asked finds no entry, and the calls of a lost node are known exactly.

use super::grants::{Grant, Rights, is_scheduled};
use super::registry::Registry;
use super::tickets::{Call, Calls, Ticket, Tickets, state};
use daffi_protocol::limits::MAX_SLOTS;
use daffi_protocol::{ErrorCode, Header, Kind, flags};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It goes to the node of this index; the header is rewritten for it.
    Forward(u32),
    /// As `Forward`; its sender gets a cancel of the call, of whose request it will see no more.
    ForwardLast(u32),
    /// Its sender gets an error in place of an answer.
    Answer(ErrorCode),
    /// It ends here.
    Drop,
    /// Its sender broke the rules: close the connection.
    Violation(&'static str),
}

/// A call that ends because its node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Index of the node that waits for the answer.
    pub caller: u32,
    /// Where the call stands at the caller.
    pub slot: u32,
    /// The caller's generation of it.
    pub generation: u32,
}

/// A call whose caller is gone: its node is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Index of the node that has the call.
    pub callee: u32,
    /// Slot of its ticket.
    pub slot: u32,
    /// Generation of its ticket.
    pub generation: u32,
}

/// What a node leaves behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Departure {
    /// Calls that it had and others wait for.
    pub lost: Vec<Lost>,
    /// Calls that it waited for.
    pub orphans: Vec<Orphan>,
}

/// Chooses destinations, and knows every call under way.
#[derive(Debug)]
pub struct Router {
    /// Who exposes what.
    pub registry: Registry,
    nodes: FxHashMap<u32, Node>,
    /// Tickets of all nodes together.
    in_flight: usize,
    /// Answers that fit no ticket.
    strays: u64,
    /// Takes no new calls.
    is_stopping: bool,
    /// Some node may not do everything.
    is_restricted: bool,
    /// Of the generator that breaks ties.
    random: u32,
    /// Where the next call of the batch may go without another look.
    run: Run,
}

/// Calls of one callback that follow each other in a batch, and may go to one node.
#[derive(Debug, Default)]
struct Run {
    callback: u32,
    to: u32,
    /// How many more.
    left: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// Same user, same machine.
    is_local: bool,
    /// Takes no new calls.
    is_draining: bool,
    /// Took nothing for a while.
    is_slow: bool,
    /// What it may do; everything without.
    rights: Option<Box<Rights>>,
    /// Calls it works on.
    tickets: Tickets,
    /// Calls it waits for.
    calls: Calls,
}

impl Router {
    /// A router without nodes; `seed` varies how ties are broken.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self {
            registry: Registry::default(),
            nodes: FxHashMap::default(),
            in_flight: 0,
            strays: 0,
            is_stopping: false,
            is_restricted: false,
            random: seed | 1,
            run: Run::default(),
        }
    }

    /// Adds a node whose name is free and gives its index.
    pub fn join(&mut self, name: &str, is_local: bool) -> u32 {
        let index = self.registry.join(name);
        self.nodes.insert(index, Node { is_local, ..Node::default() });
        index
    }

    /// From now on `index` may do what its grant says, and nothing else.
    pub fn restrict(&mut self, index: u32, grant: Arc<Grant>) {
        self.is_restricted = true;
        if let Some(node) = self.nodes.get_mut(&index) {
            node.rights = Some(Box::new(Rights::new(grant)));
        }
    }

    /// The first of these callbacks that `index` may not expose.
    #[must_use]
    pub fn refused_to_expose<'a>(&self, index: u32, callbacks: &'a [String]) -> Option<&'a String> {
        self.nodes.get(&index)?.rights.as_ref()?.refused(callbacks)
    }

    /// Whether `index` may stop other nodes.
    #[must_use]
    pub fn may_stop_nodes(&self, index: u32) -> bool {
        let rights = self.nodes.get(&index).and_then(|node| node.rights.as_ref());
        rights.is_some_and(|rights| rights.grant.admin)
    }

    /// Removes a node with all its calls.
    pub fn leave(&mut self, index: u32) -> Departure {
        self.registry.leave(index);
        let mut departure = Departure::default();
        let Some(node) = self.nodes.remove(&index) else { return departure };
        for (slot, ticket) in node.tickets.iter() {
            self.in_flight -= 1;
            let Some(caller) = self.nodes.get_mut(&ticket.caller) else { continue };
            caller.calls.remove(ticket.caller_slot, call_of(index, slot, ticket));
            if ticket.state & state::NO_REPLY == 0 {
                let Ticket { caller, caller_slot, caller_generation, .. } = ticket;
                departure.lost.push(Lost { caller, slot: caller_slot, generation: caller_generation });
            }
        }
        for call in node.calls.iter() {
            let Some(callee) = self.nodes.get_mut(&call.destination) else { continue };
            let Some(ticket) = callee.tickets.find(call.ticket, call.ticket_generation) else { continue };
            if ticket.state & state::CANCELLED == 0 {
                ticket.state = (ticket.state | state::CANCELLED) & !state::REQUESTING;
                let Call { destination, ticket, ticket_generation, .. } = call;
                departure.orphans.push(Orphan { callee: destination, slot: ticket, generation: ticket_generation });
            }
            if callee.tickets.find(call.ticket, call.ticket_generation).is_some_and(|t| t.state & state::NO_REPLY != 0)
            {
                callee.tickets.release(call.ticket);
                self.in_flight -= 1;
            }
        }
        departure
    }

    /// From now on `index` is asked nothing new.
    pub fn drain(&mut self, index: u32) {
        if let Some(node) = self.nodes.get_mut(&index) {
            node.is_draining = true;
        }
    }

    /// Whether requests to `index` are turned away because it takes nothing.
    pub fn set_slow(&mut self, index: u32, is_slow: bool) {
        if let Some(node) = self.nodes.get_mut(&index) {
            node.is_slow = is_slow;
        }
    }

    /// From now on nobody is asked anything new.
    pub const fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Calls under way.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Answers that fitted no call since the start.
    #[must_use]
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    /// The frames that follow are one batch of one node, in which no callback of another one is withdrawn.
    pub const fn begin_batch(&mut self) {
        self.run.left = 0;
    }

    /// Decides about a frame from the node `from` and rewrites its header for the destination.
    pub fn route(&mut self, from: u32, header: &mut Header) -> Route {
        header.flags &= !(flags::LOCAL | flags::BIG);
        match header.kind {
            Kind::Request => self.route_request(from, header),
            Kind::Transfer if header.node == 0 => refusal(header, ErrorCode::NoSuchNode),
            Kind::Transfer => self.route_request(from, header),
            Kind::RequestPart => self.route_request_part(from, header),
            Kind::Cancel => self.route_cancel(from, header),
            Kind::Response | Kind::ResponsePart => self.route_answer(from, header),
            Kind::CallerItems | Kind::CallerItemsPart | Kind::CallerCredit => self.route_to_callee(from, header),
            Kind::CalleeItems | Kind::CalleeItemsPart | Kind::CalleeCredit => self.route_to_caller(from, header),
            _ => Route::Violation("a kind of frame that nodes do not send"),
        }
    }

    /// Ends the call of an answer that may not pass; gives its caller.
    pub fn abandon(&mut self, callee: u32, slot: u32, generation: u32) -> Option<Lost> {
        let node = self.nodes.get_mut(&callee)?;
        let ticket = *node.tickets.find(slot, generation)?;
        self.release(callee, slot, ticket);
        let Ticket { caller, caller_slot, caller_generation, state, .. } = ticket;
        let is_awaited = state & state::NO_REPLY == 0 && self.nodes.contains_key(&caller);
        is_awaited.then_some(Lost { caller, slot: caller_slot, generation: caller_generation })
    }

    /// Ends a call whose request may not go on. Gives its node and what that knows it by.
    pub fn cancel(&mut self, caller: u32, slot: u32, generation: u32) -> Option<Orphan> {
        let mut header = Header { slot, generation, ..Header::new(Kind::Cancel) };
        let Route::Forward(callee) = self.route_cancel(caller, &mut header) else { return None };
        Some(Orphan { callee, slot: header.slot, generation: header.generation })
    }

    fn route_request(&mut self, from: u32, header: &mut Header) -> Route {
        if self.is_stopping {
            return refusal(header, ErrorCode::ControllerStopped);
        }
        if header.kind == Kind::Request && is_scheduled(header) && (header.node == 0 || is_silent(header)) {
            return Route::Violation("a task without a node, or without a wish for an answer");
        }
        if self.is_restricted && !self.allow(from, header) {
            return refusal(header, ErrorCode::NotPermitted);
        }
        let is_fragmented = is_continued(header);
        let is_silent = is_silent(header);
        let needs_ticket = is_fragmented || !is_silent;
        if needs_ticket && header.slot >= MAX_SLOTS {
            return Route::Violation("a slot over the limit");
        }
        let to = match self.choose(from, header) {
            Ok(to) => to,
            Err(code) => return refusal(header, code),
        };
        let source = self.nodes.get(&from);
        let from_local = source.is_some_and(|node| node.is_local);
        // To a system call this flag says that the sender may see to what is another's.
        let admin = if self.is_restricted && header.callback == 0 && header.kind == Kind::Request {
            source.and_then(|node| node.rights.as_ref()).map(|rights| rights.grant.admin)
        } else {
            None
        };
        let Some(destination) = self.nodes.get_mut(&to) else { return refusal(header, ErrorCode::NoSuchNode) };
        if admin.unwrap_or(from_local && destination.is_local) {
            header.flags |= flags::LOCAL;
        }
        header.node = from;
        if !needs_ticket {
            header.slot = 0;
            header.generation = 0;
            return Route::Forward(to);
        }
        let mut ticket = Ticket {
            caller: from,
            caller_slot: header.slot,
            caller_generation: header.generation,
            ..Ticket::default()
        };
        ticket.state |= if is_fragmented { state::REQUESTING } else { 0 };
        ticket.state |= if is_silent { state::NO_REPLY } else { 0 };
        let Some((slot, generation)) = destination.tickets.issue(ticket, MAX_TICKETS) else {
            return refusal(header, ErrorCode::Overloaded);
        };
        self.in_flight += 1;
        ticket.generation = generation;
        if let Some(source) = self.nodes.get_mut(&from) {
            source.calls.insert(header.slot, call_of(to, slot, ticket));
        }
        header.slot = slot;
        header.generation = generation;
        Route::Forward(to)
    }

    /// Whether `from` may send this first frame of a call.
    fn allow(&mut self, from: u32, header: &Header) -> bool {
        let rights = self.nodes.get_mut(&from).and_then(|node| node.rights.as_deref_mut());
        rights.is_none_or(|rights| rights.allow(header, &self.registry))
    }

    /// The pinned node, or the one with the fewest calls of those that expose the callback. Where these have many calls,
    /// some that follow each other go to one of them: sixteen frames for sixteen nodes would be sixteen wake-ups.
    fn choose(&mut self, from: u32, header: &Header) -> Result<u32, ErrorCode> {
        if header.node != 0 {
            let node = self.nodes.get(&header.node).ok_or(ErrorCode::NoSuchNode)?;
            return match node {
                Node { is_draining: true, .. } => Err(ErrorCode::Draining),
                Node { is_slow: true, .. } => Err(ErrorCode::Overloaded),
                _ => Ok(header.node),
            };
        }
        if self.run.left > 0 && self.run.callback == header.callback {
            self.run.left -= 1;
            return Ok(self.run.to);
        }
        let exposers = self.registry.exposers(header.callback);
        // Beginning anywhere breaks ties at random.
        let start = match exposers.len() {
            0 | 1 => 0,
            several => {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 17;
                self.random ^= self.random << 5;
                self.random as usize % several
            }
        };
        let (before, after) = exposers.split_at(start);
        let mut best = Err(ErrorCode::NoCandidate);
        let mut fewest = MAX_TICKETS;
        for &index in after.iter().chain(before) {
            let Some(node) = self.nodes.get(&index) else { continue };
            if index == from || node.is_draining {
                continue;
            }
            let calls = node.tickets.live();
            if !node.is_slow && calls < fewest {
                best = Ok(index);
                fewest = calls;
                if calls == 0 {
                    break;
                }
            } else if best.is_err() {
                best = Err(ErrorCode::Overloaded);
            }
        }
        if let Ok(to) = best {
            let left = (fewest / RUN_SHARE).min(LONGEST_RUN).min(MAX_TICKETS - fewest - 1);
            self.run = Run { callback: header.callback, to, left };
        }
        best
    }

    fn route_request_part(&mut self, from: u32, header: &mut Header) -> Route {
        let Some((call, ticket)) = self.find_call(from, header) else { return Route::Drop };
        if ticket.state & state::REQUESTING == 0 {
            return Route::Drop;
        }
        let is_last = header.flags & flags::LAST != 0;
        if is_last {
            ticket.state &= !state::REQUESTING;
            let ticket = *ticket;
            if ticket.state & state::NO_REPLY != 0 {
                self.release(call.destination, call.ticket, ticket);
            }
        }
        address(header, from, call)
    }

    fn route_cancel(&mut self, from: u32, header: &mut Header) -> Route {
        let Some((call, ticket)) = self.find_call(from, header) else { return Route::Drop };
        if ticket.state & state::CANCELLED != 0 {
            return Route::Drop;
        }
        ticket.state = (ticket.state | state::CANCELLED) & !state::REQUESTING;
        let ticket = *ticket;
        if ticket.state & state::NO_REPLY != 0 {
            self.release(call.destination, call.ticket, ticket);
        }
        address(header, from, call)
    }

    fn route_answer(&mut self, from: u32, header: &mut Header) -> Route {
        let Some(node) = self.nodes.get_mut(&from) else { return Route::Drop };
        let found = node.tickets.find(header.slot, header.generation);
        let is_part = header.kind == Kind::ResponsePart;
        let Some(ticket) = found.filter(|ticket| {
            // A part needs a first piece before it, and a first piece comes once.
            (ticket.state & state::ANSWERING != 0) == is_part && ticket.state & state::NO_REPLY == 0
        }) else {
            self.strays += 1;
            return Route::Drop;
        };
        let slot = header.slot;
        header.slot = ticket.caller_slot;
        header.generation = ticket.caller_generation;
        header.node = from;
        let is_end = if is_part { header.flags & flags::LAST != 0 } else { !is_continued(header) };
        ticket.state |= state::ANSWERING;
        let ticket = *ticket;
        if is_end {
            self.release(from, slot, ticket);
        }
        match self.nodes.contains_key(&ticket.caller) {
            true if is_end && ticket.state & state::SENDING_ITEMS != 0 => Route::ForwardLast(ticket.caller),
            true => Route::Forward(ticket.caller),
            false => Route::Drop,
        }
    }

    /// Items of a caller, and its credit: as far as its call goes.
    fn route_to_callee(&mut self, from: u32, header: &mut Header) -> Route {
        let Some((call, ticket)) = self.find_call(from, header) else { return Route::Drop };
        if ticket.state & (state::CANCELLED | state::REQUESTING) != 0 {
            return Route::Drop;
        }
        match header.kind {
            Kind::CallerItems if is_continued(header) => ticket.state |= state::SENDING_ITEMS,
            Kind::CallerItemsPart if header.flags & flags::LAST != 0 => ticket.state &= !state::SENDING_ITEMS,
            _ => {}
        }
        address(header, from, call)
    }

    /// Items of a callee, and its credit: until it has answered.
    fn route_to_caller(&mut self, from: u32, header: &mut Header) -> Route {
        let Some(node) = self.nodes.get_mut(&from) else { return Route::Drop };
        let found = node.tickets.find(header.slot, header.generation);
        let Some(ticket) = found.filter(|ticket| ticket.state & (state::ANSWERING | state::NO_REPLY) == 0) else {
            self.strays += 1;
            return Route::Drop;
        };
        header.slot = ticket.caller_slot;
        header.generation = ticket.caller_generation;
        header.node = from;
        let caller = ticket.caller;
        if self.nodes.contains_key(&caller) { Route::Forward(caller) } else { Route::Drop }
    }

    /// The call that a caller's frame is about, with its ticket.
    fn find_call(&mut self, from: u32, header: &Header) -> Option<(Call, &mut Ticket)> {
        let call = self.nodes.get(&from)?.calls.find(header.slot, header.generation)?;
        let ticket = self.nodes.get_mut(&call.destination)?.tickets.find(call.ticket, call.ticket_generation)?;
        Some((call, ticket))
    }

    fn release(&mut self, callee: u32, slot: u32, ticket: Ticket) {
        if let Some(node) = self.nodes.get_mut(&callee) {
            node.tickets.release(slot);
            self.in_flight -= 1;
        }
        if let Some(caller) = self.nodes.get_mut(&ticket.caller) {
            caller.calls.remove(ticket.caller_slot, call_of(callee, slot, ticket));
        }
    }
}

/// The caller's entry for a ticket.
const fn call_of(destination: u32, slot: u32, ticket: Ticket) -> Call {
    Call { generation: ticket.caller_generation, destination, ticket: slot, ticket_generation: ticket.generation }
}

const fn address(header: &mut Header, from: u32, call: Call) -> Route {
    header.node = from;
    header.slot = call.ticket;
    header.generation = call.ticket_generation;
    Route::Forward(call.destination)
}

/// Whether pieces follow a first frame: a payload of one piece says so with `LAST`.
const fn is_continued(header: &Header) -> bool {
    header.flags & (flags::FRAGMENTED | flags::LAST) == flags::FRAGMENTED
}

const fn is_silent(header: &Header) -> bool {
    header.flags & flags::NO_REPLY != 0
}

/// An error for whoever waits for an answer.
const fn refusal(header: &Header, code: ErrorCode) -> Route {
    if is_silent(header) { Route::Drop } else { Route::Answer(code) }
}

/// Most calls under way at one node: what its callers may make the controller remember.
pub const MAX_TICKETS: usize = 65_536;
/// A node may get so much more than its share: an eighth of the calls it has, and no node has to have many.
const RUN_SHARE: usize = 8;
/// But no more than this in a row.
const LONGEST_RUN: usize = 32;

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
