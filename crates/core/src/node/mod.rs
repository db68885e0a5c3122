//! A node: one named connection to a controller that is made again when it breaks.

mod assembly;
mod borrowed;
pub mod event;
#[cfg(test)]
mod flow_tests;
mod guard;
mod inbox;
mod lender;
mod line;
mod outbox;
mod spares;

pub use borrowed::{Big, Borrowed};
pub use inbox::{BESIDE_BYTES, PUMP_BYTES};
pub use line::{Drained, Line};
pub use spares::Payload;

use crate::auth;
use crate::controller::Controller;
use crate::tls::ClientTls;
use crate::transport::Address;
use daffi_protocol::limits::MAX_PAYLOAD_BYTES;
use daffi_protocol::{ErrorCode, Header};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Where the controller is.
#[derive(Clone)]
pub enum Target {
    /// Somewhere else.
    Address(Address),
    /// In this process.
    Embedded(Controller),
    /// Behind a connection that somebody else makes, as a simulated network does.
    Dialled(Dial),
}

/// Makes a connection: gives a stream socket of the UNIX family, for example one end of [`Stream::pair`](crate::transport::Stream::pair).
pub type Dial = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<OwnedFd>>>> + Send + Sync>;

/// What a node proves itself with.
#[derive(Clone)]
pub enum Credentials {
    /// Its user id, which the kernel vouches for on a UNIX socket.
    Peer,
    /// The cookie in this file, read anew for each attempt.
    Cookie(PathBuf),
    /// The token that the controller's owner gave out.
    Token(String),
    /// The certificate of its TLS.
    Certificate,
}

/// How a node connects and what it bounds. Defaults: RELIABILITY 3.3.
#[derive(Clone)]
pub struct NodeOptions {
    /// Its name, valid per [`daffi_protocol::control::is_valid_name`].
    pub name: String,
    /// Where the controller is.
    pub target: Target,
    /// What it proves itself with.
    pub credentials: Credentials,
    /// TLS to an address of TCP; not used towards a controller of this process.
    pub tls: Option<ClientTls>,
    /// How long to look for the controller the first time; `None` looks for ever.
    pub connect_timeout: Option<Duration>,
    /// How long one handshake may take.
    pub handshake_timeout: Duration,
    /// First and longest pause between attempts to connect; each is drawn at random below a bound
    /// that doubles.
    pub reconnect: (Duration, Duration),
    /// Largest payload it accepts, in bytes.
    pub max_payload: u64,
    /// Most bytes the guard stashes while JavaScript is busy.
    pub inbound_bytes: usize,
    /// Above this many queued bytes, of small frames or of big payloads, JavaScript is told to hold these back.
    pub outbound_soft: usize,
    /// Whether JavaScript reads the socket itself; else the guard does.
    pub inline: bool,
}

impl NodeOptions {
    /// The defaults for a node of this name.
    #[must_use]
    pub fn new(name: String, target: Target, credentials: Credentials) -> Self {
        Self {
            name,
            target,
            credentials,
            tls: None,
            connect_timeout: None,
            handshake_timeout: Duration::from_secs(5),
            reconnect: (Duration::from_millis(50), Duration::from_secs(2)),
            max_payload: MAX_PAYLOAD_BYTES,
            inbound_bytes: 16 * 1024 * 1024,
            outbound_soft: 8 * 1024 * 1024,
            inline: true,
        }
    }
}

/// A node as JavaScript's thread uses it. Dropping it closes the connection.
pub struct Node {
    shared: Arc<Shared>,
}

/// Figures for people and tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeStats {
    /// Bytes the socket has not taken yet.
    pub queued_bytes: u64,
    /// Batches and big payloads that JavaScript has not taken yet.
    pub live_buffers: u64,
    /// Bytes of these, as reserved.
    pub buffered_bytes: u64,
    /// Connections made so far.
    pub connections: u64,
}

pub(crate) struct Shared {
    options: NodeOptions,
    instance: [u8; 16],
    /// Connections not yet drained to their end, the newest last; two at most matter.
    lines: Mutex<VecDeque<Arc<Line>>>,
    /// Events that belong to no connection.
    events: Mutex<VecDeque<Vec<u8>>>,
    doorbell: Box<dyn Fn() + Send + Sync>,
    /// Whether the doorbell has rung and nobody has come yet.
    rung: AtomicBool,
    wake: Arc<Notify>,
    closing: Mutex<Option<Instant>>,
    /// Whether nothing goes on any more.
    closed: Mutex<bool>,
    /// Told when that is so.
    has_closed: Condvar,
    connections: AtomicU64,
}

impl Node {
    /// Starts to connect. `doorbell` is called from the core thread when there is something to
    /// drain; it is not called again before [`Node::drain`] was.
    ///
    /// # Errors
    ///
    /// The core thread could not be started, or the system gave no random bytes.
    pub fn open(options: NodeOptions, doorbell: Box<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let node = Self::new(options, doorbell)?;
        let guarded = node.shared.clone();
        crate::runtime::spawn(move || guard::run(guarded))?;
        Ok(node)
    }

