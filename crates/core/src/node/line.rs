//! One connection of a node, shared by the JavaScript thread and the guard.
//!
//! The JavaScript thread submits and drains; the guard sends what the socket refused, keeps the
//! heartbeat, and reads in its place while JavaScript is busy. Each half has its lock; a thread that
//! needs both takes the inbox first.

use crate::node::assembly::{Limits, Ready};
use crate::node::borrowed::{Big, Borrowed};
use crate::node::inbox::{Inbox, PUMP_BYTES, Pumped, returned};
use crate::node::outbox::{Outbox, Pressed};
use crate::node::spares::Spares;
use crate::socket::Socket;
use daffi_protocol::{ErrorCode, Header};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
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
    /// Memory for big payloads, both ways.
    pub(super) spares: Arc<Spares>,
    /// Rises with each drain by JavaScript: a guard that sees it stand still takes over.
    pub(super) drains: AtomicU64,
    /// Nothing more is submitted or drained: it has ended, or what was sent is still to reach the controller.
    left: AtomicBool,
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
    /// The controller is still to be told that this side takes memory.
    owes_offer: bool,
}

/// What a connection begins to read with.
#[derive(Debug)]
pub(super) struct Reading {
    /// Bytes that were read behind the handshake.
    pub leftover: Vec<u8>,
    pub limits: Limits,
    /// It told the controller that it takes memory.
    pub takes_memory: bool,
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
    pub(super) fn new(socket: Socket, reading: Reading, soft: usize, wake: Arc<Notify>) -> Self {
        let Reading { leftover, limits, takes_memory } = reading;
        let spares = Arc::<Spares>::default();
        Self {
            socket: Arc::new(socket),
            outbox: Mutex::new(Outbox::new(soft, Arc::clone(&spares))),
            inbox: Mutex::new(Receiving {
                inbox: Inbox::new(limits, leftover, Arc::clone(&spares), takes_memory),
                stash: VecDeque::new(),
                stashed_bytes: 0,
                sealed: false,
                owes_offer: false,
            }),
            spares,
            drains: AtomicU64::new(0),
            left: AtomicBool::new(false),
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

    /// Whether JavaScript can neither send nor read any more.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
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
        if !read || self.has_left() {
            return Drained { bytes, more: false };
        }
        let mut pumped = receiving.inbox.pump(&self.socket, out, &mut bytes);
        // Pieces of big payloads go on without JavaScript, which has nothing to do for them.
        for _ in 1..PIECES_A_DRAIN {
            if bytes > 0 || pumped != Pumped::More {
                break;
            }
            pumped = receiving.inbox.pump(&self.socket, out, &mut bytes);
        }
        self.reply(&mut receiving);
        let more = pumped == Pumped::More;
        drop(receiving);
        if let Pumped::Closed(code, message) = pumped {
            self.end(code, message);
        }
        Drained { bytes, more }
    }

    /// Reads pieces of big payloads, with `beside` as buffer for what comes between them, as long as there is nothing for
    /// JavaScript to do. False when that is so: then it need not be called. True at once when no big payload is arriving.
    pub fn read_pieces(&self, beside: &mut [u8]) -> bool {
        let mut receiving = self.inbox.lock();
        if !receiving.inbox.awaits_pieces() || !receiving.stash.is_empty() || receiving.sealed {
            return true;
        }
        // The guard need not take over from a thread that reads.
        self.drains.fetch_add(1, Ordering::Relaxed);
        for _ in 0..PIECES_A_DRAIN {
            if self.has_left() {
                return true;
            }
            let mut bytes = 0;
            let pumped = receiving.inbox.pump(&self.socket, beside, &mut bytes);
            self.reply(&mut receiving);
            if bytes > 0 {
                receiving.push(beside.get(..bytes).unwrap_or_default().to_vec());
                return true;
            }
            match pumped {
                Pumped::More if receiving.inbox.awaits_pieces() => {}
                Pumped::More => return true,
                Pumped::Empty => return !receiving.inbox.awaits_pieces(),
                Pumped::Closed(code, message) => {
                    drop(receiving);
                    self.end(code, message);
                    return true;
                }
            }
        }
        true
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
    pub(super) fn take_big(self: &Arc<Self>, token: u32) -> Option<Big> {
        Some(match self.inbox.lock().inbox.take_big(token)? {
            Ready::Read(payload) => Big::Read(payload),
            Ready::Lent(lent) => Big::Borrowed(Borrowed { lent, line: Arc::clone(self) }),
        })
    }

    /// Lets the owner of memory use it again.
    pub(super) fn give_back(&self, number: u32) {
        if !self.has_left() {
            self.send(&returned(number));
        }
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

    /// Tells the controller that nothing more comes; what still comes from there is for [`Line::discard`] alone.
    pub(super) fn leave(&self, code: ErrorCode, message: String) {
        // Who reads holds this lock and finds out before the next read: half a frame may be missing by then.
        let _receiving = self.inbox.lock();
        self.reason.lock().get_or_insert((code, message));
        self.left.store(true, Ordering::Release);
        self.socket.finish();
    }

    /// Throws away what comes after [`Line::leave`]. True at the end of it.
    pub(super) fn discard(&self, waste: &mut [u8]) -> bool {
        for _ in 0..READS_A_DISCARD {
            match self.socket.try_read(&mut [IoSliceMut::new(waste)]) {
                Ok(1..) => {}
                Ok(0) => return true,
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// Ends the connection for this reason; the first reason counts.
    pub(super) fn end(&self, code: ErrorCode, message: String) {
        self.reason.lock().get_or_insert((code, message));
        self.left.store(true, Ordering::Release);
        self.ended.store(true, Ordering::Release);
        self.socket.shut_down();
        self.outbox.lock().clear();
        self.spares.close();
        self.wake.notify_one();
    }

    fn reply(&self, receiving: &mut Receiving) {
        if !receiving.inbox.returned.is_empty() {
            let mut outbox = self.outbox.lock();
            for number in receiving.inbox.returned.drain(..) {
                outbox.take_back(number);
                receiving.owes_offer |= number == 0;
            }
            drop(outbox);
        }
        // Behind pieces that go first, perhaps.
        if receiving.owes_offer {
            receiving.owes_offer = !self.outbox.lock().offer(&self.socket);
        }
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

/// Reads in a row that serve pieces of big payloads only: a few payloads of a megabyte, well under a millisecond.
const PIECES_A_DRAIN: u32 = 16;
/// Reads in a row of what nobody wants.
const READS_A_DISCARD: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::node::inbox::BESIDE_BYTES;
    use crate::transport::Stream;
    use daffi_protocol::limits::HEADER_BYTES;
    use daffi_protocol::{Kind, extension, flags};

    const LIMITS: Limits = Limits { max_payload: 8 << 20, max_assembling: 64 << 20 };
    const PAYLOAD_BYTES: usize = 6 << 20;

    /// A line with its outbox at the far end: what is sent there arrives here.
    fn pair() -> (Arc<Line>, Socket, Outbox) {
        let (near, far) = Stream::pair().unwrap();
        let reading = Reading { leftover: Vec::new(), limits: LIMITS, takes_memory: false };
        let line = Arc::new(Line::new(Socket::new(near), reading, 1 << 20, Arc::default()));
        (line, Socket::new(far), Outbox::new(1 << 20, Arc::default()))
    }

    fn request(slot: u32) -> Header {
        Header { slot, generation: 1, callback: 7, ..Header::new(Kind::Request) }
    }

    fn binary(length: usize) -> Vec<u8> {
        let mut payload = vec![7; length];
        let (head, _) = payload.split_first_chunk_mut::<5>().unwrap();
        *head = [0xc6, 0, 0, 0, 0];
        head[1..].copy_from_slice(&u32::try_from(length - 5).unwrap().to_be_bytes());
        payload
    }

    #[test]
    fn pieces_are_read_without_javascript_until_their_payload_is_whole() {
        let (line, far, mut outbox) = pair();
        let (mut out, mut beside) = (vec![0; PUMP_BYTES], vec![0; BESIDE_BYTES]);
        let payload = binary(PAYLOAD_BYTES);
        outbox.send_big(&far, request(1), &[], &[&payload]).unwrap();
        assert!(line.read_pieces(&mut beside), "it cannot know of them yet");
        assert_eq!(line.drain(&mut out, true).bytes, 0);
        let mut calls = 0;
        while !line.read_pieces(&mut beside) {
            calls += 1;
            assert!(calls < 1000, "the payload never became whole");
            outbox.flush(&far).unwrap();
        }
        assert!(line.read_pieces(&mut beside));
        let drained = line.drain(&mut out, true);
        let header = Header::decode(&out[..drained.bytes]).unwrap().unwrap();
        assert_eq!((header.slot, header.flags & flags::BIG != 0, header.frame_len()), (1, true, drained.bytes));
        let token = &out[HEADER_BYTES + usize::from(header.ext_len)..][..4];
        assert_eq!(line.take_big(u32::from_le_bytes(token.try_into().unwrap())).unwrap().to_vec(), payload);
    }

    #[test]
    fn a_small_frame_between_pieces_is_told_at_once() {
        let (line, far, mut outbox) = pair();
        let (mut out, mut beside) = (vec![0; PUMP_BYTES], vec![0; BESIDE_BYTES]);
        outbox.send_big(&far, request(1), &[], &[&binary(PAYLOAD_BYTES)]).unwrap();
        line.drain(&mut out, true);
        outbox.send(&far, &request(2).frame(&[0xc0])).unwrap();
        while !line.read_pieces(&mut beside) {
            outbox.flush(&far).unwrap();
        }
        let drained = line.drain(&mut out, false);
        assert_eq!(Header::decode(&out[..drained.bytes]).unwrap().unwrap().slot, 2);
        assert!(!line.read_pieces(&mut beside), "the rest of the large one is still to come");
    }

    #[test]
    fn memory_is_given_back_when_its_payload_is_dropped_and_lent_when_the_controller_takes_some() {
        let (near, far) = Stream::pair().unwrap();
        let reading = Reading { leftover: Vec::new(), limits: LIMITS, takes_memory: true };
        let line = Arc::new(Line::new(Socket::new(near), reading, 1 << 20, Arc::default()));
        let (far, mut outbox, mut out) = (Socket::new(far), Outbox::new(1 << 20, Arc::default()), vec![0; PUMP_BYTES]);
        outbox.take_back(0);
        let heard = |expected: Header| {
            let mut frame = [0; HEADER_BYTES];
            assert_eq!(far.try_read(&mut [std::io::IoSliceMut::new(&mut frame)]).unwrap(), HEADER_BYTES);
            assert_eq!(Header::decode(&frame).unwrap(), Some(expected));
        };
        far.try_write_memory(&returned(0), &Memory::create().unwrap()).unwrap();
        assert_eq!(line.drain(&mut out, true).bytes, 0);
        heard(Header::new(Kind::Returned));
        let extension = extension::entry(extension::TAG_ATTACHMENTS, 1, &[(8 << 20) - 8]);
        let header = Header { flags: flags::ATTACHED, ..request(1) };
        let payload = [&[0xc0, 0, 0, 0, 0, 0, 0, 0], &binary((8 << 20) - 8)[..]].concat();
        outbox.send_big(&far, header, &extension, &[&payload]).unwrap();
        let drained = line.drain(&mut out, true);
        let token = u32::from_le_bytes(out[drained.bytes - 8..drained.bytes - 4].try_into().unwrap());
        assert_eq!(line.held(), (1, payload.len() as u64));
        let big = line.take_big(token).unwrap();
        assert_eq!((line.held(), big.to_vec() == payload), ((0, 0), true));
        drop(big);
        heard(Header { callback: 1, ..Header::new(Kind::Returned) });
        line.send_big(request(2), &[], &[&binary(PAYLOAD_BYTES)]);
        assert!(!line.has_unsent());
        assert_eq!(line.outbox.lock().lent(), (1, 1));
    }

    #[test]
    fn the_end_amid_pieces_is_told() {
        let (line, far, mut outbox) = pair();
        let (mut out, mut beside) = (vec![0; PUMP_BYTES], vec![0; BESIDE_BYTES]);
        outbox.send_big(&far, request(1), &[], &[&binary(PAYLOAD_BYTES)]).unwrap();
        line.drain(&mut out, true);
        drop(far);
        while !line.read_pieces(&mut beside) {}
        assert!(line.has_ended());
    }
}
