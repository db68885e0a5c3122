//! One connection's TLS: plaintext on one side, a non-blocking socket on the other. Waits for nothing.

use super::refusals::{HANDSHAKE_RECORD, no_tls, refused};
use crate::error::CoreError;
use daffi_protocol::ErrorCode;
use rustls::Connection;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};

/// Which side of a connection a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that connects.
    Node,
    /// The side that accepts.
    Controller,
}

/// What a handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shaking {
    /// Nothing: it is done.
    Done,
    /// Bytes of the peer.
    Reads,
    /// Room in the socket.
    Writes,
}

/// The TLS of one connection.
///
/// Holds at most one read of the socket (`SCRATCH_BYTES`) and what [`Session::write`] took in one go, 64 KiB: the
/// rest waits in the socket, or with the caller.
pub struct Session {
    connection: Connection,
    role: Role,
    /// Ciphertext that came in one read with what filled the caller's buffers.
    held: Vec<u8>,
    /// How much of `held` is decrypted.
    used: usize,
    /// Ciphertext that the socket has not taken, about; never 0 while there is some.
    unsent: usize,
    /// Bytes of the peer before the handshake was done.
    shaken_bytes: usize,
    /// The first byte the peer sent.
    first: Option<u8>,
    /// The last read took all that was in the socket.
    is_drained: bool,
    /// Plaintext is left that the socket does not tell of.
    is_ready: bool,
    /// Why nothing more can be read.
    failed: Option<CoreError>,
    /// The peer has ended its side.
    is_ended: bool,
    /// The socket takes nothing any more.
    is_broken: bool,
}

impl Session {
    pub(super) fn new(connection: Connection, role: Role) -> Self {
        Self {
            connection,
            role,
            held: Vec::new(),
            used: 0,
            unsent: 0,
            shaken_bytes: 0,
            first: None,
            is_drained: false,
            is_ready: false,
            failed: None,
            is_ended: false,
            is_broken: false,
        }
    }

    /// Goes on with the handshake as far as the socket allows.
    ///
    /// # Errors
    ///
    /// A [`CoreError`] inside the `io::Error` says what is wrong with the peer.
    pub fn shake(&mut self, socket: &mut (impl Read + Write)) -> io::Result<Shaking> {
        loop {
            match self.flush(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Shaking::Writes),
                Err(error) => return Err(error),
            }
            if !self.connection.is_handshaking() {
                self.is_ready = self.has_more();
                return Ok(Shaking::Done);
            }
            match self.fill(socket, &mut Space { slices: &mut [], at: 0 }) {
                Ok(_) if self.failed.is_some() => return self.failure(),
                Ok(_) if self.is_ended => return Err(no_tls(self.role, self.first).into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Shaking::Reads),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there; `Ok(0)` is the end of the stream. Gives less than there is room for only when nothing is
    /// left that could be decrypted.
    ///
    /// The end is an end with or without the peer's word for it: what was cut off is seen by the lengths of frames.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there, else the connection is lost.
    pub fn read(&mut self, socket: &mut (impl Read + Write), into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut space = Space { slices: into, at: 0 };
        self.is_ready = false;
        let mut total = self.take(&mut space)?;
        while !space.is_full() && !self.is_over() {
            match self.fill(socket, &mut space) {
                Ok(bytes) => total += bytes,
                Err(error) if total == 0 => return Err(error),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => self.failed = Some(error.into()),
            }
        }
        if total == 0 && self.failed.is_some() {
            return self.failure();
        }
        self.is_ready = self.has_more();
        Ok(total)
    }

    /// Writes what fits, 64 KiB at most, as soon as nothing of the last write is left.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing fits, else the connection is lost.
    pub fn write(&mut self, socket: &mut impl Write, from: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush(socket)?;
        let taken = self.connection.writer().write_vectored(from)?;
        self.unsent += taken;
        match self.flush(socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Gives the socket the ciphertext that waits for it; gives the bytes that went.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when some is left, else the connection is lost.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let mut total = 0;
        while self.connection.wants_write() {
            match self.connection.write_tls(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    total += bytes;
                    self.unsent = self.unsent.saturating_sub(bytes);
                }
                Err(error) => {
                    self.unsent = self.unsent.max(1);
                    self.is_broken |= error.kind() != io::ErrorKind::WouldBlock;
                    return Err(error);
                }
            }
        }
        self.unsent = 0;
        Ok(total)
    }

    /// Tells the peer that nothing more comes, as far as the socket takes it at once.
    pub fn end(&mut self, socket: &mut impl Write) {
        // A peer that has not come through the handshake hears of an alert at most.
        if !self.connection.is_handshaking() {
            self.connection.send_close_notify();
        }
        let _ = self.flush(socket);
    }

    /// About how many bytes of ciphertext wait for room in the socket; none when there will be none.
    #[must_use]
    pub fn unsent(&self) -> usize {
        if self.connection.wants_write() && !self.is_broken { self.unsent.max(1) } else { 0 }
    }

    /// Whether a read would give something whatever the socket says.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.is_ready || self.is_over()
    }

    /// Whether the last read left nothing in the socket.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.is_drained && !self.is_ready()
    }

