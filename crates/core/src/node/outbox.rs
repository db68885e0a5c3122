//! What a node has to say: straight to the socket when it takes it, else a queue.
//!
//! Two lanes. Small frames wait as bytes in order; big payloads wait as they are and leave one
//! fragment at a time, so that small frames pass between fragments. A payload that has to wait is announced
//! among the small frames, or a cancel would reach the other end before the request it is for. What bounds a
//! lane is the caller: above `soft` it is told to hold back ([`Outbox::pressed`]), and it is told once when
//! there is room again; at most one submission goes beyond. A full lane of big payloads holds back no small
//! frame.

use crate::memory::Memory;
use crate::node::inbox::returned;
use crate::node::lender::Lender;
use crate::node::spares::Spares;
use crate::socket::Socket;
use daffi_protocol::limits::{FRAGMENT_BYTES, MAX_EXTENSION_BYTES, MEMORY_PAYLOAD_BYTES};
use daffi_protocol::{Header, codec, extension, flags};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// Bytes on their way out of one connection.
#[derive(Debug)]
pub struct Outbox {
    /// Whole frames in order, the first perhaps already begun.
    small: Vec<u8>,
    /// How much of `small` the socket has taken.
    sent: usize,
    /// Payloads under way, the front one next.
    bigs: VecDeque<Big>,
    /// The fragment of the front payload that the socket has begun to take.
    fragment: Option<Fragment>,
    /// Bytes of the payloads in `bigs`, but for fragments that the socket took.
    big_bytes: usize,
    /// Memory for payloads that need not go through the socket; `None` unless the controller takes some.
    lender: Option<Lender>,
    /// Where the memory of payloads that have to wait comes from, and goes.
    spares: Arc<Spares>,
    /// Above this many queued bytes in a lane the caller should hold back.
    soft: usize,
    /// Whether a lane's caller was told to hold back, and not yet that there is room.
    pressed: Pressed,
    /// All bytes the socket took, so that the guard sees when nothing was sent for a heartbeat.
    total_sent: u64,
}

/// Something of each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressed {
    /// The lane of small frames.
    pub small: bool,
    /// The lane of big payloads.
    pub big: bool,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left.
    All,
    /// The socket would take more.
    Some,
    /// The socket takes nothing now.
    Blocked,
}

/// A payload of which pieces are still to be sent.
#[derive(Debug)]
struct Big {
    plan: Plan,
    /// The payload from `base` on.
    payload: Vec<u8>,
    base: usize,
}

/// How a payload is cut.
#[derive(Clone, Debug)]
struct Plan {
    header: Header,
    extension: Vec<u8>,
    total: usize,
    /// Where the next fragment starts.
    next: usize,
    /// The frame that begins it is on its way; all others are parts.
    is_announced: bool,
}

/// One fragment on its way: its head, where its piece lies in the payload, how much was taken.
#[derive(Debug)]
struct Fragment {
    head: Vec<u8>,
    start: usize,
    end: usize,
    sent: usize,
}

impl Outbox {
    /// An empty one that asks to hold back above `soft` queued bytes.
    #[must_use]
    pub fn new(soft: usize, spares: Arc<Spares>) -> Self {
        Self {
            small: Vec::new(),
            sent: 0,
            bigs: VecDeque::new(),
            fragment: None,
            big_bytes: 0,
            lender: None,
            spares,
            soft,
            pressed: Pressed::default(),
            total_sent: 0,
        }
    }

