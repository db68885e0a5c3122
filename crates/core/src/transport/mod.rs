//! Sockets: open, accept, close. Knows bytes, not frames.
//!
//! Who may be at the other end is decided here as far as the kernel can tell: loopback only unless
//! asked otherwise, private folders, one user (RELIABILITY 3.2).

mod tcp;
mod tls;
mod unix;

pub use tls::Tls;

use crate::error::CoreError;
use crate::memory::{self, Arrived, Memory};
use crate::socket::Socket;
use crate::tls::{ClientTls, ServerTls, Session};
use bytes::BufMut;
use daffi_protocol::ErrorCode;
use socket2::SockRef;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{pending, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

/// Where a controller listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port. `localhost` means 127.0.0.1 and ::1.
    Tcp {
        /// Name or number.
        host: String,
        /// 0 lets the system choose when a controller binds.
        port: u16,
    },
    /// A UNIX socket.
    Unix {
        /// The socket file itself.
        path: PathBuf,
    },
}

impl Address {
    /// The UNIX socket that is used when nothing else is said: `<tmp>/daffi/.sock`.
    #[must_use]
    pub fn default_unix() -> Self {
        Self::Unix { path: unix::default_folder().join(".sock") }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path } => write!(f, "{}", path.display()),
        }
    }
}

/// A connected socket, non-blocking.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP, with `TCP_NODELAY`.
    Tcp(TcpStream),
    /// Over a UNIX socket or one end of a socket pair.
    Unix(UnixStream),
    /// Over TCP with TLS.
    Tls(Box<Tls>),
}

macro_rules! either {
    ($stream:expr, $inner:ident => $body:expr, $tls:ident => $secured:expr) => {
        match $stream {
            Stream::Tcp($inner) => $body,
            Stream::Unix($inner) => $body,
            Stream::Tls($tls) => $secured,
        }
    };
}

