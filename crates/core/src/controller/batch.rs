//! One walk over the headers of whole frames, one write a destination.
//!
//! The hot path: nothing is allocated a frame, no payload is looked at.

use super::changes::split;
use super::hub::Hub;
use super::memory::{self, Passing};
use super::peer::Peer;
use super::router::{Route, Router};
use crate::error::CoreError;
use crate::handshake::decode_error;
use crate::memory::Arrived;
use daffi_protocol::control::{self, Goodbye, Register};
use daffi_protocol::limits::{FRAGMENT_BYTES, HEADER_BYTES};
use daffi_protocol::{ErrorCode, Header, Kind, extension, flags};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::rc::Rc;

/// A node that is to take some of what waits for it before more is read for it.
pub(super) struct Full {
    pub peer: Rc<Peer>,
    /// Bytes that may wait.
    pub soft: usize,
}

/// Why a walk stopped.
enum Walk {
    /// No whole frame is left.
    Done,
    /// At a call of a node of which all are to be told first.
    Unannounced,
}

/// The outcome of one walk over the frames of a buffer.
pub(super) struct Batch {
    /// Bytes of whole frames.
    pub walked: usize,
    /// Where runs go, each once; the runs stand with the peers.
    touched: Vec<Rc<Peer>>,
    /// Frames for the sender itself.
    answers: Vec<u8>,
    /// There are pieces of big payloads among them.
    has_pieces: bool,
    /// Payloads that came as memory.
    passing: Vec<Passing>,
    /// Why the sender must be closed, after what came before has been sent on.
    violation: Option<CoreError>,
}

impl Batch {
    /// Routes every whole frame of `bytes`, rewriting headers in place.
    pub fn walk(hub: &Rc<Hub>, peer: &Rc<Peer>, bytes: &mut [u8], arrived: &mut VecDeque<Arrived>) -> Self {
        let (touched, answers) = hub.lists.take();
        let mut batch = Self { walked: 0, touched, answers, has_pieces: false, passing: Vec::new(), violation: None };
        loop {
            match batch.walk_frames(hub, peer, bytes, arrived) {
                Ok(Walk::Done) => return batch,
                Ok(Walk::Unannounced) => batch.announce(hub, peer),
                Err(error) => {
                    batch.violation = Some(error);
                    return batch;
                }
            }
        }
    }

    /// Has all told of a node, and the node knows of its registration first.
    fn announce(&mut self, hub: &Rc<Hub>, peer: &Rc<Peer>) {
        if !self.answers.is_empty() {
            peer.send_runs(hub, &self.answers, &[(0, self.answers.len())]);
            self.answers.clear();
        }
        hub.tell_changes();
        peer.is_announced.set(true);
    }

