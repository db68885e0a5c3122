//! One node, seen from the controller: its socket, what waits for it, whether it is alive.

use super::gather::GATHERED_BYTES;
use super::hub::Hub;
use super::memory::Loans;
use super::outbox::{Outbox, write_runs};
use crate::handshake::Accepted;
use crate::memory::Memory;
use crate::panics::{self, Place};
use crate::transport::Stream;
use bytes::Bytes;
use daffi_protocol::ErrorCode;
use std::cell::{Cell, RefCell};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A welcomed node.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its index, never used again.
    pub index: u32,
    /// Who it is, for a later connection that claims its name.
    pub identity: Accepted,
    /// It belongs to the user of the controller, on this machine.
    pub is_local: bool,
    /// Shared with whoever lingers to tell it why it is closed.
    pub stream: Rc<Stream>,
    /// Runs of the batch in work that go to it. Empty between batches.
    pub runs: RefCell<Vec<(usize, usize)>>,
    /// Others have been told that it is there.
    pub is_announced: Cell<bool>,
    /// It has left the router; nothing is read from or sent to it any more.
    pub is_gone: Cell<bool>,
    /// It has taken nothing for a while; nobody waits for it.
    pub is_slow: Cell<bool>,
    /// Not read from, because something it sends to is full: its silence says nothing.
    pub is_paused: Cell<bool>,
    /// The beginning of a frame has come and not its end.
    pub is_partial: Cell<bool>,
    /// Bytes came since the last tick.
    pub is_heard: Cell<bool>,
    /// Bytes went since the last tick.
    pub is_told: Cell<bool>,
    /// Ticks without a byte from it.
    pub silent_ticks: Cell<u32>,
    /// Ticks without a byte to it.
    pub quiet_ticks: Cell<u32>,
    /// Frames since the last tick that are no calls.
    controls: Cell<u32>,
    /// Cancels since the last tick.
    cancels: Cell<u32>,
    /// Rings with each tick.
    pub tick: Notify,
    /// Rings when there is room again, it became slow, or it is gone.
    pub room: Notify,
    /// Memory that is lent between it and the controller.
    pub loans: Loans,
    outbox: RefCell<Outbox>,
    /// Small runs that leave at the end of the turn. Empty while bytes wait for room.
    gathered: RefCell<Vec<u8>>,
    /// What the hub counts as queued for it.
    counted: Cell<usize>,
    /// A task waits for room in its socket.
    is_writing: Cell<bool>,
}

impl Peer {
    pub fn new(index: u32, identity: Accepted, is_local: bool, stream: Rc<Stream>) -> Rc<Self> {
        Rc::new(Self {
            index,
            identity,
            is_local,
            stream,
            runs: RefCell::default(),
            is_announced: Cell::new(false),
            is_gone: Cell::new(false),
            is_slow: Cell::new(false),
            is_paused: Cell::new(false),
            is_partial: Cell::new(false),
            is_heard: Cell::new(true),
            is_told: Cell::new(true),
            silent_ticks: Cell::new(0),
            quiet_ticks: Cell::new(0),
            controls: Cell::new(0),
            cancels: Cell::new(0),
            tick: Notify::new(),
            room: Notify::new(),
            loans: Loans::default(),
            outbox: RefCell::default(),
            gathered: RefCell::default(),
            counted: Cell::new(0),
            is_writing: Cell::new(false),
        })
    }

    /// From now on [`Peer::has_spoken`] tells of new bytes.
    pub fn expect_bytes(&self) {
        self.is_heard.set(false);
        self.silent_ticks.set(self.silent_ticks.get().max(1));
    }

    /// Whether a byte came since [`Peer::expect_bytes`].
    pub fn has_spoken(&self) -> bool {
        self.is_heard.get() || self.silent_ticks.get() == 0
    }

    /// Counts a frame that is no call; false when it is one too many.
    pub fn count_control(&self) -> bool {
        self.controls.set(self.controls.get() + 1);
        self.controls.get() <= CONTROLS_A_TICK
    }

    /// Counts a cancel.
    pub fn count_cancel(&self) {
        self.cancels.set(self.cancels.get() + 1);
    }

    /// Whether it has cancelled so much that it is not read before the next tick.
    pub fn is_hasty(&self) -> bool {
        self.cancels.get() > CANCELS_A_TICK
    }

