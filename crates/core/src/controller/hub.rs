//! What the tasks of one controller share: peers, router, buffers. All of it on one thread.

use super::admission::Strangers;
use super::batch::error_frame;
use super::connection;
use super::doorman::Doorman;
use super::gather::Gatherer;
use super::pace::Pace;
use super::peer::Peer;
use super::registry::Registry;
use super::router::Router;
use super::telling::{self, Telling};
use super::{ControllerOptions, Counters, StoppedNodes};
use crate::error::CoreError;
use crate::heartbeat;
use crate::panics::{self, Place};
use bytes::Bytes;
use daffi_protocol::control::{self, Goodbye};
use daffi_protocol::limits::{HEADER_BYTES, MAX_FRAME_BODY_BYTES};
use daffi_protocol::{ErrorCode, Header, Kind, frame_len};
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) struct Hub {
    pub options: ControllerOptions,
    pub router: RefCell<Router>,
    /// Welcomed nodes by index.
    pub peers: RefCell<FxHashMap<u32, Rc<Peer>>>,
    /// Where all connections read into.
    pub scratch: RefCell<Box<[u8]>>,
    /// Lists of a batch, kept for their memory.
    pub lists: Cell<(Vec<Rc<Peer>>, Vec<u8>)>,
    /// Brings together what goes to one node, while many connections are busy.
    pub gatherer: Gatherer<Rc<Peer>>,
    /// Buffers for large frames, kept for their memory.
    buffers: RefCell<Vec<Vec<u8>>>,
    /// Connections that have not proved themselves.
    pub strangers: RefCell<Strangers>,
    pub doorman: RefCell<Doorman>,
    /// Peers to be closed as soon as no batch is in work.
    failed: RefCell<Vec<(Rc<Peer>, ErrorCode)>>,
    /// Answers for nodes other than the sender, to be sent as soon as no batch is in work.
    late_answers: RefCell<Vec<(u32, [u8; HEADER_BYTES])>>,
    /// Name of the node in this process.
    pub own_node: RefCell<Option<(u32, String)>>,
    changes_are_due: Cell<bool>,
    /// When all are told of them.
    pub pace: RefCell<Pace>,
    queued: Cell<usize>,
    counters: Arc<Counters>,
    /// Takes no new nodes and calls.
    pub is_stopping: Cell<bool>,
    /// Says nothing to anybody any more.
    is_ending: Cell<bool>,
    /// Rings, while stopping, when something ended.
    ended: Notify,
    /// Rings when a node has left.
    departed: Notify,
}

impl Hub {
    pub fn new(options: ControllerOptions, counters: Arc<Counters>, seed: u32) -> Rc<Self> {
        Rc::new(Self {
            doorman: RefCell::new(Doorman::new(options.max_per_address)),
            options,
            router: RefCell::new(Router::new(seed)),
            peers: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            lists: Cell::default(),
            gatherer: Gatherer::new(),
            buffers: RefCell::default(),
            strangers: RefCell::default(),
            failed: RefCell::default(),
            late_answers: RefCell::default(),
            own_node: RefCell::default(),
            changes_are_due: Cell::new(false),
            pace: RefCell::default(),
            queued: Cell::new(0),
            counters,
            is_stopping: Cell::new(false),
            is_ending: Cell::new(false),
            ended: Notify::new(),
            departed: Notify::new(),
        })
    }

    /// Notes that a peer must go; [`Hub::settle`] closes it.
    pub fn fail(&self, peer: &Rc<Peer>, code: ErrorCode) {
        if !peer.is_gone.get() {
            self.failed.borrow_mut().push((Rc::clone(peer), code));
        }
    }

    /// Notes an answer for a node that is not the one in work.
    pub fn answer_later(&self, node: u32, frame: [u8; HEADER_BYTES]) {
        self.late_answers.borrow_mut().push((node, frame));
    }

    /// Does what had to wait for the end of a batch, and brings the counters up to date.
    pub fn settle(self: &Rc<Self>) {
        loop {
            let late = self.late_answers.borrow_mut().pop();
            if let Some((node, frame)) = late {
                self.send_to(node, &frame);
                continue;
            }
            let failed = self.failed.borrow_mut().pop();
            let Some((peer, code)) = failed else { break };
            self.depart(&peer, code, true);
        }
        self.publish();
    }

    fn send_to(self: &Rc<Self>, node: u32, frames: &[u8]) {
        let peer = self.peers.borrow().get(&node).cloned();
        if let Some(peer) = peer {
            peer.send_runs(self, frames, &[(0, frames.len())]);
        }
    }

