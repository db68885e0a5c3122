//! The controller: knows all nodes, and passes frames between them.
//!
//! Runs wholly on one thread, inside a `LocalSet`; [`Controller`] is the handle to it from
//! anywhere. It never reads a payload, and runs nothing of what passes through it.

mod admission;
mod batch;
pub mod changes;
mod connection;
pub mod doorman;
mod gather;
pub mod grants;
mod hub;
mod memory;
mod outbox;
mod pace;
mod peer;
pub mod registry;
pub mod router;
pub mod snapshot;
pub mod telling;
mod tickets;

use crate::auth::{self, Secret, Tokens};
use crate::error::CoreError;
use crate::panics::{self, Place};
use crate::tls::ServerTls;
use crate::transport::{Address, Listener, Stream};
use daffi_protocol::ErrorCode;
use daffi_protocol::limits::MAX_PAYLOAD_BYTES;
use grants::Grant;
use hub::Hub;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How a controller listens and what it allows. Defaults: RELIABILITY 3.3.
#[derive(Clone)]
pub struct ControllerOptions {
    /// Where to listen; `None` is [`Address::default_unix`].
    pub address: Option<Address>,
    /// The cookie file for TCP without a token; `None` is [`auth::default_cookie_path`].
    pub cookie: Option<PathBuf>,
    /// A secret that nodes must hold, on any transport.
    pub token: Option<String>,
    /// What nodes may do; everything without. A node that no grant names is refused.
    pub grants: Option<Vec<Arc<Grant>>>,
    /// TLS, for an address of TCP. Where it asks for certificates and there is no token, these alone let nodes in.
    pub tls: Option<ServerTls>,
    /// Listens beyond loopback. Needs a token, or TLS that asks for certificates.
    pub allow_remote: bool,
    /// A connection that has not proved itself by then is closed.
    pub handshake_timeout: Duration,
    /// A node that nothing was sent to for this long is pinged.
    pub heartbeat: Duration,
    /// A node that nothing came from for this long is given up.
    pub dead: Duration,
    /// Largest payload of one call, in bytes.
    pub max_payload: u64,
    /// Bytes queued for a node above which those who send to it are not read.
    pub outbound_soft: usize,
    /// Bytes queued for a node above which it is disconnected.
    pub outbound_hard: usize,
    /// A node that takes nothing for this long, while bytes wait for it, is disconnected.
    pub stall: Duration,
    /// Connections that have not proved themselves; beyond, the oldest is closed.
    pub max_unauthenticated: usize,
    /// Connections at all.
    pub max_connections: usize,
    /// Connections of one address off loopback.
    pub max_per_address: usize,
    /// Bytes that may wait for all nodes together; beyond, the node that holds most is disconnected.
    pub buffer_budget: usize,
}

impl Default for ControllerOptions {
    fn default() -> Self {
        Self {
            address: None,
            cookie: None,
            token: None,
            grants: None,
            tls: None,
            allow_remote: false,
            handshake_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(5),
            dead: Duration::from_secs(15),
            max_payload: MAX_PAYLOAD_BYTES,
            outbound_soft: 8 * 1024 * 1024,
            outbound_hard: 32 * 1024 * 1024,
            stall: Duration::from_secs(10),
            max_unauthenticated: 256,
            max_connections: 16_384,
            max_per_address: 1024,
            buffer_budget: buffer_budget(),
        }
    }
}

impl ControllerOptions {
    fn asks_for_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(ServerTls::asks_for_certificates)
    }
}

/// What a controller counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControllerStats {
    /// Connected nodes.
    pub nodes: u64,
    /// Calls that are under way.
    pub calls_in_flight: u64,
    /// Bytes that wait for room in a socket.
    pub queued_bytes: u64,
    /// Answers that fitted no call, since the start.
    pub stray_responses: u64,
    /// Open connections, nodes and others.
    pub connections: u64,
    /// Connections that have not proved themselves yet.
    pub unauthenticated: u64,
}

/// What became of the nodes that were asked to stop, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoppedNodes {
    /// They have left.
    pub stopped: Vec<String>,
    /// They were still connected at the end of the wait.
    pub remaining: Vec<String>,
}

#[derive(Debug, Default)]
struct Counters {
    nodes: AtomicU64,
    calls_in_flight: AtomicU64,
    queued_bytes: AtomicU64,
    stray_responses: AtomicU64,
    connections: AtomicU64,
    unauthenticated: AtomicU64,
}

