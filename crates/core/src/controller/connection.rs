//! Bytes of one node in: read into a buffer that all connections of the thread share, whole frames to a [`Batch`], the rest
//! kept until more comes.

use super::batch::{Batch, Full};
use super::hub::Hub;
use super::memory;
use super::peer::Peer;
use crate::error::CoreError;
use crate::handshake::{self, decode_error};
use crate::memory::Arrived;
use crate::panics::{self, Place};
use crate::runtime;
use bytes::BufMut;
use daffi_protocol::{ErrorCode, Header};
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

/// Buffers filled in a row before others have their turn.
const READS_A_TURN: u32 = 4;
/// A frame over this that is not whole gets a buffer of its own; below, copying is cheaper.
pub(super) const LARGE_FRAME_BYTES: usize = 16 * 1024;
