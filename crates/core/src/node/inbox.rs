//! What arrives at a node: bytes from the socket, whole and pre-scanned frames for JavaScript.
//!
//! Whoever pumps - the JavaScript thread as a rule, the guard while that one is busy - reads
//! straight into the buffer the frames are handed over in. Pieces of big payloads are read straight
//! into the buffer that JavaScript will own. Nothing is reserved on a peer's word beyond the limits
//! of [`Limits`].

use crate::memory::{Arrived, Memory};
use crate::node::assembly::{Assemblies, Completed, Copied, Limits, Ready};
use crate::node::spares::Spares;
use crate::socket::Socket;
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{DecodeError, ErrorCode, Header, Kind, codec, control, extension, flags, prescan};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::sync::Arc;

/// Bytes of the buffer to pump into: a carried frame and a good read always fit.
pub const PUMP_BYTES: usize = 512 * 1024;

/// What one [`Inbox::pump`] gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Pumped {
    /// The socket has no more now.
    Empty,
    /// There may be more.
    More,
    /// The connection has ended, for this reason.
    Closed(ErrorCode, String),
}

/// The receiving half of a connection.
#[derive(Debug)]
pub struct Inbox {
    /// The beginning of a frame that is not whole yet.
    carry: Vec<u8>,
    /// The piece of a big payload that is being read straight into its place.
    direct: Option<Direct>,
    assemblies: Assemblies,
    /// Where pieces go that nobody wants; empty until there are some.
    waste: Vec<u8>,
    /// Frames made here, for JavaScript: announcements of big payloads, failures of refused ones.
    made: Vec<u8>,
    /// Frames for the controller: pongs, refusals of payloads.
    pub replies: Vec<u8>,
    /// Memory that came along with what was read, and whose frames come next. `None` where none may come.
    memory: Option<VecDeque<Arrived>>,
    /// Numbers of memory that the controller gave back; 0 says that it takes some.
    pub returned: Vec<u32>,
    /// Why the controller said it closes.
    refused: Option<(ErrorCode, String)>,
    /// All bytes read so far, so that the guard sees when nothing came for the dead interval.
    total_read: u64,
}

/// A frame whose payload is being read into an assembly: what is still to come of it.
#[derive(Debug)]
struct Direct {
    header: Header,
    left: usize,
    padding: usize,
}

impl Inbox {
    /// An inbox whose first bytes are `leftover`, read behind the handshake. `takes_memory` only from a UNIX socket.
    #[must_use]
    pub fn new(limits: Limits, leftover: Vec<u8>, spares: Arc<Spares>, takes_memory: bool) -> Self {
        Self {
            carry: leftover,
            direct: None,
            assemblies: Assemblies::new(limits, spares),
            waste: Vec::new(),
            made: Vec::new(),
            replies: Vec::new(),
            memory: takes_memory.then(VecDeque::new),
            returned: Vec::new(),
            refused: None,
            total_read: 0,
        }
    }

    /// All bytes read so far.
    #[must_use]
    pub fn total_read(&self) -> u64 {
        self.total_read
    }

    /// Big payloads that are arriving or wait to be taken, and the bytes reserved for them.
    pub(super) fn held(&self) -> (usize, u64) {
        self.assemblies.held()
    }

    /// Whether what comes next is likely to be a piece of a big payload, and what was carried fits beside it.
    pub fn awaits_pieces(&self) -> bool {
        !self.assemblies.is_empty() && self.made.is_empty() && self.carry.len() <= READ_BESIDE_BYTES
    }

    /// The payload of a frame flagged [`flags::BIG`], once.
    pub(super) fn take_big(&mut self, token: u32) -> Option<Ready> {
        self.assemblies.take(token)
    }

    /// Reads once from `socket` and appends whole frames to `out[*filled..]`, which must have room
    /// for [`PUMP_BYTES`] when it is empty. What it wants said to the controller is in `replies`.
    pub fn pump(&mut self, socket: &Socket, out: &mut [u8], filled: &mut usize) -> Pumped {
        let start = *filled;
        let carried = self.carry.len();
        let Some(room) = out.get_mut(start..).filter(|room| room.len() > carried + READ_BESIDE_BYTES) else {
            return Pumped::More;
        };
        if let Some(Copied::All(header, number)) = self.assemblies.copy_some() {
            self.replies.extend(returned(number));
            header.iter().for_each(|header| self.end_piece(header));
        }
        let (head, space) = room.split_at_mut(carried);
        head.copy_from_slice(&self.carry);
        let (bytes, window) = match self.read(socket, space) {
            Ok(Some(read)) => read,
            Ok(None) if carried == 0 || self.total_read > 0 => {
                let is_more = self.hand_over_made(out, filled) || self.assemblies.is_copying();
                return if is_more { Pumped::More } else { Pumped::Empty };
            }
            // The very first time the carry may hold whole frames that came with the handshake.
            Ok(None) => (0, usize::MAX),
            Err(error) => return self.closed(&error),
        };
        self.carry.clear();
        let end = start + carried + bytes;
        match self.walk(out, start, end) {
            Ok(whole) => *filled = whole,
            Err(error) => {
                let code = if matches!(error, DecodeError::TooLong(_)) {
                    ErrorCode::FrameTooLarge
                } else {
                    ErrorCode::Protocol
                };
                return Pumped::Closed(code, format!("the controller sent what is no frame: {error}"));
            }
        }
        self.hand_over_made(out, filled);
        let is_more = bytes == window || self.direct.is_some() || socket.is_ready() || self.assemblies.is_copying();
        if is_more { Pumped::More } else { Pumped::Empty }
    }