    /// Bytes that the socket has not taken yet.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued_small() + self.big_bytes
    }

    fn queued_small(&self) -> usize {
        self.small.len() - self.sent
    }

    /// Where the caller should hold back until it is told that there is room.
    #[must_use]
    pub fn pressed(&self) -> Pressed {
        self.pressed
    }

    /// All bytes taken by the socket so far.
    #[must_use]
    pub fn total_sent(&self) -> u64 {
        self.total_sent
    }

    /// Memory of this number is back; 0 says that the controller takes some from now on.
    pub fn take_back(&mut self, number: u32) {
        match &mut self.lender {
            Some(lender) => lender.take_back(number),
            None => self.lender = Some(Lender::default()),
        }
    }

    /// Loans, and pieces of memory in all.
    #[cfg(test)]
    pub fn lent(&self) -> (usize, usize) {
        self.lender.as_ref().map_or((0, 0), Lender::counts)
    }

    /// Tells the controller that this side takes memory, with some to show that it passes; false when something waits.
    pub fn offer(&mut self, socket: &Socket) -> bool {
        let frame = returned(0);
        if self.is_idle()
            && let Ok(memory) = Memory::create()
            && let Ok(sent) = socket.try_write_memory(&frame, &memory)
        {
            self.total_sent += sent as u64;
            self.small.extend_from_slice(frame.get(sent..).unwrap_or_default());
            return true;
        }
        false
    }

    /// Lets go of memory that nobody has needed since the last time.
    pub fn let_go(&mut self) {
        if let Some(lender) = &mut self.lender {
            lender.let_go();
        }
    }

    /// Sends whole frames; what the socket does not take now is copied and queued.
    ///
    /// # Errors
    ///
    /// The connection can no longer be written to.
    pub fn send(&mut self, socket: &Socket, frames: &[u8]) -> io::Result<()> {
        let mut taken = 0;
        if self.is_idle() {
            while let Some(rest) = frames.get(taken..).filter(|rest| !rest.is_empty()) {
                match write(socket, &[IoSlice::new(rest)], &mut self.total_sent)? {
                    0 => break,
                    bytes => taken += bytes,
                }
            }
        }
        self.small.extend_from_slice(frames.get(taken..).unwrap_or_default());
        self.pressed.small |= self.queued_small() > self.soft;
        Ok(())
    }

    /// Sends one payload, given in `pieces` that lie one behind the other, in fragments of `header`.
    ///
    /// `extension` is what the first fragment carries besides the total. Where the controller takes memory and nothing
    /// waits, it goes as that; else what the socket does not take now is copied once.
    ///
    /// # Errors
    ///
    /// The connection can no longer be written to, or there is no memory for what it does not take.
    pub fn send_big(&mut self, socket: &Socket, header: Header, extension: &[u8], pieces: &[&[u8]]) -> io::Result<()> {
        let total = pieces.iter().map(|piece| piece.len()).sum();
        let mut first = extension.to_vec();
        first.extend(extension::entry(extension::TAG_TOTAL, 0, &[total as u64]));
        let mut plan = Plan { header, extension: first, total, next: 0, is_announced: false };
        let mut begun = None;
        if self.is_idle() {
            if self.send_memory(socket, plan.clone(), pieces) {
                return Ok(());
            }
            while let Some(mut fragment) = plan.take_fragment() {
                if !fragment.write(socket, pieces, 0, &mut self.total_sent)? {
                    begun = Some(fragment);
                    break;
                }
            }
            if begun.is_none() {
                return Ok(());
            }
        } else {
            self.small.extend(plan.announce());
        }
        let base = begun.as_ref().map_or(0, |fragment| fragment.start);
        // As large as the whole, so that the next of its size fits, however much of that goes at once.
        let mut payload = self.spares.take(total).map_err(|_| io::ErrorKind::OutOfMemory)?;
        for piece in slices(pieces, base, total) {
            payload.extend_from_slice(&piece);
        }
        self.big_bytes += payload.len();
        self.bigs.push_back(Big { plan, payload, base });
        if begun.is_some() {
            self.fragment = begun;
        }
        self.pressed.big |= self.big_bytes > self.soft;
        Ok(())
    }

    /// Sends a payload as memory; false when it must go in pieces, which is always a way.
    fn send_memory(&mut self, socket: &Socket, mut plan: Plan, pieces: &[&[u8]]) -> bool {
        let Some(lender) = self.lender.as_mut().filter(|_| plan.total as u64 >= MEMORY_PAYLOAD_BYTES) else {
            return false;
        };
        let Some(loan) = lender.lend(pieces, plan.total as u64) else { return false };
        let mut frames = plan.announce();
        frames.extend_from_slice(&plan.memory_part(loan.number));
        let Ok(sent) = socket.try_write_memory(&frames, &loan.memory) else {
            lender.keep(loan);
            return false;
        };
        lender.sent(loan);
        self.total_sent += sent as u64;
        self.small.extend_from_slice(frames.get(sent..).unwrap_or_default());
        true
    }

    /// Writes what is queued until the socket takes no more, or about [`FLUSH_BYTES`] were taken: the
    /// lock around an outbox is shared with the JavaScript thread.
    ///
    /// # Errors
    ///
    /// The connection can no longer be written to.
    pub fn flush(&mut self, socket: &Socket) -> io::Result<Flushed> {
        if !socket.try_flush()? {
            return Ok(Flushed::Blocked);
        }
        let until = self.total_sent + FLUSH_BYTES;
        loop {
            if self.total_sent >= until && self.queued() > 0 {
                return Ok(Flushed::Some);
            }
            if let (Some(fragment), Some(big)) = (&mut self.fragment, self.bigs.front()) {
                if !fragment.write(socket, &[&big.payload], big.base, &mut self.total_sent)? {
                    return Ok(Flushed::Blocked);
                }
                let sent = fragment.end - fragment.start;
                self.fragment = None;
                self.end_fragment(sent);
            } else if self.sent < self.small.len() {
                let rest = self.small.get(self.sent..).unwrap_or_default();
                let bytes = write(socket, &[IoSlice::new(rest)], &mut self.total_sent)?;
                if bytes == 0 {
                    return Ok(Flushed::Blocked);
                }
                self.sent += bytes;
                if self.sent == self.small.len() {
                    self.small.clear();
                    self.sent = 0;
                    // A burst must not hold its memory for the life of the connection.
                    self.small.shrink_to(KEEP_BYTES);
                }
            } else if let Some(big) = self.bigs.front_mut() {
                self.fragment = big.plan.take_fragment();
                if self.fragment.is_none() {
                    self.end_fragment(0);
                }
            } else {
                return Ok(if socket.unsent() == 0 { Flushed::All } else { Flushed::Blocked });
            }
        }
    }

    /// Where pressure has just ended: true once after [`Outbox::pressed`] was, when half of the soft
    /// limit is free again.
    pub fn take_room(&mut self) -> Pressed {
        let room = Pressed {
            small: self.pressed.small && self.queued_small() <= self.soft / 2,
            big: self.pressed.big && self.big_bytes <= self.soft / 2,
        };
        self.pressed.small &= !room.small;
        self.pressed.big &= !room.big;
        room
    }

    /// Forgets everything: the connection is gone.
    pub fn clear(&mut self) {
        *self = Self {
            total_sent: self.total_sent,
            pressed: self.pressed,
            ..Self::new(self.soft, Arc::clone(&self.spares))
        };
    }

    fn is_idle(&self) -> bool {
        self.small.is_empty() && self.bigs.is_empty()
    }

    /// After a fragment with `sent` bytes of the payload: the next one's turn, if this one is not done.
    fn end_fragment(&mut self, sent: usize) {
        self.big_bytes -= sent;
        let Some(big) = self.bigs.pop_front() else { return };
        if big.plan.is_done() {
            self.spares.give_back(big.payload);
        } else {
            self.bigs.push_back(big);
        }
    }
}

