//! A raw node for tests: frames in, frames out, nothing done by itself but answering pings.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails by panicking, as they do")]

pub mod certificates;

use certificates::Authority;
use daffi_core::auth::{Secret, load_cookie};
use daffi_core::controller::{Controller, ControllerOptions, ControllerStats};
use daffi_core::error::CoreError;
use daffi_core::handshake::{self, ClientCredentials};
use daffi_core::memory::{Arrived, Memory};
use daffi_core::tls::{ClientTls, ServerTls};
use daffi_core::transport::{self, Address, Stream};
use daffi_protocol::control::{self, Register, RegistryChange, Welcome};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{ErrorCode, Header, Kind, flags};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

/// No test waits longer for anything.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A controller of its own in a folder of its own.
pub struct World {
    pub controller: Controller,
    pub folder: PathBuf,
    /// How nodes trust the controller, where there is TLS.
    pub tls: Option<ClientTls>,
    /// What the controller shows there.
    pub server: Option<ServerTls>,
    secret: Secret,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub fn folder() -> PathBuf {
    let random = u64::from_le_bytes(daffi_core::auth::random().unwrap());
    let path = std::env::temp_dir().join(format!("daffi-test-{random:016x}"));
    std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    path
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Tls,
    Unix,
}

/// Runs `test` with a fresh controller over TCP, over TCP with TLS, and over a UNIX socket.
pub fn on_each(options: ControllerOptions, test: impl AsyncFn(World)) {
    on(&[Transport::Tcp, Transport::Tls, Transport::Unix], options, test);
}

/// Runs `test` with a fresh controller over a UNIX socket.
pub fn on_unix(options: ControllerOptions, test: impl AsyncFn(World)) {
    on(&[Transport::Unix], options, test);
}

fn on(transports: &[Transport], options: ControllerOptions, test: impl AsyncFn(World)) {
    for &transport in transports {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = options.clone();
        let has_token = options.token.is_some();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let folder = folder();
            let address = match transport {
                Transport::Unix => Address::Unix { path: folder.join(".sock") },
                _ => Address::Tcp { host: "localhost".into(), port: 0 },
            };
            let cookie = folder.join("cookie");
            let authority = Authority::new();
            let is_tls = transport == Transport::Tls;
            let server = is_tls.then(|| authority.sign(&["localhost"]).server(None));
            let tls = is_tls.then(|| authority.client(None));
            let options = ControllerOptions {
                address: Some(address),
                cookie: Some(cookie.clone()),
                tls: server.clone(),
                ..options
            };
            let controller = Controller::start(options).await.unwrap();
            let secret = load_cookie(&cookie).unwrap().map_or(Secret::Peer, Secret::Cookie);
            let needs_secret = transport != Transport::Unix;
            assert!(secret != Secret::Peer || !needs_secret || has_token, "TCP without a secret");
            tokio::time::timeout(LIMIT, test(World { controller, folder, tls, server, secret }))
                .await
                .expect("the test hung");
        });
    }
}

impl World {
    pub fn is_unix(&self) -> bool {
        matches!(self.controller.address(), Address::Unix { .. })
    }

    /// A connection on which nothing was said but what TLS needs.
    pub async fn raw(&self) -> Stream {
        self.try_raw().await.unwrap()
    }

    async fn try_raw(&self) -> Result<Stream, CoreError> {
        let stream = transport::connect(self.controller.address()).await?;
        let Some(tls) = &self.tls else { return Ok(stream) };
        let stream = stream.with_tls_to(tls, "localhost")?;
        stream.secure().await?;
        Ok(stream)
    }

    pub async fn try_node(&self, name: &str, instance: u8) -> Result<Node, CoreError> {
        Node::shake(self.try_raw().await?, name, instance, self.secret.clone()).await
    }

    /// A node that can take payloads as memory.
    pub async fn node_with_memory(&self, name: &str) -> Node {
        let secret = self.secret.clone();
        let credentials = ClientCredentials { name: name.into(), instance: [0; 16], secret, memory: true };
        Node::shake_with(self.raw().await, credentials).await.unwrap()
    }

    pub async fn node(&self, name: &str) -> Node {
        self.try_node(name, 0).await.unwrap()
    }

    /// A node that exposes these names.
    pub async fn exposing(&self, name: &str, callbacks: &[&str]) -> Node {
        let mut node = self.node(name).await;
        node.register(callbacks).await;
        node
    }