    fn walk_frames(
        &mut self,
        hub: &Rc<Hub>,
        peer: &Rc<Peer>,
        bytes: &mut [u8],
        arrived: &mut VecDeque<Arrived>,
    ) -> Result<Walk, CoreError> {
        let mut router = hub.router.borrow_mut();
        router.begin_batch();
        let peers = hub.peers.borrow();
        // The destination of the run that is growing; its end is where the walk stands.
        let mut last: Option<(u32, &Rc<Peer>)> = None;
        let mut is_adjacent = false;
        loop {
            let rest = bytes.get_mut(self.walked..).unwrap_or_default();
            let Some(mut header) = Header::decode(rest).map_err(decode_error)? else { return Ok(Walk::Done) };
            let length = header.frame_len();
            let Some(frame) = rest.get_mut(..length) else { return Ok(Walk::Done) };
            let is_call = header.kind as u8 >= Kind::Request as u8;
            if is_call && !peer.is_announced.get() && hub.must_announce(&router.registry) {
                return Ok(Walk::Unannounced);
            }
            let start = self.walked;
            self.walked += length;
            if header.kind == Kind::Cancel {
                peer.count_cancel();
            }
            if header.kind == Kind::Returned {
                is_adjacent = false;
                let may = if header.callback == 0 {
                    peer.loans.accept(arrived.pop_front())
                } else {
                    peer.loans.end(hub, header.callback)
                };
                if !may {
                    return Err(CoreError::new(ErrorCode::Protocol, "The node gave back memory that it has not got."));
                }
                continue;
            }
            if !is_call {
                is_adjacent = false;
                if !peer.count_control() {
                    let message = "The node sent too many frames that are no calls. It may send 2,000 a second.";
                    return Err(CoreError::new(ErrorCode::EnhanceYourCalm, message));
                }
                if header.kind == Kind::Register {
                    let register: Register = control::parse(body(header, frame)).map_err(|_| unreadable())?;
                    if let Some(name) = router.refused_to_expose(peer.index, &register.add) {
                        let message = format!("The grant of this node does not let it expose {name}().");
                        return Err(CoreError::new(ErrorCode::NotPermitted, message));
                    }
                    let own = router.registry.register(peer.index, &register).map_err(refused_registration)?;
                    for piece in split(own) {
                        self.answers.extend(control::frame(Kind::RegistryChange, &piece).unwrap_or_default());
                    }
                    hub.schedule_changes();
                } else {
                    self.handle_control(hub, &mut router, peer, header)?;
                }
                continue;
            }
            let sent = header;
            let mut lent = None;
            if memory::goes_with(header) {
                lent = memory::take(peer, header, arrived)?;
                if lent.is_none() {
                    is_adjacent = false;
                    self.lose_memory(hub, &mut router, &peers, peer, header);
                    continue;
                }
            }
            let is_over_limit = header.flags & flags::FRAGMENTED != 0 && is_over(hub, header, frame);
            self.has_pieces |= length > PIECE_BYTES;
            let route = match (is_over_limit, header.kind) {
                (true, Kind::Request | Kind::Transfer) if header.flags & flags::NO_REPLY != 0 => Route::Drop,
                (true, Kind::Request | Kind::Transfer) => Route::Answer(ErrorCode::PayloadTooLarge),
                (true, Kind::Response) => {
                    end_call(hub, &mut router, &peers, peer, header, ErrorCode::PayloadTooLarge);
                    Route::Drop
                }
                (true, Kind::CallerItems) => {
                    if let Some(orphan) = router.cancel(peer.index, header.slot, header.generation) {
                        hub.answer_later(orphan.callee, cancel_frame(peer.index, orphan.slot, orphan.generation));
                    }
                    Route::Answer(ErrorCode::PayloadTooLarge)
                }
                (true, Kind::CalleeItems) => {
                    if let Some(caller) = end_call(hub, &mut router, &peers, peer, header, ErrorCode::PayloadTooLarge) {
                        hub.answer_later(peer.index, cancel_frame(caller, header.slot, header.generation));
                    }
                    Route::Drop
                }
                _ => router.route(peer.index, &mut header),
            };
            let route = match route {
                Route::ForwardLast(to) => {
                    hub.answer_later(peer.index, cancel_frame(to, sent.slot, sent.generation));
                    Route::Forward(to)
                }
                route => route,
            };
            if let Some(memory) = lent {
                is_adjacent = false;
                let bytes = total(header, frame).unwrap_or(0);
                let target = if let Route::Forward(to) = route { peers.get(&to).cloned() } else { None };
                let target = target.filter(|_| bytes <= hub.options.max_payload);
                self.passing.push(Passing { target, header, memory, bytes });
                continue;
            }
            match route {
                Route::Forward(to) => {
                    header.write_over(frame);
                    let target = match last {
                        Some((index, target)) if index == to => target,
                        _ => {
                            is_adjacent = false;
                            let Some(target) = peers.get(&to) else { continue };
                            hub.introduce(&mut router.registry, peer, target);
                            last = Some((to, target));
                            target
                        }
                    };
                    let mut runs = target.runs.borrow_mut();
                    if let Some(run) = runs.last_mut().filter(|_| is_adjacent) {
                        run.1 = self.walked;
                    } else {
                        if runs.is_empty() {
                            self.touched.push(Rc::clone(target));
                        }
                        runs.push((start, self.walked));
                    }
                    is_adjacent = true;
                }
                Route::Answer(code) => {
                    is_adjacent = false;
                    self.answers.extend_from_slice(&error_frame(0, sent.slot, sent.generation, code));
                }
                Route::Drop | Route::ForwardLast(_) => is_adjacent = false,
                Route::Violation(why) => {
                    return Err(CoreError::new(ErrorCode::Protocol, format!("The node sent {why}.")));
                }
            }
        }
    }

