//! Payloads that go between the processes of one machine as memory: a file without a name, whose descriptor goes over the
//! UNIX socket, while its bytes never do.
//!
//! The sender lends it: it copies a payload into it, and into nothing else until it comes back. Whoever receives it copies
//! the payload out before looking at it. So nobody has to believe that it stays as it is, and no page of it is mapped
//! whose absence could end a process. Used again, both copies cost less than one through a socket.

use daffi_protocol::limits::{MAX_LOANS, MEMORY_START};
use rustix::cmsg_space;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;

/// Whether this system has such memory.
pub const IS_SUPPORTED: bool = cfg!(target_os = "linux");

/// Memory that holds a payload.
#[derive(Debug)]
pub struct Memory(File);

/// A descriptor that came; `None` when it could not be taken, as this process has as many as it may have.
pub type Arrived = Option<OwnedFd>;

impl Memory {
    /// Makes some, empty.
    ///
    /// # Errors
    ///
    /// The system has none, or no descriptors: send the bytes instead.
    pub fn create() -> io::Result<Self> {
        system::create().map(|fd| Self(fd.into()))
    }

    /// Takes over what a peer sent.
    ///
    /// # Errors
    ///
    /// It is something else, of which a read might never end.
    pub fn received(fd: OwnedFd) -> io::Result<Self> {
        if !system::is_memory(&fd)? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the descriptor of what is no memory"));
        }
        Ok(Self(fd.into()))
    }

    /// Copies `pieces` into it, one behind the other, over what is there.
    ///
    /// # Errors
    ///
    /// There is not enough.
    pub fn fill(&self, pieces: &[&[u8]]) -> io::Result<()> {
        let mut at = MEMORY_START;
        for piece in pieces {
            self.0.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// It has not so many.
    pub fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, MEMORY_START + offset)
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Writes `bytes`, and `memory` along with the first of them.
///
/// # Errors
///
/// `WouldBlock` when nothing fits now; another when the socket cannot take a descriptor, or nothing at all.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], memory: &Memory) -> io::Result<usize> {
    let descriptors = [memory.as_fd()];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(retry_on_intr(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags))?)
}

/// Reads what is there, and puts descriptors that came with it behind `arrived`: that of a byte comes with it or before it.
///
/// A read ends behind bytes that a descriptor came with, so one that gives less than it had room for may not have been
/// the last.
///
/// # Errors
///
/// `WouldBlock` when nothing is there. Another when the connection is broken, or more descriptors wait for their frames than
/// may be lent.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
    arrived: &mut VecDeque<Arrived>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = retry_on_intr(|| recvmsg(socket, buffers, &mut ancillary, flags))?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            arrived.extend(descriptors.map(Some));
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        arrived.push_back(None);
    }
    if arrived.len() > MAX_LOANS {
        return Err(io::Error::other("descriptors came that belong to nothing"));
    }
    Ok(received.bytes)
}

#[cfg(target_os = "linux")]
mod system {
    use super::{AsFd, OwnedFd, io};
    use rustix::fs::{MemfdFlags, fcntl_get_seals, fstatfs, memfd_create};
    use rustix::io::Errno;

    pub(super) fn create() -> io::Result<OwnedFd> {
        let created = match memfd_create(c"daffi", MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL) {
            // Before Linux 6.3.
            Err(Errno::INVAL) => memfd_create(c"daffi", MemfdFlags::CLOEXEC),
            created => created,
        };
        Ok(created?)
    }

    /// Only files of memory have seals; those of huge pages are another file system's.
    pub(super) fn is_memory(fd: &impl AsFd) -> io::Result<bool> {
        Ok(fcntl_get_seals(fd).is_ok() && u64::try_from(fstatfs(fd)?.f_type) == Ok(TMPFS_MAGIC))
    }

    const TMPFS_MAGIC: u64 = 0x0102_1994;
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{AsFd, OwnedFd, io};

    pub(super) fn create() -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_memory(_: &impl AsFd) -> io::Result<bool> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Stream;

    #[test]
    fn memory_comes_with_the_bytes_it_was_sent_with_and_in_their_order() {
        let (near, far) = Stream::pair().unwrap();
        for number in 1..=3u8 {
            let memory = Memory::create().unwrap();
            memory.fill(&[&[number], &[number; 1000]]).unwrap();
            rustix::io::write(&near, b"before").unwrap();
            assert_eq!(send(near.as_fd(), b"with", &memory).unwrap(), 4);
            rustix::io::write(&near, b"behind").unwrap();
        }
        let (mut bytes, mut arrived) = (Vec::new(), VecDeque::new());
        while bytes.len() < 3 * 16 {
            let mut chunk = [0; 100];
            let waiting = arrived.len();
            let read = receive(far.as_fd(), &mut [IoSliceMut::new(&mut chunk)], &mut arrived).unwrap();
            bytes.extend_from_slice(&chunk[..read]);
            assert!(arrived.len() <= waiting + 1);
            // Never later than its own bytes.
            assert!(arrived.len() >= bytes.len() / 16 + usize::from(bytes.len() % 16 >= 10));
        }
        assert_eq!(bytes, b"beforewithbehind".repeat(3));
        let read: Vec<Vec<u8>> = arrived
            .into_iter()
            .map(|fd| {
                let mut read = vec![0; 1001];
                Memory::received(fd.unwrap()).unwrap().read(&mut read, 0).unwrap();
                read
            })
            .collect();
        assert_eq!(read, [vec![1; 1001], vec![2; 1001], vec![3; 1001]]);
        assert_eq!(receive(far.as_fd(), &mut [], &mut VecDeque::new()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_descriptor_of_anything_else_is_refused() {
        let (pipe, _writer) = io::pipe().unwrap();
        let (socket, _other) = Stream::pair().unwrap();
        let file = File::open("/proc/self/exe").unwrap();
        let device = File::open("/dev/zero").unwrap();
        for fd in [OwnedFd::from(pipe), socket, file.into(), device.into()] {
            assert!(Memory::received(fd).is_err());
        }
    }

    #[test]
    fn more_is_not_read_than_there_is_and_a_second_payload_lies_over_the_first() {
        let memory = Memory::create().unwrap();
        memory.fill(&[&[1; 100]]).unwrap();
        memory.fill(&[&[2; 10]]).unwrap();
        let mut read = [0; 100];
        memory.read(&mut read, 0).unwrap();
        assert_eq!((read[9], read[10]), (2, 1));
        assert!(memory.read(&mut read, 1).is_err());
    }
}
