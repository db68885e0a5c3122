//! One connection over TCP or a UNIX socket, read and written without waiting for more than there is.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use socket2::{Domain, SockAddr, Type};
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::Outcome;

/// Of a UNIX socket, both ways: a call of 1 MiB then needs a few writes instead of many.
const UNIX_BUFFER_BYTES: usize = 1 << 20;
/// Connections that may wait to be accepted.
pub const BACKLOG: i32 = 1024;

/// Where the broker listens.
pub struct Address {
    domain: Domain,
    place: SockAddr,
}

impl Address {
    /// `tcp` with `host:port`, or `unix` with a path.
    pub fn parse(transport: &str, place: &str) -> Outcome<Self> {
        match transport {
            "tcp" => {
                let place: SocketAddr = place.parse()?;
                Ok(Self { domain: Domain::for_address(place), place: place.into() })
            }
            "unix" => Ok(Self { domain: Domain::UNIX, place: SockAddr::unix(place)? }),
            other => Err(format!("unknown transport {other}").into()),
        }
    }

    fn socket(&self) -> io::Result<socket2::Socket> {
        socket2::Socket::new(self.domain, Type::STREAM, None)
    }
}

/// What the broker accepts connections from.
pub struct Listener {
    socket: AsyncFd<socket2::Socket>,
    domain: Domain,
}

impl Listener {
    /// Listens at `address`.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let socket = address.socket()?;
        socket.bind(&address.place)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: register(socket)?, domain: address.domain })
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> io::Result<Socket> {
        loop {
            let mut guard = self.socket.readable().await?;
            if let Ok(accepted) = guard.try_io(|inner| inner.get_ref().accept()) {
                return Socket::from_stream(accepted?.0, self.domain);
            }
        }
    }
}

/// A connected stream socket.
pub struct Socket(AsyncFd<socket2::Socket>);

impl Socket {
    /// Connects to the broker. On one host that waits for nobody, as long as the backlog has room.
    pub fn connect(address: &Address) -> io::Result<Self> {
        let stream = address.socket()?;
        stream.connect(&address.place)?;
        Self::from_stream(stream, address.domain)
    }

    fn from_stream(stream: socket2::Socket, domain: Domain) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        if domain == Domain::UNIX {
            stream.set_send_buffer_size(UNIX_BUFFER_BYTES)?;
            stream.set_recv_buffer_size(UNIX_BUFFER_BYTES)?;
        } else {
            stream.set_tcp_nodelay(true)?;
        }
        Ok(Self(register(stream)?))
    }

    /// Waits until there is something to read.
    pub async fn readable(&self) -> io::Result<Readable<'_>> {
        Ok(Readable(self.0.readable().await?))
    }

    /// Reads what is there, waiting for the first byte only. 0 is the end.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(count) = self.readable().await?.read(buffer)? {
                return Ok(count);
            }
        }
    }

    /// Writes all of `bytes`.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut guard = self.0.writable().await?;
            if let Ok(result) = guard.try_io(|inner| inner.get_ref().write(bytes)) {
                bytes = bytes.get(result?..).unwrap_or_default();
            }
        }
        Ok(())
    }
}

/// A socket that has something to read.
pub struct Readable<'a>(AsyncFdReadyGuard<'a, socket2::Socket>);

impl Readable<'_> {
    /// Reads what is there. 0 is the end, `None` a false alarm.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Ok(result) = self.0.try_io(|inner| inner.get_ref().read(buffer)) else { return Ok(None) };
        let count = result?;
        // A short read has emptied the socket: the next one would only be told so.
        if count < buffer.len() {
            self.0.clear_ready();
        }
        Ok(Some(count))
    }
}

/// Has the runtime watch a socket.
fn register(socket: socket2::Socket) -> io::Result<AsyncFd<socket2::Socket>> {
    // SAFETY: the socket owns its descriptor, is never taken out or replaced, and so names the same open socket until the
    // registration is dropped with it.
    Ok(unsafe { AsyncFd::register(socket) }?)
}