    /// Ends a peer and all its calls at once. `closes` leaves the socket to the caller when false.
    pub fn depart(self: &Rc<Self>, peer: &Rc<Peer>, code: ErrorCode, closes: bool) {
        if peer.is_gone.get() {
            return;
        }
        peer.release(self);
        peer.is_gone.set(true);
        tracing::debug!(node = peer.index, ?code, "node left");
        self.peers.borrow_mut().remove(&peer.index);
        let mut departure = self.router.borrow_mut().leave(peer.index);
        if closes {
            let is_at_frame_end = peer.queued() == 0;
            if code != ErrorCode::ConnectionLost && is_at_frame_end {
                let _ = peer.stream.try_write(&CoreError::new(code, "The controller gave the node up.").refusal());
            }
            peer.close(self);
        } else {
            peer.room.notify_waiters();
        }
        self.own_node.borrow_mut().take_if(|(index, _)| *index == peer.index);
        self.ended.notify_one();
        self.departed.notify_waiters();
        if self.is_ending.get() {
            return;
        }
        departure.lost.sort_unstable_by_key(|lost| lost.caller);
        for lost in departure.lost.chunk_by(|one, other| one.caller == other.caller) {
            let frames: Vec<u8> = lost
                .iter()
                .flat_map(|lost| error_frame(peer.index, lost.slot, lost.generation, ErrorCode::NodeLost))
                .collect();
            self.send_to(lost.first().map_or(0, |lost| lost.caller), &frames);
        }
        departure.orphans.sort_unstable_by_key(|orphan| orphan.callee);
        for orphans in departure.orphans.chunk_by(|one, other| one.callee == other.callee) {
            let frames: Vec<u8> = orphans
                .iter()
                .flat_map(|orphan| {
                    // The code tells it from a caller that gave up.
                    let header = Header { callback: ErrorCode::NodeLost as u32, ..Header::new(Kind::Cancel) };
                    let (slot, generation) = (orphan.slot, orphan.generation);
                    Header { node: peer.index, slot, generation, ..header }.encode()
                })
                .collect();
            self.send_to(orphans.first().map_or(0, |orphan| orphan.callee), &frames);
        }
        self.schedule_changes();
    }

    /// Has everybody told of changes as soon as the [`Pace`] allows.
    pub fn schedule_changes(self: &Rc<Self>) {
        let since = Instant::now();
        self.pace.borrow_mut().changed(since);
        if !self.changes_are_due.replace(true) {
            let hub = Rc::clone(self);
            tokio::task::spawn_local(async move {
                loop {
                    let delay = hub.pace.borrow().delay(since, Instant::now());
                    if delay.is_zero() {
                        break;
                    }
                    tokio::time::sleep(delay).await;
                    // All may have been told in between.
                    if !hub.changes_are_due.get() {
                        return;
                    }
                }
                let telling = async {
                    panics::may_happen(Place::Changes);
                    hub.tell_changes();
                };
                if panics::catch(telling).await.is_none() {
                    // Nobody can tell who heard: all begin anew.
                    hub.changes_are_due.set(false);
                    let peers: Vec<Rc<Peer>> = hub.peers.borrow().values().cloned().collect();
                    peers.iter().for_each(|peer| hub.fail(peer, ErrorCode::ConnectionLost));
                }
                hub.settle();
            });
        }
    }

    /// Writes at the end of each turn what was gathered.
    pub async fn keep_flushing(self: Rc<Self>) {
        let flushing = async || loop {
            self.flush_gathered().await;
            self.settle();
            self.gatherer.turn().await;
            panics::may_happen(Place::Flush);
        };
        while panics::catch(flushing()).await.is_none() {}
    }

    /// Writes what was gathered so far. Waits for nothing.
    pub async fn flush_gathered(self: &Rc<Self>) {
        while let Some(peer) = self.gatherer.next() {
            if panics::catch(async { peer.release(self) }).await.is_none() {
                self.fail(&peer, ErrorCode::ConnectionLost);
            }
        }
    }

    /// Tells everybody what changed among the nodes since the last time.
    pub fn tell_changes(self: &Rc<Self>) {
        self.changes_are_due.set(false);
        let begun = Instant::now();
        let changes = {
            let registry = &mut self.router.borrow_mut().registry;
            if !registry.is_changed() || self.is_ending.get() {
                return;
            }
            registry.take_changes()
        };
        let mut telling = Telling::new(changes);
        let peers: Vec<Rc<Peer>> = self.peers.borrow().values().cloned().collect();
        for peer in peers {
            peer.is_announced.set(true);
            telling.frames(peer.index).iter().for_each(|bytes| peer.send_shared(self, bytes));
        }
        self.pace.borrow_mut().told(begun, Instant::now());
    }

