//! TCP: loopback by default, both families, no delay.

use super::Stream;
use crate::error::CoreError;
use daffi_protocol::ErrorCode;
use socket2::{Domain, Protocol, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;
use tokio::net::{TcpListener, TcpStream};

pub(super) async fn connect(host: &str, port: u16) -> io::Result<Stream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in resolve(host, port).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return prepared(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One socket per address of the host, all on one port.
#[derive(Debug)]
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
}

impl Listener {
    pub(super) async fn bind(host: &str, port: u16, allow_remote: bool) -> Result<(Self, u16), CoreError> {
        let addresses = resolve(host, port).await.map_err(|error| bad_host(host, &error))?;
        if !allow_remote && !addresses.iter().all(|address| address.ip().to_canonical().is_loopback()) {
            return Err(CoreError::new(ErrorCode::Unauthorized, remote_refusal(host, port)));
        }
        // A free port of one family may be taken in the other: choose again, a few times.
        let mut attempt = 0;
        loop {
            match bind_all(&addresses) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && port == 0 && attempt < PORT_ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(bind_error(host, port, &error)),
                Ok((sockets, port)) => return Ok((Self { sockets }, port)),
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        let (stream, _) = poll_fn(|context| {
            for socket in &self.sockets {
                if let Poll::Ready(result) = socket.poll_accept(context) {
                    return Poll::Ready(result);
                }
            }
            Poll::Pending
        })
        .await?;
        prepared(stream)
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host == "localhost" {
        // Not asked of the resolver: /etc/hosts must not be able to move it off this machine.
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(both.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let mut found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.dedup();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    }
    Ok(found)
}

/// Binds each address on the port that the first one got.
fn bind_all(addresses: &[SocketAddr]) -> io::Result<(Vec<TcpListener>, u16)> {
    let mut port = 0;
    let mut sockets = Vec::new();
    for address in addresses {
        let mut address = *address;
        if port != 0 {
            address.set_port(port);
        }
        match bind_one(address) {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            // A machine without IPv6 still has a loopback.
            Err(error) if !sockets.is_empty() && is_family_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((sockets, port))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last connections are still fading is free.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_family_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT))
}

fn prepared(stream: TcpStream) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

fn remote_refusal(host: &str, port: u16) -> String {
    format!(
        "The controller did not start: {host}:{port} can be reached from other machines, and whoever connects may call \
         every callback. Use host: 'localhost'; or leave `host` out for a UNIX socket; or pass \
         `token`, and `tls`; or `tls` with `requestCert: true`; or `token` and insecureTransport: true if the network \
         between the machines is trusted."
    )
}

fn bad_host(host: &str, error: &io::Error) -> CoreError {
    CoreError::new(
        ErrorCode::BadAddress,
        format!("The controller did not start: the host {host} was not found ({error}). Check its spelling."),
    )
}

fn bind_error(host: &str, port: u16, error: &io::Error) -> CoreError {
    if error.kind() == io::ErrorKind::AddrInUse {
        let message = format!(
            "The controller did not start: {host}:{port} is taken. Stop the program that holds it, or choose another \
             port."
        );
        return CoreError::new(ErrorCode::AddressInUse, message);
    }
    let message = format!(
        "The controller did not start: {host}:{port} cannot be bound ({error}). Choose an address of this machine and a \
         port above 1023."
    );
    CoreError::new(ErrorCode::BadAddress, message)
}

/// How often a free port is chosen again when the other family has it taken.
const PORT_ATTEMPTS: u32 = 16;
/// Nodes that may come back at once after a restart of the controller.
const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{self, Address};

    fn at(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port }
    }

    #[tokio::test]
    async fn localhost_is_bound_in_both_families_on_one_port() {
        let listener = transport::Listener::bind(&at("localhost", 0), false).await.unwrap();
        let Address::Tcp { port, .. } = *listener.address() else { panic!("not TCP") };
        assert_ne!(port, 0);
        transport::connect(&at("127.0.0.1", port)).await.unwrap();
        listener.accept().await.unwrap();
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            transport::connect(&at("::1", port)).await.unwrap();
            listener.accept().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_address_in_use_and_free_again_after_drop() {
        let first = transport::Listener::bind(&at("localhost", 0), false).await.unwrap();
        let address = first.address().clone();
        let error = transport::Listener::bind(&address, false).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::AddressInUse);
        drop(first);
        transport::Listener::bind(&address, false).await.unwrap();
    }

    #[tokio::test]
    async fn an_address_off_loopback_is_refused_with_the_ways_out() {
        for host in ["0.0.0.0", "::", "192.0.2.1"] {
            let error = transport::Listener::bind(&at(host, 0), false).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Unauthorized);
            for way in ["localhost", "UNIX socket", "token", "tls", "requestCert", "insecureTransport"] {
                assert!(error.message.contains(way), "{error}");
            }
        }
        transport::Listener::bind(&at("0.0.0.0", 0), true).await.unwrap();
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_through_the_descriptor() {
        let listener = transport::Listener::bind(&at("localhost", 0), false).await.unwrap();
        let near = transport::connect(listener.address()).await.unwrap();
        let far = listener.accept().await.unwrap();
        near.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(far.read(&mut buffer).await.unwrap(), 5);
        let socket = near.into_socket().unwrap();
        let error = socket.try_read(&mut [io::IoSliceMut::new(&mut buffer)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