impl Stream {
    /// Takes over a UNIX socket, for example the node's end of a socket pair.
    ///
    /// # Errors
    ///
    /// The descriptor cannot be watched. Outside a tokio runtime with IO this panics.
    pub fn from_unix_fd(fd: OwnedFd) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::from(fd);
        stream.set_nonblocking(true)?;
        Ok(Self::Unix(UnixStream::from_std(stream)?))
    }

    /// Two connected streams of this process, not yet watched by any runtime.
    ///
    /// # Errors
    ///
    /// The system is out of descriptors.
    pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
        let (left, right) = std::os::unix::net::UnixStream::pair()?;
        for end in [&left, &right] {
            end.set_nonblocking(true)?;
            ask_for_large_buffers(&SockRef::from(end));
        }
        Ok((left.into(), right.into()))
    }

    /// This connection, TCP, with TLS from now on as the side that accepted it. [`Stream::secure`] is next.
    ///
    /// # Errors
    ///
    /// It is no TCP connection.
    pub fn with_tls(self, tls: &ServerTls) -> Result<Self, CoreError> {
        self.with_session(tls.accept()?)
    }

    /// As [`Stream::with_tls`] for the side that connected, to `host`.
    ///
    /// # Errors
    ///
    /// No certificate can be for `host`, or it is no TCP connection.
    pub fn with_tls_to(self, tls: &ClientTls, host: &str) -> Result<Self, CoreError> {
        self.with_session(tls.connect(host)?)
    }

    fn with_session(self, session: Session) -> Result<Self, CoreError> {
        match self {
            Self::Tcp(stream) => Ok(Self::Tls(Box::new(Tls::new(stream, session)))),
            _ => Err(CoreError::new(ErrorCode::BadAddress, "TLS is for TCP. Pass `host`, or leave `tls` out.")),
        }
    }

    /// Shakes hands for TLS; without TLS there is nothing to do. Nothing else may be read or written before.
    ///
    /// # Errors
    ///
    /// `Unauthorized` when a certificate does not hold, `Protocol` or `ConnectionLost` when the peer speaks no TLS.
    pub async fn secure(&self) -> Result<(), CoreError> {
        match self {
            Self::Tls(stream) => stream.shake().await,
            _ => Ok(()),
        }
    }

    /// Tells a peer that spoke no TLS something in the clear, as far as the socket takes it at once.
    pub(crate) fn try_write_plain(&self, from: &[u8]) {
        if let Self::Tls(stream) = self {
            let _ = stream.tcp.try_write(from);
        }
    }

    /// With TLS the first byte of the peer: what it began with if it speaks no TLS.
    pub(crate) fn first_byte(&self) -> Option<u8> {
        match self {
            Self::Tls(stream) => stream.session.borrow().first_byte(),
            _ => None,
        }
    }

    /// Waits until the peer has closed its side; throws away what comes until then.
    pub(crate) async fn linger(&self) {
        if let Self::Tls(stream) = self {
            let mut waste = [0; 4096];
            while stream.tcp.readable().await.is_ok() {
                match stream.tcp.try_read(&mut waste) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    _ => return,
                }
            }
        }
    }

    /// The DNS names of the certificate that the peer showed; `None` when it showed none.
    #[must_use]
    pub fn peer_names(&self) -> Option<Vec<String>> {
        match self {
            Self::Tls(stream) => stream.session.borrow().peer_names(),
            _ => None,
        }
    }

    /// Bytes that were written and that the socket has not taken: with TLS about what one write took.
    #[must_use]
    pub fn unsent(&self) -> usize {
        match self {
            Self::Tls(stream) => stream.session.borrow().unsent(),
            _ => 0,
        }
    }

    /// Gives the socket what it has not taken; gives the bytes that went.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub fn try_flush(&self) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.try_flush(),
            _ => Ok(0),
        }
    }

    /// Waits until a read may give something.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        either!(self, stream => stream.readable().await, tls => tls.readable().await)
    }

    /// Waits until a write may take something.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        either!(self, stream => stream.writable().await, tls => tls.tcp.writable().await)
    }

    /// Reads what is there; `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing is there, else the connection is lost.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_read(into), tls => tls.try_read(into))
    }

    /// As [`Stream::try_read`]; memory that came along over a UNIX socket goes behind `arrived`.
    ///
    /// # Errors
    ///
    /// As [`memory::receive`].
    pub fn try_read_memory(&self, into: &mut [u8], arrived: &mut VecDeque<Arrived>) -> io::Result<usize> {
        let Self::Unix(stream) = self else { return self.try_read(into) };
        let mut buffers = [IoSliceMut::new(into)];
        stream.try_io(Interest::READABLE, || memory::receive(stream.as_fd(), &mut buffers, arrived))
    }

    /// Writes what fits of `frames` to a UNIX socket, with `memory`.
    ///
    /// # Errors
    ///
    /// As [`memory::send`]; nothing has gone then.
    pub fn try_write_memory(&self, frames: &[u8], memory: &Memory) -> io::Result<usize> {
        let Self::Unix(stream) = self else { return Err(io::ErrorKind::Unsupported.into()) };
        stream.try_io(Interest::WRITABLE, || memory::send(stream.as_fd(), frames, memory))
    }

    /// Appends what is there to `into`, at most as much as it has room for.
    ///
    /// # Errors
    ///
    /// As [`Stream::try_read`].
    pub fn try_read_buf(&self, into: &mut impl BufMut) -> io::Result<usize> {
        either!(self, stream => stream.try_read_buf(into), tls => {
            // A session reads into memory that is initialised; the copy is small beside the decryption.
            let mut piece = [0; PIECE_BYTES];
            let mut total = 0;
            while into.has_remaining_mut() {
                let room = into.remaining_mut().min(PIECE_BYTES);
                match tls.try_read(piece.get_mut(..room).unwrap_or_default()) {
                    Ok(0) => break,
                    Ok(read) => {
                        into.put_slice(piece.get(..read).unwrap_or_default());
                        total += read;
                    }
                    Err(_) if total > 0 => break,
                    Err(error) => return Err(error),
                }
            }
            Ok(total)
        })
    }

    /// Notes that the last read took all there was, which saves the read that would find nothing.
    ///
    /// Only after a read that gave less than it had room for: bytes that come later raise the
    /// readiness again.
    pub fn set_drained(&self) {
        let nothing = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
        let _ =
            either!(self, stream => stream.try_io(Interest::READABLE, nothing), tls => { tls.set_drained(); Ok(()) });
    }

    /// Writes what fits.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing fits, else the connection is lost.
    pub fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_write(from), tls => tls.try_write_vectored(&[IoSlice::new(from)]))
    }

    /// Writes what fits of several slices in one system call.
    ///
    /// # Errors
    ///
    /// As [`Stream::try_write`].
    pub fn try_write_vectored(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, stream => stream.try_write_vectored(from), tls => tls.try_write_vectored(from))
    }

    /// Waits for bytes and reads them; `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.readable().await?;
            match self.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    /// Writes all of `from`, waiting for room.
    ///
    /// # Errors
    ///
    /// The connection is lost; some bytes may have gone.
    pub async fn write_all(&self, from: &[u8]) -> io::Result<()> {
        let mut rest = from;
        while !rest.is_empty() {
            match self.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        while self.unsent() > 0 {
            if self.try_flush()? == 0 {
                self.writable().await?;
            }
        }
        Ok(())
    }

    /// Tells the other end that nothing more comes, or in both directions that all is over.
    ///
    /// # Errors
    ///
    /// The other end is gone already.
    pub fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        either!(self, stream => SockRef::from(stream).shutdown(how), tls => {
            tls.end();
            SockRef::from(&tls.tcp).shutdown(how)
        })
    }

    /// The user at the other end as the kernel tells it, `None` over TCP.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn peer_uid(&self) -> io::Result<Option<u32>> {
        match self {
            Self::Tcp(_) | Self::Tls(_) => Ok(None),
            Self::Unix(stream) => Ok(Some(stream.peer_cred()?.uid())),
        }
    }

    /// The address at the other end, `None` over a UNIX socket.
    #[must_use]
    pub fn peer_ip(&self) -> Option<std::net::IpAddr> {
        let tcp = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => &stream.tcp,
            Self::Unix(_) => return None,
        };
        tcp.peer_addr().ok().map(|address| address.ip().to_canonical())
    }

    /// Hands descriptor and TLS on, still non-blocking, no longer watched by this runtime.
    ///
    /// # Errors
    ///
    /// The runtime cannot let go of it; it is closed then.
    pub fn into_socket(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => Socket::new(stream.into_std()?.into()),
            Self::Unix(stream) => Socket::new(stream.into_std()?.into()),
            Self::Tls(stream) => {
                let Tls { tcp, session } = *stream;
                Socket::with_tls(tcp.into_std()?.into(), session.into_inner())
            }
        })
    }
}

