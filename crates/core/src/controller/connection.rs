//! Bytes of one node in, runs of whole frames out to others.
//!
//! The hot path: one read into a buffer that all connections of the thread share, one walk over the
//! headers, one write a destination. Nothing is allocated a frame, no payload is looked at.

use super::hub::Hub;
use super::memory::{self, Passing};
use super::peer::Peer;
use super::registry::split;
use super::router::{Route, Router};
use crate::error::CoreError;
use crate::handshake::{self, decode_error};
use crate::memory::{Arrived, Memory};
use crate::panics::{self, Place};
use crate::runtime;
use bytes::BufMut;
use daffi_protocol::control::{self, Goodbye, Register};
use daffi_protocol::limits::{FRAGMENT_BYTES, HEADER_BYTES};
use daffi_protocol::{DecodeError, ErrorCode, Header, Kind, extension, flags};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::rc::Rc;

/// Reads from a welcomed node until it is gone.
pub(super) async fn serve(hub: Rc<Hub>, peer: Rc<Peer>) {
    let mut input = Input::default();
    let code = loop {
        if peer.stream.readable().await.is_err() {
            break ErrorCode::ConnectionLost;
        }
        panics::may_happen(Place::Serve);
        runtime::beat();
        hub.gatherer.count();
        let mut reads = 0;
        let outcome = loop {
            // Whoever was given up meanwhile may have left bytes in the socket: nobody's calls by now.
            if peer.is_gone.get() {
                return;
            }
            let outcome = input.read(&hub, &peer);
            if hub.gatherer.is_long() {
                hub.flush_gathered().await;
            }
            hub.settle();
            reads += 1;
            if !matches!(outcome, Ok(Read::More)) || peer.is_gone.get() {
                break outcome;
            }
            wait_for_room(&peer, &mut input.blocked).await;
            while peer.is_hasty() && !peer.is_gone.get() {
                let tick = peer.tick.notified();
                peer.is_paused.set(true);
                tick.await;
                peer.is_paused.set(false);
            }
            if reads == READS_A_TURN {
                tokio::task::yield_now().await;
                hub.gatherer.count();
                reads = 0;
            }
        };
        if peer.is_gone.get() {
            return;
        }
        match outcome {
            Ok(Read::Closed) => break ErrorCode::ConnectionLost,
            Ok(_) => wait_for_room(&peer, &mut input.blocked).await,
            Err(error) => {
                tracing::warn!(node = peer.index, %error, "closed a node that broke the rules");
                peer.release(&hub);
                // In the middle of a frame a refusal would not be read as one.
                let hears_why = peer.queued() == 0;
                hub.depart(&peer, error.code, !hears_why);
                hub.settle();
                if hears_why {
                    Box::pin(handshake::refuse(&peer.stream, &error)).await;
                    let _ = peer.stream.shutdown(std::net::Shutdown::Both);
                }
                return;
            }
        }
    };
    hub.fail(&peer, code);
    hub.settle();
}

/// Leaves the node unread while something it sent to is full and still moves.
async fn wait_for_room(peer: &Rc<Peer>, blocked: &mut Vec<Full>) {
    for Full { peer: full, soft } in blocked.drain(..) {
        // Who floods us and does not read our answers waits for itself, slow or not.
        let is_itself = Rc::ptr_eq(&full, peer);
        while !full.is_gone.get() && !peer.is_gone.get() && full.queued() > soft && (is_itself || !full.is_slow.get()) {
            peer.is_paused.set(!is_itself);
            full.room.notified().await;
        }
    }
    peer.is_paused.set(false);
}

enum Read {
    /// There may be more.
    More,
    /// Nothing is left for now.
    Drained,
    /// The node has closed its side.
    Closed,
}

/// What has come of a frame that is not whole, and who is too full to be sent more.
#[derive(Default)]
struct Input {
    /// The beginning of a small frame, or less than a header.
    tail: Vec<u8>,
    /// The beginning of a large frame, in the buffer that it will leave in.
    large: Vec<u8>,
    /// Bytes of that frame; 0 when there is none.
    large_len: usize,
    /// Memory that came along, and whose frames come next.
    memory: VecDeque<Arrived>,
    blocked: Vec<Full>,
}

/// A node that is to take some of what waits for it before more is read for it.
struct Full {
    peer: Rc<Peer>,
    /// Bytes that may wait.
    soft: usize,
}

impl Input {
    fn read(&mut self, hub: &Rc<Hub>, peer: &Rc<Peer>) -> Result<Read, CoreError> {
        if self.large_len > 0 { self.read_large(hub, peer) } else { self.read_shared(hub, peer) }
    }

    fn read_large(&mut self, hub: &Rc<Hub>, peer: &Rc<Peer>) -> Result<Read, CoreError> {
        let missing = self.large_len - self.large.len();
        match peer.stream.try_read_buf(&mut (&mut self.large).limit(missing)) {
            Ok(0) => return Ok(Read::Closed),
            Ok(_) => peer.is_heard.set(true),
            Err(error) => return nothing(&error),
        }
        if self.large.len() < self.large_len {
            peer.stream.set_drained();
            return Ok(Read::Drained);
        }
        self.large_len = 0;
        peer.is_partial.set(false);
        let mut frame = mem::take(&mut self.large);
        let batch = Batch::walk(hub, peer, &mut frame, &mut self.memory);
        batch.send_large(hub, peer, frame, &mut self.blocked)?;
        Ok(Read::More)
    }