/// A handle to a running controller. The controller ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Controller {
    address: Arc<Address>,
    commands: mpsc::Sender<Command>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum Command {
    Join(OwnedFd),
    StopNodes { timeout: Duration, done: oneshot::Sender<StoppedNodes> },
    Close { drain: Duration, done: oneshot::Sender<()> },
}

impl Controller {
    /// Binds the address and starts to serve. Must be called inside a `LocalSet`, whose thread does
    /// all the work from then on.
    ///
    /// # Errors
    ///
    /// `AddressInUse`, `BadAddress`, or `Unauthorized` when the address may be reached from other
    /// machines without a token, or the cookie cannot be trusted.
    pub async fn start(options: ControllerOptions) -> Result<Self, CoreError> {
        let address = options.address.clone().unwrap_or_else(Address::default_unix);
        check_token(&options)?;
        if options.tls.is_some() && matches!(address, Address::Unix { .. }) {
            let message = "The controller did not start: TLS is for TCP. Pass `host`, or leave `tls` out.";
            return Err(CoreError::new(ErrorCode::BadAddress, message));
        }
        let listener = Listener::bind(&address, options.allow_remote).await?;
        let secret = match (&options.token, &address) {
            (Some(token), _) => Secret::Tokens(Arc::new(tokens(token, options.grants.as_deref().unwrap_or_default()))),
            (None, Address::Unix { .. }) => Secret::Peer,
            (None, Address::Tcp { .. }) if options.asks_for_certificates() => Secret::Certificate,
            (None, Address::Tcp { .. }) => {
                let path = options.cookie.clone().or_else(auth::default_cookie_path);
                let path = path.ok_or_else(|| {
                    let message = "The controller did not start: this user has no home for the cookie. Set HOME, or \
                                   pass `token`.";
                    CoreError::new(ErrorCode::Unauthorized, message)
                })?;
                Secret::Cookie(auth::load_or_create_cookie(&path)?)
            }
        };
        Ok(Self::start_on(listener, secret, options, u32::from_le_bytes(auth::random()?)))
    }

    /// As [`Controller::start`], with a listener that stands already and the secret that its nodes must
    /// hold. `seed` varies how ties between nodes are broken.
    #[must_use]
    pub fn start_on(listener: Listener, secret: Secret, options: ControllerOptions, seed: u32) -> Self {
        let (commands, received) = mpsc::channel(COMMANDS);
        let counters = Arc::new(Counters::default());
        let handle = Self { address: Arc::new(listener.address().clone()), commands, counters: Arc::clone(&counters) };
        let hub = Hub::new(options, counters, seed);
        tokio::task::spawn_local(run(hub, listener, Rc::new(secret), received));
        handle
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// One end of a socket pair whose other end is served as a trusted connection, with the usual
    /// handshake of method `"peer"`. The name given there becomes `Welcome::controller`. For any
    /// thread.
    ///
    /// # Errors
    ///
    /// The controller has ended, or the system is out of descriptors.
    pub fn join(&self) -> io::Result<OwnedFd> {
        let (near, far) = Stream::pair()?;
        self.commands.try_send(Command::Join(far)).map_err(|_| {
            io::Error::from(CoreError::new(ErrorCode::ControllerStopped, "The controller has stopped."))
        })?;
        Ok(near)
    }

    /// Ends the controller: no new calls, a goodbye to all nodes, then those under way are waited
    /// for, at most `drain`; then everything is closed and the address is free. For any thread.
    pub async fn close(&self, drain: Duration) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close { drain, done }).await.is_ok() {
            let _ = closed.await;
        } else {
            self.commands.closed().await;
        }
    }

    /// Asks all nodes but the one in this process to stop, and waits until they have left, at most
    /// `timeout`. For any thread.
    pub async fn stop_nodes(&self, timeout: Duration) -> StoppedNodes {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::StopNodes { timeout, done }).await.is_err() {
            return StoppedNodes::default();
        }
        stopped.await.unwrap_or_default()
    }

    /// What it counts now. For any thread.
    #[must_use]
    pub fn stats(&self) -> ControllerStats {
        let counters = &*self.counters;
        ControllerStats {
            nodes: counters.nodes.load(Relaxed),
            calls_in_flight: counters.calls_in_flight.load(Relaxed),
            queued_bytes: counters.queued_bytes.load(Relaxed),
            stray_responses: counters.stray_responses.load(Relaxed),
            connections: counters.connections.load(Relaxed),
            unauthenticated: counters.unauthenticated.load(Relaxed),
        }
    }
}