/// Connects to a controller.
///
/// # Errors
///
/// What the system says, or a [`crate::error::CoreError`] inside the `io::Error` when the socket or
/// its folder belongs to somebody who may not be trusted.
pub async fn connect(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Tcp { host, port } => tcp::connect(host, *port).await,
        Address::Unix { path } => unix::connect(path).await,
    }
}

/// A bound address. Dropping it releases the port, or the lock and the socket file it made.
#[derive(Debug)]
pub struct Listener {
    /// The sockets, by transport.
    inner: Inner,
    /// What was bound, with the real port.
    address: Address,
}

#[derive(Debug)]
enum Inner {
    Tcp(tcp::Listener),
    Unix(unix::Listener),
    Given(RefCell<mpsc::Receiver<OwnedFd>>),
}

impl Listener {
    /// One that accepts what somebody else has accepted, as a simulated network does: stream sockets of
    /// the UNIX family. `address` is only a name.
    #[must_use]
    pub fn given(address: Address, streams: mpsc::Receiver<OwnedFd>) -> Self {
        Self { inner: Inner::Given(RefCell::new(streams)), address }
    }

    /// Binds `address`, on loopback only unless `allow_remote`.
    ///
    /// # Errors
    ///
    /// A [`crate::error::CoreError`] of code `AddressInUse`, `BadAddress` or `Unauthorized`, whose
    /// message says what to do.
    pub async fn bind(address: &Address, allow_remote: bool) -> Result<Self, CoreError> {
        match address {
            Address::Tcp { host, port } => {
                let (listener, port) = tcp::Listener::bind(host, *port, allow_remote).await?;
                Ok(Self { inner: Inner::Tcp(listener), address: Address::Tcp { host: host.clone(), port } })
            }
            Address::Unix { path } => {
                Ok(Self { inner: Inner::Unix(unix::Listener::bind(path)?), address: address.clone() })
            }
        }
    }

    /// What was bound, with the real port.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for a connection. On a UNIX socket peers of another user (root excepted) are dropped.
    ///
    /// # Errors
    ///
    /// The system is out of descriptors or memory: wait a little and call again.
    pub async fn accept(&self) -> io::Result<Stream> {
        match &self.inner {
            Inner::Tcp(listener) => listener.accept().await,
            Inner::Unix(listener) => listener.accept().await,
            Inner::Given(streams) => match poll_fn(|context| streams.borrow_mut().poll_recv(context)).await {
                Some(fd) => Stream::from_unix_fd(fd),
                None => pending().await,
            },
        }
    }
}

/// The user this process acts for.
#[must_use]
pub fn own_uid() -> u32 {
    // SAFETY: takes nothing, cannot fail, touches no memory of ours.
    unsafe { libc::geteuid() }
}

/// Large buffers make large payloads cheap; a refusal is no harm. For UNIX sockets only: those of TCP grow by themselves
/// unless somebody has asked for a size.
fn ask_for_large_buffers(socket: &SockRef<'_>) {
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
}

/// One record.
const PIECE_BYTES: usize = 16 * 1024;
/// A few fragments, so a writer seldom waits for the reader to be scheduled (CORE.md).
const RECEIVE_BUFFER_BYTES: usize = 1024 * 1024;
/// What may be on its way: two payloads of a megabyte go without a copy of ours. Small calls wait behind it, so it is no
/// more than a few milliseconds' worth.
const SEND_BUFFER_BYTES: usize = 2 * 1024 * 1024;