    /// The first byte of the peer: what a peer that speaks no TLS began with.
    #[must_use]
    pub const fn first_byte(&self) -> Option<u8> {
        self.first
    }

    /// The DNS names of the peer's certificate; `None` when it showed none.
    #[must_use]
    pub fn peer_names(&self) -> Option<Vec<String>> {
        let certificate = self.connection.peer_certificates()?.first()?;
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        Some(certificate.valid_dns_names().map(str::to_owned).collect())
    }

    const fn is_over(&self) -> bool {
        self.is_ended || self.failed.is_some()
    }

    fn failure<T>(&self) -> io::Result<T> {
        Err(self.failed.clone().map_or_else(|| io::ErrorKind::ConnectionAborted.into(), Into::into))
    }

    /// Whether plaintext is there, decrypted or not, that the socket knows nothing of.
    fn has_more(&mut self) -> bool {
        !self.held.is_empty()
            || self.connection.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    /// Plaintext that is decrypted already.
    fn take(&mut self, space: &mut Space<'_, '_>) -> io::Result<usize> {
        let mut total = 0;
        while let Some(room) = space.room() {
            match self.connection.reader().read(room) {
                Ok(0) => {
                    self.is_ended = true;
                    break;
                }
                Ok(bytes) => {
                    space.advance(bytes);
                    total += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Reads the socket once and decrypts, first what was left of the last time.
    fn fill(&mut self, socket: &mut (impl Read + Write), space: &mut Space<'_, '_>) -> io::Result<usize> {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            let mut rest = held.get(self.used..).unwrap_or_default();
            let result = self.decrypt(socket, &mut rest, space);
            if !rest.is_empty() {
                self.used = held.len() - rest.len();
                self.held = held;
            }
            return result;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let room = if self.connection.is_handshaking() { HANDSHAKE_READ_BYTES } else { SCRATCH_BYTES };
            let read = socket.read(scratch.get_mut(..room).unwrap_or_default())?;
            self.is_drained = read < room;
            if read == 0 {
                self.is_ended = true;
                return Ok(0);
            }
            let mut rest = scratch.get(..read).unwrap_or_default();
            if self.first.is_none() {
                self.first = rest.first().copied();
                if self.role == Role::Controller && self.first != Some(HANDSHAKE_RECORD) {
                    return Err(no_tls(self.role, self.first).into());
                }
            }
            if self.connection.is_handshaking() {
                self.shaken_bytes += read;
                if self.shaken_bytes > MAX_HANDSHAKE_BYTES {
                    let message = "The peer sent more than a TLS handshake needs.";
                    return Err(CoreError::new(ErrorCode::Protocol, message).into());
                }
            }
            let result = self.decrypt(socket, &mut rest, space);
            (self.used, self.held) = (0, rest.to_vec());
            result
        })
    }

    /// Decrypts until nothing is left of `rest`, or `space` is full.
    fn decrypt(&mut self, socket: &mut impl Write, rest: &mut &[u8], space: &mut Space<'_, '_>) -> io::Result<usize> {
        let mut total = 0;
        while !rest.is_empty() && !self.is_over() {
            if let Err(error) = self.connection.read_tls(rest) {
                let message = format!("The peer sent more than a TLS handshake needs ({error}).");
                self.failed = Some(CoreError::new(ErrorCode::Protocol, message));
                break;
            }
            let state = match self.connection.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // An alert says why, if it can go at once.
                    let _ = self.flush(socket);
                    self.failed = Some(refused(self.role, &error));
                    // What came before it counts.
                    total += self.take(space)?;
                    break;
                }
            };
            total += self.take(space)?;
            if state.plaintext_bytes_to_read() > 0 && space.is_full() {
                break;
            }
            self.is_ended |= state.peer_has_closed() && state.plaintext_bytes_to_read() == 0;
        }
        if self.connection.wants_write() && !self.connection.is_handshaking() {
            // The answer to a new key. What does not go now goes with the next write or flush.
            let _ = self.flush(socket);
        }
        Ok(total)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("role", &self.role).field("unsent", &self.unsent()).finish_non_exhaustive()
    }
}

/// Room in a caller's buffers, taken front to back.
struct Space<'a, 'b> {
    slices: &'a mut [IoSliceMut<'b>],
    /// Bytes taken of the first one.
    at: usize,
}