    /// One read: into the piece under way, its padding, and `space`. Gives the bytes in `space` and
    /// how many there might have been; `None` when the socket has nothing now.
    fn read(&mut self, socket: &Socket, space: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        // While big payloads are under way, read little beside them: their pieces should be read
        // into their place, not copied there.
        let beside = self.direct.is_some() || !self.assemblies.is_empty();
        let window = if beside { space.len().min(READ_BESIDE_BYTES) } else { space.len() };
        let waiting = self.memory.as_ref().map_or(0, VecDeque::len);
        let bytes = if let Some(direct) = &mut self.direct {
            let mut padding = [0u8; 8];
            let target = match self.assemblies.space(&direct.header, direct.left) {
                Some(target) => target,
                None => {
                    self.waste.resize(WASTE_BYTES, 0);
                    self.waste.get_mut(..direct.left.min(WASTE_BYTES)).unwrap_or_default()
                }
            };
            let whole = target.len() == direct.left;
            let target_len = target.len();
            let mut buffers = [
                IoSliceMut::new(target),
                IoSliceMut::new(padding.get_mut(..direct.padding).unwrap_or_default()),
                IoSliceMut::new(space.get_mut(..window).unwrap_or_default()),
            ];
            let count = if whole { 3 } else { 1 };
            let buffers = buffers.get_mut(..count).unwrap_or_default();
            let Some(bytes) = read_some(socket, buffers, &mut self.memory)? else { return Ok(None) };
            self.total_read += bytes as u64;
            let placed = bytes.min(target_len);
            let padded = (bytes - placed).min(direct.padding);
            self.assemblies.advance(&direct.header, placed);
            direct.left -= placed;
            direct.padding -= padded;
            if direct.left == 0 && direct.padding == 0 {
                let header = direct.header;
                self.direct = None;
                self.end_piece(&header);
            }
            bytes - placed - padded
        } else {
            let mut buffers = [IoSliceMut::new(space.get_mut(..window).unwrap_or_default())];
            let Some(bytes) = read_some(socket, &mut buffers, &mut self.memory)? else { return Ok(None) };
            self.total_read += bytes as u64;
            bytes
        };
        // Memory ends a read, whatever is behind it.
        let is_short = self.memory.as_ref().is_some_and(|memory| memory.len() > waiting);
        Ok(Some((bytes, if is_short { bytes } else { window })))
    }

    /// Goes through the frames in `out[start..end]`; gives where the whole ones for JavaScript end.
    /// The rest is carried, or is already on its way into an assembly.
    fn walk(&mut self, out: &mut [u8], start: usize, mut end: usize) -> Result<usize, DecodeError> {
        let mut at = start;
        loop {
            let rest = out.get_mut(at..end).unwrap_or_default();
            let Some(header) = Header::decode(rest)? else { break };
            let frame_len = header.frame_len();
            if is_piece(&header) {
                let Some(body) = rest.get(codec::frame_len(0)..) else { break };
                let extension_len = usize::from(header.ext_len);
                let Some((extension, body)) = body.split_at_checked(extension_len) else { break };
                if header.kind.is_part() && header.flags & flags::MEMORY != 0 {
                    self.borrow_memory(&header)?;
                }
                self.begin_piece(&header, extension);
                let there = body.len().min(header.payload_len());
                self.assemblies.append(&header, body.get(..there).unwrap_or_default());
                if rest.len() >= frame_len {
                    self.end_piece(&header);
                    out.copy_within(at + frame_len..end, at);
                    end -= frame_len;
                } else {
                    let padding = codec::padded(header.payload_len()) - header.payload_len();
                    let past = body.len() - there;
                    let left = header.payload_len() - there;
                    self.direct = Some(Direct { header, left, padding: padding - past });
                    return Ok(at);
                }
                continue;
            }
            let Some(frame) = rest.get_mut(..frame_len) else { break };
            if self.admit(&header, frame)? {
                at += frame_len;
            } else {
                out.copy_within(at + frame_len..end, at);
                end -= frame_len;
            }
        }
        self.carry.extend_from_slice(out.get(at..end).unwrap_or_default());
        Ok(at)
    }