/// A quarter of the memory of the machine, at most 512 MiB.
fn buffer_budget() -> usize {
    // SAFETY: asks for two numbers; -1 where they are not known.
    let (pages, bytes) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let memory = usize::try_from(pages).unwrap_or(0).saturating_mul(usize::try_from(bytes).unwrap_or(0));
    if memory == 0 { MAX_BUFFER_BUDGET } else { MAX_BUFFER_BUDGET.min(memory / 4) }
}

fn check_token(options: &ControllerOptions) -> Result<(), CoreError> {
    let message = match &options.token {
        Some(token) if token.is_empty() => "The controller did not start: the token is empty.",
        None if options.allow_remote && !options.asks_for_certificates() => {
            "The controller did not start: beyond this machine it needs a `token`, or `tls` with `requestCert: true`, or \
             whoever reaches the port may call every callback."
        }
        _ => return Ok(()),
    };
    Err(CoreError::new(ErrorCode::Unauthorized, message))
}

/// The token of the controller, and those of grants in its place.
fn tokens(token: &str, grants: &[Arc<Grant>]) -> Tokens {
    // Those without a token stand here too: the first grant that names a node is its own.
    let named = |grant: &Arc<Grant>| (grant.nodes.clone(), grant.token.clone().map(Secret::Token));
    Tokens { general: Secret::Token(token.to_owned()), named: grants.iter().map(named).collect() }
}

/// Accepts and obeys until closed or until all handles are gone.
async fn run(hub: Rc<Hub>, listener: Listener, secret: Rc<Secret>, mut commands: mpsc::Receiver<Command>) {
    let heart = tokio::task::spawn_local(Rc::clone(&hub).keep_alive());
    let flusher = tokio::task::spawn_local(Rc::clone(&hub).keep_flushing());
    let mut waiting = Vec::new();
    let drain = loop {
        tokio::select! {
            _ = panics::catch(accept(&hub, &listener, &secret)) => {}
            command = commands.recv() => match command {
                Some(Command::Join(fd)) => join(&hub, fd),
                Some(Command::StopNodes { timeout, done }) => {
                    let hub = Rc::clone(&hub);
                    tokio::task::spawn_local(panics::catch(async move { done.send(hub.stop_nodes(timeout).await) }));
                }
                Some(Command::Close { drain, done }) => {
                    waiting.push(done);
                    break drain;
                }
                None => break Duration::ZERO,
            }
        }
    };
    let drained = hub.drain(drain);
    tokio::pin!(drained);
    loop {
        tokio::select! {
            () = &mut drained => break,
            // Refused with a reason rather than left in the queue of the socket.
            _ = panics::catch(accept(&hub, &listener, &secret)) => {}
            Some(command) = commands.recv() => if let Command::Close { done, .. } = command {
                waiting.push(done);
            },
        }
    }
    hub.end().await;
    heart.abort();
    flusher.abort();
    drop(listener);
    commands.close();
    while let Ok(command) = commands.try_recv() {
        if let Command::Close { done, .. } = command {
            waiting.push(done);
        }
    }
    for done in waiting {
        let _ = done.send(());
    }
}

async fn accept(hub: &Rc<Hub>, listener: &Listener, secret: &Rc<Secret>) {
    match listener.accept().await {
        Ok(stream) => {
            panics::may_happen(Place::Accept);
            match &hub.options.tls {
                None => serve(hub, stream, secret),
                Some(tls) => match stream.with_tls(tls) {
                    Ok(stream) => serve(hub, stream, secret),
                    Err(error) => tracing::warn!(%error, "cannot begin TLS"),
                },
            }
        }
        Err(error) => {
            // Out of descriptors or memory: spinning would not make any.
            tracing::warn!(%error, "cannot accept");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn serve(hub: &Rc<Hub>, stream: Stream, secret: &Rc<Secret>) {
    tokio::task::spawn_local(Rc::clone(hub).receive(stream, Rc::clone(secret), false));
}

fn join(hub: &Rc<Hub>, fd: OwnedFd) {
    if let Ok(stream) = Stream::from_unix_fd(fd) {
        tokio::task::spawn_local(Rc::clone(hub).receive(stream, Rc::new(Secret::Peer), true));
    }
}

const MAX_BUFFER_BUDGET: usize = 512 * 1024 * 1024;
/// Commands that may wait; each is rare.
const COMMANDS: usize = 64;
/// How long to wait for descriptors (RELIABILITY F19).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
