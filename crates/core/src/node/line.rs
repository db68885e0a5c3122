//! One connection of a node, shared by the JavaScript thread and the guard.
//!
//! The JavaScript thread submits and drains; the guard sends what the socket refused, keeps the
//! heartbeat, and reads in its place while JavaScript is busy. Each half has its lock; a thread that
//! needs both takes the inbox first.

use crate::node::assembly::Limits;
use crate::node::inbox::{Inbox, PUMP_BYTES, Pumped};
use crate::node::outbox::{Outbox, Pressed};
use crate::socket::Socket;
use daffi_protocol::{ErrorCode, Header};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// A connection between handshake and end.
#[derive(Debug)]
pub struct Line {
    /// Shared with whoever watches it for readability; closed when the last holder is gone.
    pub socket: Arc<Socket>,
    pub(super) outbox: Mutex<Outbox>,
    inbox: Mutex<Receiving>,
    /// Rises with each drain by JavaScript: a guard that sees it stand still takes over.
    pub(super) drains: AtomicU64,
    ended: AtomicBool,
    /// Why it ended, for the guard.
    pub(super) reason: Mutex<Option<(ErrorCode, String)>>,
    /// Wakes the guard: something is queued, or the line has ended.
    pub(super) wake: Arc<Notify>,
}

#[derive(Debug)]
struct Receiving {
    inbox: Inbox,
    /// Whole frames and events that wait for JavaScript, oldest first.
    stash: VecDeque<Vec<u8>>,
    stashed_bytes: usize,
    /// The last event is stashed.
    sealed: bool,
}

/// What a drain gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Bytes of whole frames at the front of the buffer.
    pub bytes: usize,
    /// Whether to drain again without waiting for the doorbell.
    pub more: bool,
}

impl Line {
    pub(super) fn new(socket: Socket, leftover: Vec<u8>, limits: Limits, soft: usize, wake: Arc<Notify>) -> Self {
        Self {
            socket: Arc::new(socket),
            outbox: Mutex::new(Outbox::new(soft)),
            inbox: Mutex::new(Receiving {
                inbox: Inbox::new(limits, leftover),
                stash: VecDeque::new(),
                stashed_bytes: 0,
                sealed: false,
            }),
            drains: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            reason: Mutex::new(None),
            wake,
        }
    }

    /// Whether no byte will come or go any more. What is stashed can still be drained.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether JavaScript has been given its welcome: the first drain gives it.
    pub(super) fn is_known(&self) -> bool {
        self.drains.load(Ordering::Relaxed) > 0
    }

    /// Sends whole frames. True when the caller should hold back.
    pub(super) fn send(&self, frames: &[u8]) -> bool {
        self.write(|outbox| outbox.send(&self.socket, frames)).small
    }

    /// Sends one payload in fragments. True when the caller should hold back further ones.
    pub(super) fn send_big(&self, header: Header, extension: &[u8], pieces: &[&[u8]]) -> bool {
        self.write(|outbox| outbox.send_big(&self.socket, header, extension, pieces)).big
    }

    /// Whether something waits for room in the socket.
    pub(super) fn has_unsent(&self) -> bool {
        self.outbox.lock().queued() > 0 || self.socket.unsent() > 0
    }

    fn write(&self, write: impl FnOnce(&mut Outbox) -> io::Result<()>) -> Pressed {
        let mut outbox = self.outbox.lock();
        if let Err(error) = write(&mut outbox) {
            if error.kind() == io::ErrorKind::OutOfMemory {
                drop(outbox);
                self.end(ErrorCode::ConnectionLost, "there is no memory for a payload that waits to be sent".into());
                return Pressed::default();
            }
            // A broken pipe is told by the reading side, after what the peer said last.
            outbox.clear();
            self.wake.notify_one();
        } else if outbox.queued() > 0 || self.socket.unsent() > 0 {
            self.wake.notify_one();
        }
        outbox.pressed()
    }