    /// A tick has passed: it may do as much again.
    pub fn end_tick(&self) {
        self.controls.set(0);
        self.cancels.set(0);
        self.tick.notify_waiters();
    }

    /// Bytes that wait for room in its socket or for the end of the turn, what TLS holds of them included.
    pub fn queued(&self) -> usize {
        self.outbox.borrow().queued() + self.gathered.borrow().len() + self.stream.unsent()
    }

    /// Writes runs of `buffer`, keeps a copy of what does not fit. While many connections are busy, small runs are
    /// gathered instead.
    pub fn send_runs(self: &Rc<Self>, hub: &Rc<Hub>, buffer: &[u8], runs: &[(usize, usize)]) {
        if hub.gatherer.is_on() && self.gather(hub, buffer, runs) {
            return;
        }
        let mut written = self.try_send(hub, buffer, runs);
        self.keep(hub, |outbox| {
            for &(start, end) in runs {
                let skipped = written.min(end - start);
                written -= skipped;
                outbox.push_copy(buffer.get(start + skipped..end).unwrap_or_default());
            }
        });
    }

    /// Writes one frame that has a buffer of its own, keeps that when it does not fit.
    pub fn send_owned(self: &Rc<Self>, hub: &Rc<Hub>, frame: Vec<u8>) {
        let written = self.try_send(hub, &frame, &[(0, frame.len())]);
        if written == frame.len() {
            hub.give_back(frame);
            self.keep(hub, |_| ());
        } else {
            self.keep(hub, |outbox| outbox.push_owned(frame, written));
        }
    }

    /// Writes bytes that others get too.
    pub fn send_shared(self: &Rc<Self>, hub: &Rc<Hub>, bytes: &Bytes) {
        let written = self.try_send(hub, bytes, &[(0, bytes.len())]);
        self.keep(hub, |outbox| outbox.push_shared(bytes.clone(), written));
    }

    /// Sends a payload as memory, whose part `frame` is; false when it must go in pieces.
    pub fn send_memory(self: &Rc<Self>, hub: &Rc<Hub>, frame: &[u8], memory: &Memory) -> bool {
        self.release(hub);
        if self.is_gone.get() || self.queued() > 0 {
            return false;
        }
        let Ok(written) = self.stream.try_write_memory(frame, memory) else { return false };
        self.is_told.set(true);
        self.keep(hub, |outbox| outbox.push_copy(frame.get(written..).unwrap_or_default()));
        true
    }

    /// Keeps a copy of small runs for the end of the turn; false when they must take their way at once.
    fn gather(self: &Rc<Self>, hub: &Rc<Hub>, buffer: &[u8], runs: &[(usize, usize)]) -> bool {
        let bytes: usize = runs.iter().map(|(start, end)| end - start).sum();
        // Nobody who sends is held up by what waits for the end of the turn alone.
        let most = GATHERED_BYTES.min(hub.options.outbound_soft);
        if bytes >= most || self.is_gone.get() {
            return false;
        }
        if self.gathered.borrow().len() + bytes > most {
            self.release(hub);
        }
        let mut gathered = self.gathered.borrow_mut();
        if gathered.is_empty() {
            if self.outbox.borrow().queued() + self.stream.unsent() > 0 {
                return false;
            }
            if gathered.capacity() == 0 {
                let Some(buffer) = hub.gatherer.begin(Rc::clone(self)) else { return false };
                *gathered = buffer;
            }
        }
        for &(start, end) in runs {
            gathered.extend_from_slice(buffer.get(start..end).unwrap_or_default());
        }
        drop(gathered);
        self.count(hub);
        true
    }

    /// Writes what is gathered, keeps what does not fit.
    pub fn release(self: &Rc<Self>, hub: &Rc<Hub>) {
        let gathered = self.gathered.take();
        if gathered.is_empty() {
            return;
        }
        let written = self.try_send(hub, &gathered, &[(0, gathered.len())]);
        if written == gathered.len() || self.is_gone.get() {
            hub.gatherer.give_buffer_back(gathered);
            self.keep(hub, |_| ());
        } else {
            self.keep(hub, |outbox| outbox.push_owned(gathered, written));
        }
    }