    fn read_shared(&mut self, hub: &Rc<Hub>, peer: &Rc<Peer>) -> Result<Read, CoreError> {
        let mut scratch = hub.scratch.borrow_mut();
        let held = self.tail.len();
        let Some((front, room)) = scratch.split_at_mut_checked(held) else { return Ok(Read::Closed) };
        let read = if peer.identity.memory {
            peer.stream.try_read_memory(room, &mut self.memory)
        } else {
            peer.stream.try_read(room)
        };
        let (capacity, read) = match read {
            Ok(0) => return Ok(Read::Closed),
            Ok(read) => (room.len(), read),
            Err(error) => return nothing(&error),
        };
        front.copy_from_slice(&self.tail);
        self.tail.clear();
        peer.is_heard.set(true);
        let bytes = scratch.get_mut(..held + read).unwrap_or_default();
        if peer.loans.is_new() {
            memory::begin(hub, peer);
        }
        // Memory ends a read, whatever is behind it.
        let is_short = !self.memory.is_empty();
        let batch = Batch::walk(hub, peer, bytes, &mut self.memory);
        let walked = batch.walked;
        batch.send(hub, peer, bytes, &mut self.blocked)?;
        self.keep(hub, peer, bytes.get(walked..).unwrap_or_default())?;
        if read < capacity && !is_short {
            peer.stream.set_drained();
            return Ok(Read::Drained);
        }
        Ok(Read::More)
    }

    /// Keeps the beginning of a frame whose end has not come.
    fn keep(&mut self, hub: &Hub, peer: &Peer, rest: &[u8]) -> Result<(), CoreError> {
        peer.is_partial.set(!rest.is_empty());
        let header = Header::decode(rest).map_err(decode_error)?;
        match header.map(|header| header.frame_len()).filter(|length| *length > LARGE_FRAME_BYTES) {
            Some(length) => {
                self.large = hub.take_buffer(length);
                self.large.extend_from_slice(rest);
                self.large_len = length;
            }
            None => self.tail.extend_from_slice(rest),
        }
        Ok(())
    }
}

fn nothing(error: &io::Error) -> Result<Read, CoreError> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(Read::Drained),
        io::ErrorKind::Interrupted => Ok(Read::More),
        _ => Ok(Read::Closed),
    }
}

/// Why a walk stopped.
enum Walk {
    /// No whole frame is left.
    Done,
    /// At a call of a node of which all are to be told first.
    Unannounced,
}

/// The outcome of one walk over the frames of a buffer.
struct Batch {
    /// Bytes of whole frames.
    walked: usize,
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
    fn walk(hub: &Rc<Hub>, peer: &Rc<Peer>, bytes: &mut [u8], memory: &mut VecDeque<Arrived>) -> Self {
        let (touched, answers) = hub.lists.take();
        let mut batch = Self { walked: 0, touched, answers, has_pieces: false, passing: Vec::new(), violation: None };
        loop {
            match batch.walk_frames(hub, peer, bytes, memory) {
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
        memory: &mut VecDeque<Arrived>,
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
                    peer.loans.accept(memory.pop_front())
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
            if is_memory(header) {
                lent = take_memory(peer, header, memory)?;
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
        router: &mut super::router::Router,
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

    fn send(self, hub: &Rc<Hub>, peer: &Rc<Peer>, bytes: &[u8], blocked: &mut Vec<Full>) -> Result<(), CoreError> {
        self.finish(hub, peer, blocked, |target, runs| target.send_runs(hub, bytes, runs))
    }

    /// As `send`, for one frame in a buffer of its own: not copied when it must wait.
    fn send_large(
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

/// Whether a frame stands for memory.
const fn is_memory(header: Header) -> bool {
    header.flags & flags::MEMORY != 0 && header.kind.is_part()
}

/// The memory of a part, which counts as lent by the node until it is given back. `None` when there was no descriptor left
/// for it.
fn take_memory(peer: &Peer, header: Header, arrived: &mut VecDeque<Arrived>) -> Result<Option<Memory>, CoreError> {
    let missing = || decode_error(DecodeError::MissingMemory(header.kind));
    let arrived = arrived.pop_front().filter(|_| header.payload_len() == 0).ok_or_else(missing)?;
    let memory = arrived.map(Memory::received).transpose().map_err(|_| missing())?;
    if !peer.loans.begin() {
        return Err(CoreError::new(ErrorCode::Protocol, "The node sent more memory than it may."));
    }
    Ok(memory)
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

/// Buffers filled in a row before others have their turn.
const READS_A_TURN: u32 = 4;
/// Frames over this are pieces of a big payload.
const PIECE_BYTES: usize = FRAGMENT_BYTES as usize;
/// What may wait for a node before pieces for it are left unread: small calls pass them at the sender, and not here.
/// Enough to keep a socket busy until we are back.
pub(super) const PIECES_SOFT_BYTES: usize = 1024 * 1024;
/// A frame over this that is not whole gets a buffer of its own; below, copying is cheaper.
pub(super) const LARGE_FRAME_BYTES: usize = 16 * 1024;
