//! One connection over TCP or a UNIX socket, read and written without waiting for more than there is.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::Outcome;

/// Of a UNIX socket, both ways: a call of 1 MiB then needs a few writes instead of many.
const UNIX_BUFFER_BYTES: usize = 1 << 20;

/// Where the broker listens.
pub enum Address {
    /// Host and port.
    Tcp(String),
    /// Path of the socket file.
    Unix(String),
}

impl Address {
    /// `tcp` with `host:port`, or `unix` with a path.
    pub fn parse(transport: &str, place: &str) -> Outcome<Self> {
        match transport {
            "tcp" => Ok(Self::Tcp(place.to_owned())),
            "unix" => Ok(Self::Unix(place.to_owned())),
            other => Err(format!("unknown transport {other}").into()),
        }
    }
}

/// What the broker accepts connections from.
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a UNIX socket.
    Unix(UnixListener),
}

impl Listener {
    /// Listens at `address`.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(place) => Ok(Self::Tcp(TcpListener::bind(place).await?)),
            Address::Unix(path) => Ok(Self::Unix(UnixListener::bind(path)?)),
        }
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => Socket::from_tcp(listener.accept().await?.0),
            Self::Unix(listener) => Socket::from_unix(listener.accept().await?.0),
        }
    }
}

/// A connected stream socket. The descriptor is held as a file, which reads and writes it with plain system calls.
pub struct Socket(AsyncFd<File>);

impl Socket {
    /// Connects to the broker.
    pub async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(place) => Self::from_tcp(TcpStream::connect(place).await?),
            Address::Unix(path) => Self::from_unix(UnixStream::connect(path).await?),
        }
    }

    fn from_tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Self::from_descriptor(stream.into_std()?.into())
    }

    fn from_unix(stream: UnixStream) -> io::Result<Self> {
        let stream = socket2::Socket::from(stream.into_std()?);
        stream.set_send_buffer_size(UNIX_BUFFER_BYTES)?;
        stream.set_recv_buffer_size(UNIX_BUFFER_BYTES)?;
        Self::from_descriptor(stream.into())
    }

    fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: the file owns its descriptor, is never taken out or replaced, and so names the same open socket until
        // the registration is dropped with it.
        let registered = unsafe { AsyncFd::register(File::from(descriptor)) }?;
        Ok(Self(registered))
    }

    /// Reads what is there, waiting for the first byte only. 0 is the end.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            if let Ok(result) = guard.try_io(|inner| inner.get_ref().read(buffer)) {
                let count = result?;
                // A short read has emptied the socket: the next one would only be told so.
                if count < buffer.len() {
                    guard.clear_ready();
                }
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