impl Space<'_, '_> {
    fn room(&mut self) -> Option<&mut [u8]> {
        while self.slices.first().is_some_and(|slice| slice.len() == self.at) {
            self.slices = std::mem::take(&mut self.slices).get_mut(1..).unwrap_or_default();
            self.at = 0;
        }
        let at = self.at;
        self.slices.first_mut().and_then(|slice| slice.get_mut(at..))
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn is_full(&mut self) -> bool {
        self.room().is_none()
    }
}

thread_local! {
    /// What a read of the socket goes into, one for all sessions of the thread.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Four records and a bit: few system calls for a big payload, and little to hold when the caller has less room.
const SCRATCH_BYTES: usize = 72 * 1024;
/// A chain of long certificates fits, and what a stranger can have us keep is bounded.
const MAX_HANDSHAKE_BYTES: usize = 64 * 1024;
const HANDSHAKE_READ_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::super::{ClientTls, Identity, ServerTls, Trust};
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// One direction of a connection: takes and gives as little as it is told.
    #[derive(Default)]
    struct Pipe {
        bytes: VecDeque<u8>,
        /// Most bytes of one read or write.
        bite: usize,
        /// Most bytes that lie in it.
        room: usize,
    }

    /// One end of two pipes.
    struct End<'a> {
        from: &'a mut Pipe,
        to: &'a mut Pipe,
    }

