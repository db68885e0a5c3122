//! A connected, non-blocking stream socket that two threads use without a runtime: the JavaScript
//! thread and the guard of its link.

use crate::memory::{self, Arrived, Memory};
use crate::tls::Session;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// The descriptor of a connection, with its TLS if it has some. Closed when the last holder drops it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// Taken for one read or write, never across a wait.
    tls: Option<Box<Mutex<Session>>>,
}

impl Socket {
    /// Takes over a connected stream socket that is already non-blocking.
    #[must_use]
    pub const fn new(fd: OwnedFd) -> Self {
        Self { fd, tls: None }
    }

    /// As [`Socket::new`], with the TLS whose handshake is done.
    #[must_use]
    pub fn with_tls(fd: OwnedFd, session: Session) -> Self {
        Self { fd, tls: Some(Box::new(Mutex::new(session))) }
    }

    /// Reads what is there into `buffers`; `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there, else the connection is broken.
    pub fn try_read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match &self.tls {
            None => Bytes(&self.fd).read_vectored(buffers),
            Some(session) => session.lock().read(&mut Bytes(&self.fd), buffers),
        }
    }

    /// As [`Socket::try_read`] from a UNIX socket; memory that came along goes behind `arrived`.
    ///
    /// # Errors
    ///
    /// As [`memory::receive`].
    pub fn try_read_memory(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        arrived: &mut VecDeque<Arrived>,
    ) -> io::Result<usize> {
        memory::receive(self.fd.as_fd(), buffers, arrived)
    }

    /// Writes as much of `frames` to a UNIX socket as it takes now, with `memory`.
    ///
    /// # Errors
    ///
    /// As [`memory::send`]; nothing has gone then.
    pub fn try_write_memory(&self, frames: &[u8], memory: &Memory) -> io::Result<usize> {
        memory::send(self.fd.as_fd(), frames, memory)
    }

    /// Writes as much of `buffers` as the socket takes now.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when it takes nothing, else the connection is broken. Never raises SIGPIPE.
    pub fn try_write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.tls {
            None => Bytes(&self.fd).write_vectored(buffers),
            Some(session) => session.lock().write(&mut Bytes(&self.fd), buffers),
        }
    }

    /// Writes what an earlier write has taken and the socket has not. False when some is left.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn try_flush(&self) -> io::Result<bool> {
        let Some(session) = &self.tls else { return Ok(true) };
        match session.lock().flush(&mut Bytes(&self.fd)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Bytes of earlier writes that the socket has not taken: with TLS about what one write took.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.tls.as_ref().map_or(0, |session| session.lock().unsent())
    }

    /// Whether a read would give something that the descriptor does not tell of.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.lock().is_ready())
    }

    /// Whether a read would give something now, the end of the stream included.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let mut entry = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, valid for the call.
        self.is_ready() || unsafe { libc::poll(&raw mut entry, 1, 0) > 0 }
    }

    /// Tells the peer that nothing more comes, behind all that was written. Reading goes on.
    pub fn finish(&self) {
        self.shut_down_side(libc::SHUT_WR);
    }

    /// Ends the connection for both sides at once; the descriptor stays until it is dropped. What the peer sends after
    /// that makes the system forget what was written and is not with the peer yet: [`Socket::finish`] first, and read.
    pub fn shut_down(&self) {
        self.shut_down_side(libc::SHUT_RDWR);
    }

    fn shut_down_side(&self, side: libc::c_int) {
        if let Some(session) = &self.tls {
            session.lock().end(&mut Bytes(&self.fd));
        }
        // SAFETY: the descriptor is open as long as `self` is.
        unsafe { libc::shutdown(self.fd.as_raw_fd(), side) };
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// The descriptor itself.
struct Bytes<'a>(&'a OwnedFd);

impl Read for Bytes<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(into)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = libc::c_int::try_from(buffers.len()).unwrap_or(libc::c_int::MAX);
        retry(|| {
            // SAFETY: `IoSliceMut` is ABI-compatible with `iovec`, and `count` of them are there.
            unsafe { libc::readv(self.0.as_raw_fd(), buffers.as_mut_ptr().cast(), count) }
        })
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(from)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        // SAFETY: all-zero is a valid `msghdr`.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = buffers.as_ptr().cast_mut().cast();
        message.msg_iovlen = buffers.len() as _;
        retry(|| {
            // SAFETY: `IoSlice` is ABI-compatible with `iovec`; sendmsg only reads through it.
            unsafe { libc::sendmsg(self.0.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn retry(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        if let Ok(bytes) = usize::try_from(call()) {
            return Ok(bytes);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