    /// Ends the call of a payload whose descriptor could not be taken.
    fn lose_memory(
        &mut self,
        hub: &Rc<Hub>,
        router: &mut Router,
        peers: &FxHashMap<u32, Rc<Peer>>,
        peer: &Peer,
        header: Header,
    ) {
        tracing::warn!(node = peer.index, "no descriptor is left for a payload");
        memory::give_back(hub, peer, header.callback);
        if matches!(header.kind, Kind::RequestPart | Kind::CallerItemsPart) {
            if let Some(orphan) = router.cancel(peer.index, header.slot, header.generation) {
                hub.answer_later(orphan.callee, cancel_frame(peer.index, orphan.slot, orphan.generation));
                let answer = error_frame(0, header.slot, header.generation, ErrorCode::Overloaded);
                self.answers.extend_from_slice(&answer);
            }
        } else if let Some(caller) = end_call(hub, router, peers, peer, header, ErrorCode::Overloaded) {
            hub.answer_later(peer.index, cancel_frame(caller, header.slot, header.generation));
        }
    }

    fn handle_control(
        &mut self,
        hub: &Rc<Hub>,
        router: &mut Router,
        peer: &Peer,
        header: Header,
    ) -> Result<(), CoreError> {
        match header.kind {
            Kind::Ping => self.answers.extend_from_slice(&Header::new(Kind::Pong).encode()),
            Kind::Pong => {}
            Kind::Goodbye => {
                router.drain(peer.index);
                // Behind all calls that were routed to it before: from here on it gets no new ones.
                let heard = Goodbye { reason: "No new calls will come.".into() };
                self.answers.extend(control::frame(Kind::Goodbye, &heard).unwrap_or_default());
            }
            Kind::Stop if router.may_stop_nodes(peer.index) => {
                let (hub, asker, name) = (Rc::clone(hub), peer.index, peer.identity.name.clone());
                // Behind this batch: what it sends is on its way first.
                tokio::task::spawn_local(async move { hub.ask_to_stop(asker, &name) });
            }
            Kind::Refused => return Err(CoreError::new(ErrorCode::ConnectionLost, "The node refused the connection.")),
            kind => {
                let message = format!("The node sent {kind:?}, which has no place behind the handshake.");
                return Err(CoreError::new(ErrorCode::Protocol, message));
            }
        }
        Ok(())
    }

    pub fn send(self, hub: &Rc<Hub>, peer: &Rc<Peer>, bytes: &[u8], blocked: &mut Vec<Full>) -> Result<(), CoreError> {
        self.finish(hub, peer, blocked, |target, runs| target.send_runs(hub, bytes, runs))
    }

    /// As `send`, for one frame in a buffer of its own: not copied when it must wait.
    pub fn send_large(
        self,
        hub: &Rc<Hub>,
        peer: &Rc<Peer>,
        frame: Vec<u8>,
        blocked: &mut Vec<Full>,
    ) -> Result<(), CoreError> {
        let mut frame = Some(frame);
        self.finish(hub, peer, blocked, |target, _| {
            if let Some(frame) = frame.take() {
                target.send_owned(hub, frame);
            }
        })
    }