impl Plan {
    fn is_done(&self) -> bool {
        self.next >= self.total
    }

    /// A first frame without a piece, so that everything behind it may pass the pieces.
    fn announce(&mut self) -> Vec<u8> {
        self.is_announced = true;
        let header = Header {
            flags: self.header.flags | flags::FRAGMENTED,
            ext_len: u16::try_from(self.extension.len()).unwrap_or(u16::MAX),
            ..self.header
        };
        header.frame(&self.extension)
    }

    /// The one part of a payload that goes as memory of this number.
    fn memory_part(&self, number: u32) -> Vec<u8> {
        let entry = extension::entry(extension::TAG_TOTAL, 0, &[self.total as u64]);
        let ext_len = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        let flags = flags::LAST | flags::MEMORY;
        Header { kind: self.header.kind.part(), flags, ext_len, callback: number, ..self.header }.frame(&entry)
    }

    fn take_fragment(&mut self) -> Option<Fragment> {
        if self.is_done() {
            return None;
        }
        let start = self.next;
        // A last piece of a few bytes goes along where a frame has room for it: one write less.
        let extra = MAX_EXTENSION_BYTES as usize - if self.is_announced { 0 } else { self.extension.len() };
        let most =
            FRAGMENT_BYTES as usize + if self.total - start <= FRAGMENT_BYTES as usize + extra { extra } else { 0 };
        let end = self.total.min(start + most);
        self.next = end;
        let piece = u32::try_from(end - start).unwrap_or(u32::MAX);
        let mut header = self.header;
        let head = if !self.is_announced {
            self.is_announced = true;
            header.flags |= flags::FRAGMENTED | if self.is_done() { flags::LAST } else { 0 };
            header.ext_len = u16::try_from(self.extension.len()).unwrap_or(u16::MAX);
            header.body_len = piece + u32::from(header.ext_len);
            [&header.encode()[..], &self.extension].concat()
        } else {
            header.kind = header.kind.part();
            header.flags = if self.is_done() { flags::LAST } else { 0 };
            header.ext_len = 0;
            header.body_len = piece;
            header.encode().to_vec()
        };
        Some(Fragment { head, start, end, sent: 0 })
    }
}