    impl Read for End<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let bytes = into.len().min(self.from.bite).min(self.from.bytes.len());
            if bytes == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            for (place, byte) in into.iter_mut().zip(self.from.bytes.drain(..bytes)) {
                *place = byte;
            }
            Ok(bytes)
        }
    }

    impl Write for End<'_> {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            let bytes = from.len().min(self.to.bite).min(self.to.room - self.to.bytes.len());
            if bytes == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.to.bytes.extend(&from[..bytes]);
            Ok(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sessions() -> (Session, Session) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Identity { cert: cert.as_bytes(), key: key.as_bytes() };
        let node = ClientTls::new(Trust::Roots(cert.as_bytes().into()), None, None).unwrap();
        (node.connect("localhost").unwrap(), ServerTls::new(identity, None).unwrap().accept().unwrap())
    }

    fn shaken(there: &mut Pipe, back: &mut Pipe) -> (Session, Session) {
        let (mut node, mut controller) = sessions();
        loop {
            let near = node.shake(&mut End { from: back, to: there }).unwrap();
            let far = controller.shake(&mut End { from: there, to: back }).unwrap();
            if (near, far) == (Shaking::Done, Shaking::Done) {
                return (node, controller);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn bytes_cut_anywhere_on_the_way_arrive_once_and_in_order(
            writes in prop::collection::vec(prop_oneof![1usize..100, 16_000usize..17_000, 60_000usize..200_000], 1..12),
            bite in prop_oneof![1usize..40, 1000usize..100_000],
            room in 100usize..200_000,
            reads in prop::collection::vec(prop_oneof![1usize..64, 1000usize..40_000], 1..8),
        ) {
            let mut there = Pipe { bite: 5000, room: 1 << 20, ..Pipe::default() };
            let mut back = Pipe { bite: 5000, room: 1 << 20, ..Pipe::default() };
            let (mut node, mut controller) = shaken(&mut there, &mut back);
            // Small bites for small amounts only: a byte at a time takes its time.
            let total: usize = writes.iter().sum();
            there.bite = bite.max(total / 20_000);
            there.room = room;
            let sent: Vec<u8> = (0..total).map(|at| (at * 7 % 251) as u8).collect();
            let (mut at, mut write, mut got, mut read) = (0, 0, Vec::new(), 0);
            let mut buffer = vec![0; 40_000];
            while got.len() < total {
                if at < total {
                    let size = writes[write % writes.len()].min(total - at);
                    let (one, other) = sent[at..at + size].split_at(size / 3);
                    match node.write(&mut End { from: &mut back, to: &mut there }, &[IoSlice::new(one), IoSlice::new(other)]) {
                        Ok(taken) => {
                            prop_assert!(taken > 0 && taken <= 64 * 1024);
                            at += taken;
                            write += 1;
                        }
                        Err(error) => prop_assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                    }
                } else {
                    let _ = node.flush(&mut End { from: &mut back, to: &mut there });
                }
                prop_assert_eq!(node.unsent() > 0, node.connection.wants_write());
                let size = reads[read % reads.len()];
                read += 1;
                let (one, other) = buffer[..size].split_at_mut(size / 2);
                let mut slices = [IoSliceMut::new(one), IoSliceMut::new(&mut []), IoSliceMut::new(other)];
                match controller.read(&mut End { from: &mut there, to: &mut back }, &mut slices) {
                    Ok(bytes) => {
                        got.extend_from_slice(&buffer[..bytes]);
                        // Whoever got less than fitted may wait for the socket.
                        prop_assert!(bytes == size || !controller.is_ready());
                    }
                    Err(error) => {
                        prop_assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        prop_assert!(!controller.is_ready());
                    }
                }
            }
            prop_assert!(got == sent);
            prop_assert_eq!(node.unsent(), 0);
        }
    }

    #[test]
    fn an_end_comes_behind_what_was_sent_and_is_told_again_and_again() {
        let mut there = Pipe { bite: 5000, room: 1 << 20, ..Pipe::default() };
        let mut back = Pipe { bite: 5000, room: 1 << 20, ..Pipe::default() };
        let (mut node, mut controller) = shaken(&mut there, &mut back);
        let mut near = End { from: &mut back, to: &mut there };
        node.write(&mut near, &[IoSlice::new(b"last words")]).unwrap();
        node.end(&mut near);
        let mut buffer = [0; 64];
        let mut read = |controller: &mut Session| {
            controller.read(&mut End { from: &mut there, to: &mut back }, &mut [IoSliceMut::new(&mut buffer)])
        };
        assert_eq!(read(&mut controller).unwrap(), 10);
        for _ in 0..2 {
            assert!(controller.is_ready() && !controller.is_drained());
            assert_eq!(read(&mut controller).unwrap(), 0);
        }
    }

    #[test]
    fn a_record_that_was_changed_on_the_way_ends_the_connection_for_good() {
        let mut there = Pipe { bite: 5000, room: 1 << 20, ..Pipe::default() };
        let mut back = Pipe { bite: 5000, room: 1 << 20, ..Pipe::default() };
        let (mut node, mut controller) = shaken(&mut there, &mut back);
        for text in [b"first", b"other"] {
            node.write(&mut End { from: &mut back, to: &mut there }, &[IoSlice::new(text)]).unwrap();
        }
        *there.bytes.back_mut().unwrap() ^= 1;
        let mut buffer = [0; 64];
        let mut read = |controller: &mut Session| {
            controller.read(&mut End { from: &mut there, to: &mut back }, &mut [IoSliceMut::new(&mut buffer)])
        };
        assert_eq!(read(&mut controller).unwrap(), 5, "what came before it counts");
        for _ in 0..2 {
            assert!(controller.is_ready());
            let error = CoreError::from(read(&mut controller).unwrap_err());
            assert_eq!(error.code, ErrorCode::Protocol, "{error}");
        }
    }

    #[test]
    fn a_stranger_cannot_have_more_kept_than_a_handshake_needs() {
        let (_, mut controller) = sessions();
        let (mut there, mut back) = (Pipe { bite: 1 << 20, room: 1 << 20, ..Pipe::default() }, Pipe::default());
        back.room = 1 << 20;
        back.bite = 1 << 20;
        // A handshake message of 65,000 bytes, in records of 16,000, that never ends.
        for record in 0..70 {
            let body: Vec<u8> =
                if record == 0 { [&[1, 0, 0xfd, 0xe8][..], &[0; 15_996]].concat() } else { vec![0; 16_000] };
            there.bytes.extend([0x16, 3, 1, 0x3e, 0x80]);
            there.bytes.extend(body);
        }
        let offered = there.bytes.len();
        let error = CoreError::from(controller.shake(&mut End { from: &mut there, to: &mut back }).unwrap_err());
        assert!(matches!(error.code, ErrorCode::Protocol | ErrorCode::Unauthorized), "{error}");
        assert!(offered - there.bytes.len() <= MAX_HANDSHAKE_BYTES + HANDSHAKE_READ_BYTES);
    }
}