    /// As [`Node::open`], with its guard on the `LocalSet` that this is called on, and on its clock.
    ///
    /// # Errors
    ///
    /// The system gave no random bytes.
    pub fn open_here(options: NodeOptions, doorbell: Box<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let node = Self::new(options, doorbell)?;
        tokio::task::spawn_local(guard::run(node.shared.clone()));
        Ok(node)
    }

    fn new(options: NodeOptions, doorbell: Box<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let instance = auth::random()?;
        let shared = Arc::new(Shared {
            options,
            instance,
            lines: Mutex::default(),
            events: Mutex::default(),
            doorbell,
            rung: AtomicBool::new(false),
            wake: Arc::default(),
            closing: Mutex::new(None),
            closed: Mutex::new(false),
            has_closed: Condvar::new(),
            connections: AtomicU64::new(0),
        });
        Ok(Self { shared })
    }

    /// Sends whole frames on the connection whose welcome was drained last. True when the caller should
    /// hold back further ones until the [`Room`](event::Event::Room) event. When that connection has ended they
    /// are dropped: the event that tells so is on its way, and on the next connection slots, indexes and
    /// callbacks mean something else.
    pub fn submit(&self, frames: &[u8]) -> bool {
        self.newest().is_some_and(|line| line.send(frames))
    }

    /// Sends one payload that lies in `pieces`, in fragments of `header`. True when the caller should hold back
    /// further ones until the [`BigRoom`](event::Event::BigRoom) event.
    pub fn submit_big(&self, header: Header, extension: &[u8], pieces: &[&[u8]]) -> bool {
        self.newest().is_some_and(|line| line.send_big(header, extension, pieces))
    }

    /// Fills `out`, of [`PUMP_BYTES`] or more, with whole frames in order.
    pub fn drain(&self, out: &mut [u8]) -> Drained {
        self.shared.rung.store(false, Ordering::Release);
        if let Some(line) = self.oldest() {
            let mut drained = line.drain(out, self.shared.options.inline);
            // What comes behind its end may have rung while that was still to be drained.
            drained.more |= line.is_done();
            return drained;
        }
        let mut bytes = 0;
        let mut events = self.shared.events.lock();
        while let Some(event) = events.front() {
            let Some(space) = out.get_mut(bytes..bytes + event.len()) else { break };
            space.copy_from_slice(event);
            bytes += event.len();
            events.pop_front();
        }
        Drained { bytes, more: !events.is_empty() }
    }

    /// The payload behind a token, once.
    #[must_use]
    pub fn take_big(&self, token: u32) -> Option<Big> {
        self.shared.lines.lock().iter().find_map(|line| line.take_big(token))
    }

    /// The connection JavaScript should watch for readability, if it reads itself.
    #[must_use]
    pub fn watched(&self) -> Option<Arc<Line>> {
        self.shared.lines.lock().front().filter(|line| self.shared.options.inline && !line.has_left()).cloned()
    }

    /// Sends what is queued, waits until the controller has read it, and closes; closes anyhow after `limit`. Told by
    /// the [`Closed`](event::Event::Closed) event.
    pub fn close(&self, limit: Duration) {
        self.shared.closing.lock().get_or_insert(Instant::now() + limit);
        self.shared.wake.notify_one();
    }

    /// As [`Node::close`], and blocks this thread meanwhile: for a process that is about to exit.
    pub fn close_blocking(&self, limit: Duration) {
        self.close(limit);
        let mut closed = self.shared.closed.lock();
        let _ = self.shared.has_closed.wait_while_for(&mut closed, |closed| !*closed, limit);
    }

    /// Figures for people and tests.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        let held = self.shared.lines.lock().iter().map(|line| line.held()).collect::<Vec<_>>();
        NodeStats {
            live_buffers: held.iter().map(|(buffers, _)| *buffers as u64).sum(),
            buffered_bytes: held.iter().map(|(_, bytes)| bytes).sum(),
            queued_bytes: self.newest().map_or(0, |line| line.outbox.lock().queued() as u64),
            connections: self.shared.connections.load(Ordering::Relaxed),
        }
    }

    /// The connection to drain next. One that was drained to its end is let go only here, a drain
    /// later: until then its big payloads can be taken.
    fn oldest(&self) -> Option<Arc<Line>> {
        let mut lines = self.shared.lines.lock();
        while lines.front().is_some_and(|line| line.is_done()) {
            lines.pop_front();
        }
        lines.front().cloned()
    }

    fn newest(&self) -> Option<Arc<Line>> {
        self.shared.lines.lock().back().filter(|line| line.is_known() && !line.has_left()).cloned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

impl Shared {
    /// Rings unless the last ring is still unanswered.
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            (self.doorbell)();
        }
    }

    fn tell(&self, event: Vec<u8>) {
        self.events.lock().push_back(event);
        self.ring();
    }

    fn tell_closed(&self) {
        self.tell(event::frame(event::Event::Closed, ErrorCode::ConnectionLost, "closed"));
        *self.closed.lock() = true;
        self.has_closed.notify_all();
    }

    fn closing_at(&self) -> Option<Instant> {
        *self.closing.lock()
    }
}
