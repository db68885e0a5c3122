//! A TCP stream with TLS, watched by the runtime.

use crate::error::CoreError;
use crate::tls::{Session, Shaking};
use daffi_protocol::ErrorCode;
use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Secured once `shake` is done; nothing else is to be read or written before.
#[derive(Debug)]
pub struct Tls {
    pub(super) tcp: TcpStream,
    pub(super) session: RefCell<Session>,
}

impl Tls {
    pub(super) const fn new(tcp: TcpStream, session: Session) -> Self {
        Self { tcp, session: RefCell::new(session) }
    }

    /// Shakes hands to the end, however long that takes.
    pub(super) async fn shake(&self) -> Result<(), CoreError> {
        loop {
            let shaking = self.session.borrow_mut().shake(&mut Bytes(&self.tcp));
            match shaking.map_err(lost)? {
                Shaking::Done => return Ok(()),
                Shaking::Reads => self.tcp.readable().await.map_err(lost)?,
                Shaking::Writes => self.tcp.writable().await.map_err(lost)?,
            }
        }
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        if self.session.borrow().is_ready() { Ok(()) } else { self.tcp.readable().await }
    }

    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.session.borrow_mut().read(&mut Bytes(&self.tcp), &mut [IoSliceMut::new(into)])
    }

    pub(super) fn try_write_vectored(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.borrow_mut().write(&mut Bytes(&self.tcp), from)
    }

    pub(super) fn try_flush(&self) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        let before = session.unsent();
        match session.flush(&mut Bytes(&self.tcp)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(before.saturating_sub(session.unsent())),
            done => done,
        }
    }

    pub(super) fn set_drained(&self) {
        if self.session.borrow().is_drained() {
            let nothing = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
            let _ = self.tcp.try_io(Interest::READABLE, nothing);
        }
    }

    pub(super) fn end(&self) {
        self.session.borrow_mut().end(&mut Bytes(&self.tcp));
    }
}

fn lost(error: io::Error) -> CoreError {
    CoreError::from_io(ErrorCode::ConnectionLost, "The connection failed in the TLS handshake", error)
}

/// The stream as rustls reads and writes it.
pub(super) struct Bytes<'a>(pub &'a TcpStream);

impl Read for Bytes<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.try_write(from)
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