    /// Whether all are told of a node that begins to call; else it is introduced to those whom it calls, since telling
    /// all takes its time while many come.
    pub fn must_announce(&self, registry: &Registry) -> bool {
        registry.is_full_of_introductions() || self.pace.borrow().allows(Instant::now())
    }

    /// Tells the node `to` of `peer` if it was not told yet: nobody gets a call of a node that it does not know.
    pub fn introduce(self: &Rc<Self>, registry: &mut Registry, peer: &Peer, to: &Rc<Peer>) {
        if peer.is_announced.get() {
            return;
        }
        if let Some(change) = registry.introduce(peer.index, to.index) {
            telling::frames(change).iter().for_each(|frame| to.send_runs(self, frame, &[(0, frame.len())]));
        }
    }

    /// Pings whom nothing was sent to, gives up whom nothing was heard of.
    ///
    /// Counts ticks instead of reading the clock a batch; a controller that was itself asleep
    /// blames nobody for it.
    pub async fn keep_alive(self: Rc<Self>) {
        while panics::catch(Rc::clone(&self).beat()).await.is_none() {}
    }

    async fn beat(self: Rc<Self>) {
        let ControllerOptions { heartbeat, dead, stall, .. } = self.options;
        let tick = (heartbeat.min(dead).min(stall) / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let quiet_limit = heartbeat::controller_pings_after(heartbeat, dead);
        let ping = Header::new(Kind::Ping).encode();
        loop {
            tokio::time::sleep(tick).await;
            panics::may_happen(Place::Heartbeat);
            self.router.borrow_mut().registry.end_tick();
            let peers: Vec<Rc<Peer>> = self.peers.borrow().values().cloned().collect();
            for peer in peers {
                let is_heard = peer.is_heard.replace(false) || peer.is_paused.get();
                let silent = if is_heard { 0 } else { peer.silent_ticks.get() + 1 };
                peer.silent_ticks.set(silent);
                if tick * silent >= dead || (peer.is_partial.get() && tick * silent >= stall) {
                    self.fail(&peer, ErrorCode::HeartbeatLost);
                    continue;
                }
                peer.end_tick();
                let quiet = if peer.is_told.replace(false) { 0 } else { peer.quiet_ticks.get() + 1 };
                peer.quiet_ticks.set(quiet);
                if tick * quiet >= quiet_limit && peer.queued() == 0 {
                    peer.quiet_ticks.set(0);
                    peer.send_runs(&self, &ping, &[(0, ping.len())]);
                }
            }
            self.settle();
        }
    }

    /// Asks all nodes but the own one to stop and waits until they have left, at most `timeout`.
    pub async fn stop_nodes(self: Rc<Self>, timeout: Duration) -> StoppedNodes {
        panics::may_happen(Place::StopNodes);
        let asked = self.ask_to_stop(0, "the process of the controller");
        let all_gone = async {
            loop {
                let departed = self.departed.notified();
                if asked.iter().all(|peer| peer.is_gone.get()) {
                    return;
                }
                departed.await;
            }
        };
        let _ = tokio::time::timeout(timeout, all_gone).await;
        // Whoever asked should find them gone.
        self.tell_changes();
        let (stopped, remaining): (Vec<_>, Vec<_>) = asked.iter().partition(|peer| peer.is_gone.get());
        let names = |peers: Vec<&Rc<Peer>>| peers.into_iter().map(|peer| peer.identity.name.clone()).collect();
        StoppedNodes { stopped: names(stopped), remaining: names(remaining) }
    }

    /// Asks all nodes to stop, but the one in this process and the one of index `asker`. Gives them.
    pub fn ask_to_stop(self: &Rc<Self>, asker: u32, who: &str) -> Vec<Rc<Peer>> {
        let own = self.own_node.borrow().as_ref().map(|(index, _)| *index);
        let is_asked = |peer: &&Rc<Peer>| Some(peer.index) != own && peer.index != asker;
        let asked: Vec<Rc<Peer>> = self.peers.borrow().values().filter(is_asked).cloned().collect();
        let stop = Goodbye { reason: format!("Asked to stop by {who}.") };
        let bytes = Bytes::from(control::frame(Kind::Stop, &stop).unwrap_or_default());
        for peer in &asked {
            peer.send_shared(self, &bytes);
        }
        self.settle();
        asked
    }

    /// Says goodbye to all and waits until the calls under way have ended, at most `drain`.
    pub async fn drain(self: &Rc<Self>, drain: Duration) {
        self.is_stopping.set(true);
        self.router.borrow_mut().stop();
        let goodbye = Goodbye { reason: "The controller is stopping.".into() };
        let bytes = Bytes::from(control::frame(Kind::Goodbye, &goodbye).unwrap_or_default());
        let peers: Vec<Rc<Peer>> = self.peers.borrow().values().cloned().collect();
        for peer in peers {
            peer.send_shared(self, &bytes);
        }
        self.settle();
        let settled = async {
            while self.router.borrow().in_flight() > 0 || self.queued.get() > 0 {
                self.ended.notified().await;
            }
        };
        let _ = tokio::time::timeout(drain, settled).await;
    }

    /// Closes everything. What was sent is given a moment to be read.
    pub async fn end(self: &Rc<Self>) {
        self.is_stopping.set(true);
        self.is_ending.set(true);
        self.flush_gathered().await;
        for peer in self.peers.borrow().values() {
            let _ = peer.stream.shutdown(Shutdown::Write);
        }
        let all_gone = async {
            while !self.peers.borrow().is_empty() {
                self.ended.notified().await;
            }
        };
        let _ = tokio::time::timeout(LINGER, all_gone).await;
        self.strangers.borrow_mut().close_all();
        let peers: Vec<Rc<Peer>> = self.peers.borrow().values().cloned().collect();
        for peer in peers {
            self.depart(&peer, ErrorCode::ConnectionLost, true);
        }
        self.publish();
    }

    /// A buffer that has room for a frame of `length` bytes.
    ///
    /// The memory is touched as the bytes come, so an announced length alone costs nothing.
    pub fn take_buffer(&self, length: usize) -> Vec<u8> {
        let mut buffer = self.buffers.borrow_mut().pop().unwrap_or_default();
        buffer.clear();
        buffer.reserve_exact(length);
        buffer
    }

    /// Takes back a buffer that may serve again.
    pub fn give_back(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        let is_useful = (connection::LARGE_FRAME_BYTES..=LARGEST_FRAME_BYTES).contains(&buffer.capacity());
        if is_useful && buffers.len() < KEPT_BUFFERS {
            buffers.push(buffer);
        }
    }

    /// Notes how an outbox changed.
    pub fn count_queued(&self, before: usize, after: usize) {
        self.queued.set((self.queued.get() + after).saturating_sub(before));
    }

    /// Whether more waits than may for all nodes together.
    pub fn is_over_budget(&self) -> bool {
        self.queued.get() > self.options.buffer_budget
    }

    /// Has the node go for which most bytes wait: what it holds is memory of all.
    pub fn shed(&self) {
        let peers = self.peers.borrow();
        if let Some(peer) = peers.values().max_by_key(|peer| peer.queued()) {
            tracing::warn!(
                node = peer.index,
                bytes = peer.queued(),
                "closed the node that holds most of a full buffer"
            );
            self.fail(peer, ErrorCode::SlowConsumer);
        }
    }

    pub fn publish(&self) {
        let router = self.router.borrow();
        let (peers, strangers) = (self.peers.borrow().len(), self.strangers.borrow().len());
        self.counters.nodes.store(peers as u64, Relaxed);
        self.counters.unauthenticated.store(strangers as u64, Relaxed);
        self.counters.connections.store((peers + strangers) as u64, Relaxed);
        self.counters.calls_in_flight.store(router.in_flight() as u64, Relaxed);
        self.counters.stray_responses.store(router.strays(), Relaxed);
        self.counters.queued_bytes.store(self.queued.get() as u64, Relaxed);
        if self.is_stopping.get() && router.in_flight() == 0 && self.queued.get() == 0 {
            self.ended.notify_one();
        }
    }
}

/// The small frame that was begun, and a socket buffer's worth of further ones.
const SCRATCH_BYTES: usize = 256 * 1024 + connection::LARGE_FRAME_BYTES;
/// Buffers of the largest frame that are kept: 2 MiB.
const KEPT_BUFFERS: usize = 8;
const LARGEST_FRAME_BYTES: usize = frame_len(MAX_FRAME_BODY_BYTES as usize);
/// How long an ending controller lets nodes read what was sent.
const LINGER: Duration = Duration::from_millis(200);