impl Fragment {
    /// Writes on; `pieces` hold the payload from `base`. `Ok(true)` when the socket took the whole fragment.
    fn write(&mut self, socket: &Socket, pieces: &[&[u8]], base: usize, total_sent: &mut u64) -> io::Result<bool> {
        let head = self.head.len();
        let body = self.end - self.start;
        // The header is a multiple of eight and so is an extension: only the piece needs padding.
        let padding = codec::padded(body) - body;
        while self.sent < head + body + padding {
            let mut buffers = Vec::with_capacity(pieces.len() + 2);
            if let Some(rest) = self.head.get(self.sent..).filter(|rest| !rest.is_empty()) {
                buffers.push(IoSlice::new(rest));
            }
            let from = self.start - base + self.sent.saturating_sub(head).min(body);
            buffers.extend(slices(pieces, from, self.end - base));
            let padded = self.sent.saturating_sub(head + body);
            buffers.push(IoSlice::new(PADDING.get(padded..padding).unwrap_or_default()));
            match write(socket, &buffers, total_sent)? {
                0 => return Ok(false),
                bytes => self.sent += bytes,
            }
        }
        Ok(true)
    }
}

/// The parts of `pieces` that make up bytes `from` to `to` of them all.
fn slices<'a>(pieces: &[&'a [u8]], from: usize, to: usize) -> Vec<IoSlice<'a>> {
    let mut at = 0;
    let mut found = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let (start, end) = (at, at + piece.len());
        at = end;
        if let Some(part) = piece.get(from.clamp(start, end) - start..to.clamp(start, end) - start)
            && !part.is_empty()
        {
            found.push(IoSlice::new(part));
        }
    }
    found
}

/// One write; 0 means that the socket takes nothing now.
fn write(socket: &Socket, buffers: &[IoSlice<'_>], total_sent: &mut u64) -> io::Result<usize> {
    match socket.try_write(buffers) {
        Ok(bytes) => {
            *total_sent += bytes as u64;
            Ok(bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
    }
}

const PADDING: [u8; 8] = [0; 8];

/// Bytes one flush may write: two fragments, some 100 µs.
const FLUSH_BYTES: u64 = 2 * FRAGMENT_BYTES as u64;

/// Memory for queued small frames that an idle connection may keep: a few full batches.
const KEEP_BYTES: usize = 64 * 1024;