    /// Looks at one whole frame; false when JavaScript must not see it.
    fn admit(&mut self, header: &Header, frame: &mut [u8]) -> Result<bool, DecodeError> {
        let body = frame.get(codec::frame_len(0)..).unwrap_or_default();
        let body = body.get(..header.body_len as usize).unwrap_or_default();
        match header.kind {
            Kind::Ping => {
                if self.replies.len() < MAX_REPLY_BYTES {
                    self.replies.extend_from_slice(&Header::new(Kind::Pong).encode());
                }
                Ok(false)
            }
            Kind::Pong => Ok(false),
            Kind::Returned => {
                // The first one comes with memory, or somebody stands between who does not pass it on.
                let is_lost =
                    header.callback == 0 && self.memory.as_mut().and_then(VecDeque::pop_front).flatten().is_none();
                if !is_lost {
                    self.returned.push(header.callback);
                }
                Ok(false)
            }
            Kind::Refused => {
                if let Ok(refused) = control::parse::<control::Refused>(body) {
                    let code = ErrorCode::from_u32(refused.code).unwrap_or(ErrorCode::ConnectionLost);
                    self.refused = Some((code, refused.message));
                }
                Ok(false)
            }
            Kind::Cancel => {
                self.assemblies.drop_payload(Kind::CallerItems, header);
                if let Some(request) = self.assemblies.drop_payload(Kind::Request, header) {
                    // JavaScript never saw it and would leave the caller without an answer.
                    self.refuse_request(&request, ErrorCode::Cancelled);
                    return Ok(false);
                }
                // Not before the announcement of the request it is for.
                let is_behind = !self.made.is_empty();
                if is_behind {
                    self.made.extend_from_slice(frame);
                }
                Ok(!is_behind)
            }
            Kind::CallerCredit | Kind::CalleeCredit => Ok(true),
            Kind::CallerItems | Kind::CalleeItems => {
                let (extension, payload) = body.split_at_checked(usize::from(header.ext_len)).unwrap_or((&[], body));
                // A node sets this flag for itself only.
                let is_claimed = header.flags & flags::REFUSED != 0;
                if is_claimed || !is_sound(header, extension, payload) {
                    refused_items(header, ErrorCode::PayloadRejected).write_over(frame);
                }
                Ok(true)
            }
            Kind::Request | Kind::Response | Kind::Transfer => {
                if header.kind == Kind::Response {
                    self.assemblies.drop_payload(Kind::CalleeItems, header);
                    // Its callee was lost amid the pieces: this says so, and no more of them will come.
                    self.assemblies.drop_payload(Kind::Response, header);
                }
                let (extension, payload) = body.split_at_checked(usize::from(header.ext_len)).unwrap_or((&[], body));
                if self.assemblies.is_too_large(payload.len() as u64) {
                    self.refuse(header, ErrorCode::PayloadTooLarge);
                    return Ok(false);
                }
                if is_sound(header, extension, payload) {
                    return Ok(true);
                }
                if header.kind == Kind::Response {
                    refuse_response(header, ErrorCode::PayloadRejected).write_over(frame);
                    return Ok(true);
                }
                self.refuse_request(header, ErrorCode::PayloadRejected);
                Ok(false)
            }
            Kind::RegistryChange | Kind::Goodbye | Kind::Stop => match prescan::prescan(body) {
                Ok(()) => Ok(true),
                Err(_) => Err(DecodeError::UnreadableBody(header.kind)),
            },
            _ => Err(DecodeError::UnknownKind(header.kind as u8)),
        }
    }

    /// Takes the payload that a part stands for.
    fn borrow_memory(&mut self, header: &Header) -> Result<(), DecodeError> {
        let missing = || DecodeError::MissingMemory(header.kind);
        let arrived = self.memory.as_mut().and_then(VecDeque::pop_front).filter(|_| header.payload_len() == 0);
        let unneeded = match arrived.ok_or_else(missing)? {
            Some(fd) => self.assemblies.lend(header, Memory::received(fd).map_err(|_| missing())?, header.callback),
            // Its payload stays incomplete, and is refused.
            None => Some(header.callback),
        };
        self.replies.extend(unneeded.iter().flat_map(|number| returned(*number)));
        Ok(())
    }

    fn begin_piece(&mut self, header: &Header, extension: &[u8]) {
        if header.kind.is_part() {
            return;
        }
        if let Err(code) = self.assemblies.begin(header, extension) {
            self.refuse(header, code);
        }
    }