    /// Fills `out` with whole frames: first what is stashed, then, if `read`, what the socket has.
    pub(super) fn drain(&self, out: &mut [u8], read: bool) -> Drained {
        self.drains.fetch_add(1, Ordering::Relaxed);
        let mut receiving = self.inbox.lock();
        let mut bytes = 0;
        while let Some(chunk) = receiving.stash.front() {
            let Some(space) = out.get_mut(bytes..bytes + chunk.len()) else {
                return Drained { bytes, more: true };
            };
            space.copy_from_slice(chunk);
            bytes += chunk.len();
            receiving.stashed_bytes -= chunk.len();
            receiving.stash.pop_front();
        }
        if !read || self.has_ended() {
            return Drained { bytes, more: false };
        }
        let pumped = receiving.inbox.pump(&self.socket, out, &mut bytes);
        self.reply(&mut receiving);
        let more = pumped == Pumped::More;
        drop(receiving);
        if let Pumped::Closed(code, message) = pumped {
            self.end(code, message);
        }
        Drained { bytes, more }
    }

    /// Reads in JavaScript's place until the socket has no more or `limit` bytes are stashed. Gives
    /// whether something was stashed.
    pub(super) fn take_over(&self, limit: usize) -> bool {
        let mut buffer = vec![0; PUMP_BYTES];
        let mut stashed = false;
        loop {
            let mut receiving = self.inbox.lock();
            if self.has_ended() || receiving.stashed_bytes >= limit {
                return stashed;
            }
            let mut bytes = 0;
            let pumped = receiving.inbox.pump(&self.socket, &mut buffer, &mut bytes);
            self.reply(&mut receiving);
            if bytes > 0 {
                receiving.push(buffer.get(..bytes).unwrap_or_default().to_vec());
                stashed = true;
            }
            drop(receiving);
            match pumped {
                Pumped::More => {}
                Pumped::Empty => return stashed,
                Pumped::Closed(code, message) => {
                    self.end(code, message);
                    return stashed;
                }
            }
        }
    }

    /// Puts a frame of our own behind what has arrived.
    pub(super) fn stash(&self, frame: Vec<u8>) {
        self.inbox.lock().push(frame);
    }

    /// Puts the last event of this connection behind what has arrived.
    pub(super) fn seal(&self, event: Vec<u8>) {
        let mut receiving = self.inbox.lock();
        receiving.push(event);
        receiving.sealed = true;
    }

    /// Whether JavaScript has taken everything that will ever come.
    pub(super) fn is_done(&self) -> bool {
        let receiving = self.inbox.lock();
        receiving.sealed && receiving.stash.is_empty()
    }

    /// The payload of a frame flagged BIG, once.
    pub(super) fn take_big(&self, token: u32) -> Option<Vec<u8>> {
        self.inbox.lock().inbox.take_big(token)
    }

    /// What it keeps for JavaScript: stashed batches and big payloads, and their bytes.
    pub(super) fn held(&self) -> (usize, u64) {
        let receiving = self.inbox.lock();
        let (payloads, reserved) = receiving.inbox.held();
        (receiving.stash.len() + payloads, receiving.stashed_bytes as u64 + reserved)
    }

    /// All bytes read so far.
    pub(super) fn total_read(&self) -> u64 {
        self.inbox.lock().inbox.total_read()
    }

    /// Ends the connection for this reason; the first reason counts.
    pub(super) fn end(&self, code: ErrorCode, message: String) {
        self.reason.lock().get_or_insert((code, message));
        self.ended.store(true, Ordering::Release);
        self.socket.shut_down();
        self.outbox.lock().clear();
        self.wake.notify_one();
    }

    fn reply(&self, receiving: &mut Receiving) {
        if !receiving.inbox.replies.is_empty() {
            self.send(&receiving.inbox.replies);
            receiving.inbox.replies.clear();
        }
    }
}

impl Receiving {
    fn push(&mut self, frames: Vec<u8>) {
        self.stashed_bytes += frames.len();
        self.stash.push_back(frames);
    }
}