    fn finish(
        mut self,
        hub: &Rc<Hub>,
        peer: &Rc<Peer>,
        blocked: &mut Vec<Full>,
        mut send: impl FnMut(&Rc<Peer>, &[(usize, usize)]),
    ) -> Result<(), CoreError> {
        let soft = hub.options.outbound_soft.min(if self.has_pieces { PIECES_SOFT_BYTES } else { usize::MAX });
        // First: a node knows of its registration before it gets a call of it.
        if !self.answers.is_empty() {
            peer.send_runs(hub, &self.answers, &[(0, self.answers.len())]);
            if peer.queued() > soft {
                blocked.push(Full { peer: Rc::clone(peer), soft });
            }
            self.answers.clear();
        }
        for target in self.touched.drain(..) {
            let mut runs = target.runs.borrow_mut();
            send(&target, &runs);
            runs.clear();
            if target.queued() > soft && !target.is_slow.get() {
                blocked.push(Full { peer: Rc::clone(&target), soft });
            }
        }
        // Behind the frames that announce them.
        for passing in self.passing {
            passing.pass_on(hub, peer);
        }
        hub.lists.replace((self.touched, self.answers));
        self.violation.map_or(Ok(()), Err)
    }
}

fn body(header: Header, frame: &[u8]) -> &[u8] {
    frame.get(HEADER_BYTES..HEADER_BYTES + header.body_len as usize).unwrap_or_default()
}

fn is_over(hub: &Hub, header: Header, frame: &[u8]) -> bool {
    total(header, frame).is_some_and(|total| total > hub.options.max_payload)
}

/// Bytes of the payload that a frame announces or stands for.
fn total(header: Header, frame: &[u8]) -> Option<u64> {
    extension::total(body(header, frame).get(..usize::from(header.ext_len)).unwrap_or_default())
}

/// Ends a call whose callee `peer` sends more than may pass. Gives the caller, who is told.
fn end_call(
    hub: &Rc<Hub>,
    router: &mut Router,
    peers: &FxHashMap<u32, Rc<Peer>>,
    peer: &Peer,
    header: Header,
    code: ErrorCode,
) -> Option<u32> {
    let lost = router.abandon(peer.index, header.slot, header.generation)?;
    if let Some(caller) = peers.get(&lost.caller) {
        hub.introduce(&mut router.registry, peer, caller);
    }
    let frame = error_frame(peer.index, lost.slot, lost.generation, code);
    hub.answer_later(lost.caller, frame);
    Some(lost.caller)
}

/// An answer that the controller gives in place of `node`, or for itself when that is 0.
pub(super) fn error_frame(node: u32, slot: u32, generation: u32, code: ErrorCode) -> [u8; HEADER_BYTES] {
    Header { node, slot, generation, callback: code as u32, ..Header::new(Kind::Response) }.encode()
}

/// Tells a callee that `node` no longer wants the outcome of a call.
fn cancel_frame(node: u32, slot: u32, generation: u32) -> [u8; HEADER_BYTES] {
    Header { node, slot, generation, ..Header::new(Kind::Cancel) }.encode()
}

fn unreadable() -> CoreError {
    CoreError::new(ErrorCode::Protocol, "The node sent a registration that cannot be read.")
}

fn refused_registration(code: ErrorCode) -> CoreError {
    let message = match code {
        ErrorCode::InvalidName => {
            "The name of a callback must have 1 to 128 bytes, no control characters, and not be __proto__."
        }
        _ => "The node exposes more callbacks than one node may.",
    };
    CoreError::new(code, message)
}

/// Frames over this are pieces of a big payload.
const PIECE_BYTES: usize = FRAGMENT_BYTES as usize;
/// What may wait for a node before pieces for it are left unread: small calls pass them at the sender, and not here.
/// Enough to keep a socket busy until we are back.
pub(super) const PIECES_SOFT_BYTES: usize = 1024 * 1024;