    /// Writes past the outbox when that is empty; gives the bytes that went.
    fn try_send(self: &Rc<Self>, hub: &Rc<Hub>, buffer: &[u8], runs: &[(usize, usize)]) -> usize {
        self.release(hub);
        if self.is_gone.get() || self.queued() > 0 {
            return 0;
        }
        match write_runs(&self.stream, buffer, runs) {
            Ok(0) => 0,
            Ok(written) => {
                self.is_told.set(true);
                written
            }
            Err(_) => {
                hub.fail(self, ErrorCode::ConnectionLost);
                0
            }
        }
    }

    fn keep(self: &Rc<Self>, hub: &Rc<Hub>, push: impl FnOnce(&mut Outbox)) {
        if self.is_gone.get() {
            return;
        }
        push(&mut self.outbox.borrow_mut());
        let queued = self.count(hub);
        if queued == 0 {
            return;
        }
        if queued > hub.options.outbound_hard {
            hub.fail(self, ErrorCode::SlowConsumer);
        } else if hub.is_over_budget() {
            hub.shed();
        } else if !self.is_writing.replace(true) {
            let (peer, hub) = (Rc::clone(self), Rc::clone(hub));
            tokio::task::spawn_local(async move {
                if panics::catch(Rc::clone(&peer).write_out(Rc::clone(&hub))).await.is_none() {
                    peer.is_writing.set(false);
                    hub.fail(&peer, ErrorCode::ConnectionLost);
                    hub.settle();
                }
            });
        }
    }

    /// Writes what is kept as room comes, until nothing is left.
    async fn write_out(self: Rc<Self>, hub: Rc<Hub>) {
        panics::may_happen(Place::WriteOut);
        let mut last_progress = Instant::now();
        while !self.is_gone.get() && self.queued() > 0 {
            match tokio::time::timeout(SLOW_AFTER.min(hub.options.stall), self.stream.writable()).await {
                Ok(_) => match self.flush(&hub) {
                    Ok(0) => {}
                    Ok(_) => {
                        last_progress = Instant::now();
                        self.set_slow(&hub, false);
                    }
                    Err(_) => hub.fail(&self, ErrorCode::ConnectionLost),
                },
                Err(_) if last_progress.elapsed() >= hub.options.stall => hub.fail(&self, ErrorCode::SlowConsumer),
                Err(_) => self.set_slow(&hub, true),
            }
            if self.is_slow.get() || self.queued() <= hub.options.outbound_soft {
                self.room.notify_waiters();
            }
            hub.settle();
        }
        self.is_writing.set(false);
    }

    fn flush(&self, hub: &Hub) -> std::io::Result<usize> {
        let written = self.outbox.borrow_mut().flush(&self.stream)?;
        self.count(hub);
        if written > 0 {
            self.is_told.set(true);
        }
        Ok(written)
    }

    /// Brings the hub's count of what waits for it up to date; gives that.
    fn count(&self, hub: &Hub) -> usize {
        let queued = self.queued();
        hub.count_queued(self.counted.replace(queued), queued);
        queued
    }

    fn set_slow(&self, hub: &Hub, is_slow: bool) {
        if self.is_slow.replace(is_slow) != is_slow {
            hub.router.borrow_mut().set_slow(self.index, is_slow);
        }
    }

    /// Closes the socket and lets go of whoever waits for it.
    pub fn close(&self, hub: &Hub) {
        self.is_gone.set(true);
        let _ = self.stream.shutdown(Shutdown::Both);
        self.outbox.take();
        self.gathered.take();
        hub.count_queued(self.counted.take(), 0);
        self.loans.end_all(hub);
        self.room.notify_waiters();
        self.tick.notify_waiters();
    }
}

/// Registrations, pings and the like that a node may send a tick, a second by default; beyond, it is
/// closed (RELIABILITY R10). A hundred thousand callbacks are 400 of them.
const CONTROLS_A_TICK: u32 = 2000;
/// Cancels a tick beyond which a node is not read until the next: many calls may well time out at
/// once, but their cancels must not take the thread from the others.
const CANCELS_A_TICK: u32 = 100_000;
/// Whoever takes nothing for so long no longer holds up those who send to it.
const SLOW_AFTER: Duration = Duration::from_millis(250);

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