    /// Waits until the controller counts what it should.
    pub async fn until(&self, holds: impl Fn(ControllerStats) -> bool) {
        while !holds(self.controller.stats()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

pub struct Node {
    pub stream: Stream,
    pub index: u32,
    pub welcome: Welcome,
    pub nodes: BTreeMap<u32, String>,
    pub names: BTreeMap<String, u32>,
    pub exposes: BTreeSet<(u32, u32)>,
    /// Descriptors that came along, oldest first.
    memory: VecDeque<Arrived>,
    buffer: Vec<u8>,
}

impl Node {
    pub async fn shake(stream: Stream, name: &str, instance: u8, secret: Secret) -> Result<Self, CoreError> {
        let credentials = ClientCredentials { name: name.into(), instance: [instance; 16], secret, memory: false };
        Self::shake_with(stream, credentials).await
    }

    pub async fn shake_with(stream: Stream, credentials: ClientCredentials) -> Result<Self, CoreError> {
        let (welcome, _, buffer) = handshake::client(&stream, credentials, LIMIT).await?;
        let mut node = Self {
            stream,
            index: welcome.node,
            welcome: welcome.clone(),
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            exposes: BTreeSet::new(),
            memory: VecDeque::new(),
            buffer,
        };
        node.learn(welcome.registry);
        Ok(node)
    }

    pub fn learn(&mut self, change: RegistryChange) {
        self.nodes.extend(change.joined);
        self.names.extend(change.names.into_iter().map(|(id, name)| (name, id)));
        self.exposes.extend(change.exposes.iter().flat_map(|(node, ids)| ids.iter().map(|id| (*node, *id))));
        for (node, ids) in change.withdraws {
            ids.iter().for_each(|id| {
                self.exposes.remove(&(node, *id));
            });
        }
        for left in change.left {
            self.nodes.remove(&left);
            self.exposes.retain(|(node, _)| *node != left);
        }
    }

    pub async fn send(&self, header: Header, body: &[u8]) {
        self.stream.write_all(&header.frame(body)).await.unwrap();
    }

    /// The next frame that is not the controller's housekeeping; `None` at the end of the stream.
    pub async fn try_next(&mut self) -> Option<(Header, Vec<u8>)> {
        loop {
            let (header, body) = self.any().await?;
            match header.kind {
                Kind::RegistryChange => self.learn(control::parse(&body).unwrap()),
                Kind::Ping => self.stream.write_all(&Header::new(Kind::Pong).encode()).await.unwrap(),
                _ => return Some((header, body)),
            }
        }
    }

    /// The next frames must announce a payload and stand for it: these, and its memory.
    pub async fn next_memory(&mut self) -> (Header, Header, Memory) {
        let (first, _) = self.next().await;
        let (part, _) = self.next().await;
        assert_eq!((first.flags & flags::FRAGMENTED, part.flags & flags::MEMORY), (flags::FRAGMENTED, flags::MEMORY));
        (first, part, self.memory())
    }

    /// The memory of the part that came last.
    pub fn memory(&mut self) -> Memory {
        Memory::received(self.memory.pop_front().unwrap().unwrap()).unwrap()
    }

    pub async fn next(&mut self) -> (Header, Vec<u8>) {
        self.try_next().await.expect("the controller closed the connection")
    }

    /// The next frame of any kind.
    pub async fn any(&mut self) -> Option<(Header, Vec<u8>)> {
        loop {
            if let Some(header) = Header::decode(&self.buffer).unwrap()
                && self.buffer.len() >= header.frame_len()
            {
                let rest = self.buffer.split_off(header.frame_len());
                let frame = std::mem::replace(&mut self.buffer, rest);
                return Some((header, frame[HEADER_BYTES..HEADER_BYTES + header.body_len as usize].to_vec()));
            }
            let mut chunk = [0; 65536];
            let read = loop {
                match self.stream.try_read_memory(&mut chunk, &mut self.memory) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.readable().await.unwrap(),
                    read => break read.unwrap_or(0),
                }
            };
            if read == 0 {
                return None;
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    /// Reads until the registry says so.
    pub async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let (header, body) = self.any().await.expect("the controller closed the connection");
            assert_eq!(header.kind, Kind::RegistryChange);
            self.learn(control::parse(&body).unwrap());
        }
    }

    pub async fn register(&mut self, callbacks: &[&str]) {
        let add: Vec<String> = callbacks.iter().map(ToString::to_string).collect();
        let register = Register { add: add.clone(), remove: vec![] };
        self.stream.write_all(&control::frame(Kind::Register, &register).unwrap()).await.unwrap();
        let index = self.index;
        self.until(|node| add.iter().all(|name| node.exposes_named(index, name))).await;
    }

    pub fn exposes_named(&self, node: u32, name: &str) -> bool {
        self.names.get(name).is_some_and(|id| self.exposes.contains(&(node, *id)))
    }

    /// A request for a callback, once `exposers` nodes are known to have it.
    pub async fn request(&mut self, slot: u32, callback: &str, exposers: usize) -> Header {
        self.until(|node| {
            let id = node.names.get(callback);
            node.exposes.iter().filter(|(_, exposed)| Some(exposed) == id).count() >= exposers
        })
        .await;
        Header { slot, generation: 1, callback: self.names[callback], ..Header::new(Kind::Request) }
    }

    /// Answers a request that came.
    pub async fn answer(&self, request: Header, body: &[u8]) {
        let (slot, generation) = (request.slot, request.generation);
        self.send(Header { slot, generation, ..Header::new(Kind::Response) }, body).await;
    }

    /// The next frame must be an answer: slot and code.
    pub async fn outcome(&mut self) -> (u32, Option<ErrorCode>) {
        let (header, _) = self.next().await;
        assert_eq!(header.kind, Kind::Response);
        (header.slot, ErrorCode::from_u32(header.callback))
    }
}

/// Sends `frames` along with the same descriptor so many times, whatever that is of.
pub fn send_descriptors(stream: &Stream, frames: &[u8], descriptor: &OwnedFd, times: usize) {
    use rustix::fd::AsFd;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let Stream::Unix(stream) = stream else { unreachable!() };
    let descriptors = vec![descriptor.as_fd(); times];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(stream, &[io::IoSlice::new(frames)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
}
