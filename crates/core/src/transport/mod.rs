//! Sockets: open, accept, close. Knows bytes, not frames.
//!
//! Who may be at the other end is decided here as far as the kernel can tell: loopback only unless
//! asked otherwise, private folders, one user (RELIABILITY 3.2).

mod tcp;
mod unix;

use bytes::BufMut;
use socket2::SockRef;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

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
}

macro_rules! either {
    ($stream:expr, $inner:ident => $body:expr) => {
        match $stream {
            Stream::Tcp($inner) => $body,
            Stream::Unix($inner) => $body,
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

    /// Waits until a read may give something.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        either!(self, stream => stream.readable().await)
    }

    /// Waits until a write may take something.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        either!(self, stream => stream.writable().await)
    }

    /// Reads what is there; `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing is there, else the connection is lost.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_read(into))
    }

    /// Appends what is there to `into`, at most as much as it has room for.
    ///
    /// # Errors
    ///
    /// As [`Stream::try_read`].
    pub fn try_read_buf(&self, into: &mut impl BufMut) -> io::Result<usize> {
        either!(self, stream => stream.try_read_buf(into))
    }

    /// Notes that the last read took all there was, which saves the read that would find nothing.
    ///
    /// Only after a read that gave less than it had room for: bytes that come later raise the
    /// readiness again.
    pub fn set_drained(&self) {
        let nothing = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
        let _ = either!(self, stream => stream.try_io(Interest::READABLE, nothing));
    }

    /// Writes what fits.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing fits, else the connection is lost.
    pub fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_write(from))
    }

    /// Writes what fits of several slices in one system call.
    ///
    /// # Errors
    ///
    /// As [`Stream::try_write`].
    pub fn try_write_vectored(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, stream => stream.try_write_vectored(from))
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
        Ok(())
    }

    /// Tells the other end that nothing more comes, or in both directions that all is over.
    ///
    /// # Errors
    ///
    /// The other end is gone already.
    pub fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        either!(self, stream => SockRef::from(stream).shutdown(how))
    }

    /// The user at the other end as the kernel tells it, `None` over TCP.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn peer_uid(&self) -> io::Result<Option<u32>> {
        match self {
            Self::Tcp(_) => Ok(None),
            Self::Unix(stream) => Ok(Some(stream.peer_cred()?.uid())),
        }
    }

    /// The address at the other end, `None` over a UNIX socket.
    #[must_use]
    pub fn peer_ip(&self) -> Option<std::net::IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|address| address.ip().to_canonical()),
            Self::Unix(_) => None,
        }
    }

    /// Hands the descriptor on, still non-blocking, no longer watched by this runtime.
    ///
    /// # Errors
    ///
    /// The runtime cannot let go of it; it is closed then.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::Tcp(stream) => stream.into_std()?.into(),
            Self::Unix(stream) => stream.into_std()?.into(),
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
}

impl Listener {
    /// Binds `address`, on loopback only unless `allow_remote`.
    ///
    /// # Errors
    ///
    /// A [`crate::error::CoreError`] of code `AddressInUse`, `BadAddress` or `Unauthorized`, whose
    /// message says what to do.
    pub async fn bind(address: &Address, allow_remote: bool) -> Result<Self, crate::error::CoreError> {
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
        }
    }
}

/// The user this process acts for.
#[must_use]
pub fn own_uid() -> u32 {
    // SAFETY: takes nothing, cannot fail, touches no memory of ours.
    unsafe { libc::geteuid() }
}

/// Large buffers make large payloads cheap; a refusal is no harm.
fn ask_for_large_buffers(socket: &SockRef<'_>) {
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
}

/// A few fragments, so a writer seldom waits for the reader to be scheduled (CORE.md).
const SOCKET_BUFFER_BYTES: usize = 1024 * 1024;