    fn end_piece(&mut self, header: &Header) {
        match self.assemblies.end_piece(header) {
            None => {}
            Some(Completed::Ready { header, extension, token, sound: true, .. }) => {
                let mut body = extension;
                body.extend_from_slice(&token.to_le_bytes());
                let header = Header { flags: (header.flags | flags::BIG) & !flags::FRAGMENTED, ..header };
                self.made.extend(header.frame(&body));
            }
            Some(Completed::Ready { header, over, .. }) => {
                self.replies.extend(over.iter().flat_map(|number| returned(*number)));
                self.refuse(&header, ErrorCode::PayloadRejected);
            }
        }
    }

    fn refuse(&mut self, header: &Header, code: ErrorCode) {
        match header.kind {
            Kind::Response => {
                let header = Header { ext_len: 0, ..refuse_response(header, code) };
                self.made.extend(header.frame(&[]));
            }
            Kind::CallerItems | Kind::CalleeItems => {
                let header = Header { ext_len: 0, ..refused_items(header, code) };
                self.made.extend(header.frame(&[]));
            }
            _ => self.refuse_request(header, code),
        }
    }

    fn refuse_request(&mut self, header: &Header, code: ErrorCode) {
        if header.flags & flags::NO_REPLY == 0 {
            let answer = Header {
                slot: header.slot,
                generation: header.generation,
                callback: code as u32,
                ..Header::new(Kind::Response)
            };
            self.replies.extend_from_slice(&answer.encode());
        }
    }

    /// Appends the frames made here as far as there is room. True when it appended some.
    fn hand_over_made(&mut self, out: &mut [u8], filled: &mut usize) -> bool {
        if self.made.is_empty() {
            return false;
        }
        let Some(space) = out.get_mut(*filled..*filled + self.made.len()) else { return false };
        space.copy_from_slice(&self.made);
        *filled += self.made.len();
        self.made.clear();
        true
    }

    fn closed(&mut self, error: &io::Error) -> Pumped {
        let (code, message) = self
            .refused
            .take()
            .unwrap_or_else(|| (ErrorCode::ConnectionLost, format!("the connection to the controller ended: {error}")));
        Pumped::Closed(code, message)
    }
}

/// `None` when nothing is there now.
fn read_some(
    socket: &Socket,
    buffers: &mut [IoSliceMut<'_>],
    memory: &mut Option<VecDeque<Arrived>>,
) -> io::Result<Option<usize>> {
    let read = match memory {
        Some(arrived) => socket.try_read_memory(buffers, arrived),
        None => socket.try_read(buffers),
    };
    match read {
        Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the controller closed it")),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_piece(header: &Header) -> bool {
    match header.kind {
        kind if kind.is_part() => true,
        Kind::Request | Kind::Response | Kind::Transfer | Kind::CallerItems | Kind::CalleeItems => {
            header.flags & flags::FRAGMENTED != 0
        }
        _ => false,
    }
}

/// Whether the MessagePack of a payload may be decoded. Attachments are raw and need no look.
pub(super) fn is_sound(header: &Header, extension: &[u8], payload: &[u8]) -> bool {
    let message = if header.flags & flags::ATTACHED == 0 {
        Some(payload)
    } else {
        extension::message_pack_len(extension).and_then(|len| payload.get(..len as usize))
    };
    message.is_some_and(|message| message.is_empty() || prescan::prescan(message).is_ok())
}

/// The header of `header`'s answer turned into a failure; its body is not to be looked at.
fn refuse_response(header: &Header, code: ErrorCode) -> Header {
    Header { callback: code as u32, flags: 0, ..*header }
}

/// As [`refuse_response`], for items.
fn refused_items(header: &Header, code: ErrorCode) -> Header {
    Header { callback: code as u32, flags: flags::REFUSED, ..*header }
}

/// Tells that memory of this number may be used again.
pub(super) fn returned(number: u32) -> [u8; HEADER_BYTES] {
    Header { callback: number, ..Header::new(Kind::Returned) }.encode()
}

/// Bytes read beside a piece that is read into its place: enough for small frames that pass.
const READ_BESIDE_BYTES: usize = 16 * 1024;

/// Bytes of a buffer for [`Line::read_pieces`](super::Line::read_pieces): what is carried, what is read, and what is made of it.
pub const BESIDE_BYTES: usize = 4 * READ_BESIDE_BYTES;

/// How much of an unwanted piece is thrown away at a time.
const WASTE_BYTES: usize = 16 * 1024;

/// Answers to pings that may wait: a flood of pings earns no flood of pongs.
const MAX_REPLY_BYTES: usize = 4096;
