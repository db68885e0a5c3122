//! The task behind a node: connects, keeps the heartbeat, sends what the socket refused, reads while
//! JavaScript is busy, and connects again.

use crate::auth::{self, Secret};
use crate::error::CoreError;
use crate::handshake::{self, ClientCredentials};
use crate::heartbeat;
use crate::memory;
use crate::node::assembly::Limits;
use crate::node::event::{self, Event};
use crate::node::line::{Line, Reading};
use crate::node::outbox::Flushed;
use crate::node::{Credentials, NodeOptions, Shared, Target};
use crate::panics::{self, Place};
use crate::socket::Socket;
use crate::transport::{self, Address, Stream};
use daffi_protocol::{ErrorCode, Header, Kind};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Runs until the node is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let started = Instant::now();
    let mut attempt = 0;
    let mut was_connected = false;
    while shared.closing_at().is_none() {
        let left = shared.options.connect_timeout.filter(|_| !was_connected);
        let left = left.map(|timeout| timeout.saturating_sub(started.elapsed()));
        let limit = left.unwrap_or(Duration::MAX).min(shared.options.handshake_timeout);
        let error = tokio::select! {
            connected = panics::catch(connect(&shared, limit)) => match connected {
                Some(Ok((line, pace))) => {
                    (attempt, was_connected) = (0, true);
                    look_after(&shared, line, pace).await;
                    None
                }
                Some(Err(error)) => Some(error),
                None => Some(panics::error()),
            },
            () = closing(&shared) => None,
        };
        if let Some(error) = error.filter(|_| !was_connected)
            && let Some(failure) = final_failure(&shared, error, started)
        {
            shared.tell(event::frame(Event::Failed, failure.code, &failure.message));
            closing(&shared).await;
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(&shared, attempt)) => attempt += 1,
            () = closing(&shared) => {}
        }
    }
    shared.tell_closed();
}

/// How often to be heard of, and after how much silence the controller is dead.
#[derive(Clone, Copy)]
struct Pace {
    heartbeat: Duration,
    dead: Duration,
}

/// One attempt: the way there may take `limit`, and so may the handshake.
async fn connect(shared: &Shared, limit: Duration) -> Result<(Arc<Line>, Pace), CoreError> {
    panics::may_happen(Place::Connect);
    let options = &shared.options;
    // A host that answers nothing at all would be waited for as long as the system likes to.
    let (stream, secret) = tokio::time::timeout(limit, reach(options)).await.unwrap_or_else(|_| {
        let message = format!("the controller cannot be reached: no answer within {} ms", limit.as_millis());
        Err(CoreError::new(ErrorCode::ConnectionLost, message))
    })?;
    let takes_memory =
        memory::IS_SUPPORTED && matches!(options.target, Target::Address(Address::Unix { .. }) | Target::Embedded(_));
    let credentials =
        ClientCredentials { name: options.name.clone(), instance: shared.instance, secret, memory: takes_memory };
    let (welcome, _, leftover) = handshake::client(&stream, credentials, limit).await?;
    let socket = stream.into_socket().map_err(lost)?;
    let limits = Limits { max_payload: options.max_payload, max_assembling: 4 * options.max_payload };
    let reading = Reading { leftover, limits, takes_memory };
    let line = Arc::new(Line::new(socket, reading, options.outbound_soft, shared.wake.clone()));
    let pace = Pace {
        heartbeat: Duration::from_millis(welcome.heartbeat_ms.max(1)),
        dead: Duration::from_millis(welcome.dead_ms.max(4)),
    };
    line.stash(event::welcome(welcome));
    shared.lines.lock().push_back(line.clone());
    shared.connections.fetch_add(1, Ordering::Relaxed);
    shared.ring();
    Ok((line, pace))
}

async fn reach(options: &NodeOptions) -> Result<(Stream, Secret), CoreError> {
    Ok(match &options.target {
        Target::Address(address) => (open(address, options).await?, secret(options)?),
        Target::Dialled(dial) => (Stream::from_unix_fd(dial().await.map_err(lost)?).map_err(lost)?, secret(options)?),
        Target::Embedded(controller) => {
            let fd = controller.join().map_err(lost)?;
            (Stream::from_unix_fd(fd).map_err(lost)?, Secret::Peer)
        }
    })
}

async fn open(address: &Address, options: &NodeOptions) -> Result<Stream, CoreError> {
    let stream = transport::connect(address).await.map_err(lost)?;
    match (&options.tls, address) {
        (None, _) => Ok(stream),
        (Some(tls), Address::Tcp { host, .. }) => stream.with_tls_to(tls, host),
        (Some(tls), Address::Unix { .. }) => stream.with_tls_to(tls, ""),
    }
}

/// Looks after one connection until it ends, then tells JavaScript.
async fn look_after(shared: &Shared, line: Arc<Line>, pace: Pace) {
    if panics::catch(tend(shared, &line, pace)).await.is_none() {
        let CoreError { code, message } = panics::error();
        line.end(code, message);
    }
    let (code, message) =
        line.reason.lock().clone().unwrap_or_else(|| (ErrorCode::ConnectionLost, "the connection ended".into()));
    line.seal(event::frame(Event::Disconnected, code, &message));
    shared.ring();
}

async fn tend(shared: &Shared, line: &Arc<Line>, pace: Pace) {
    let mut watch = Watch::new(line);
    let mut ticks = tokio::time::interval((pace.heartbeat / 4).clamp(Duration::from_millis(5), MAX_TICK));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A reader is registered for both: one reactor takes a descriptor once.
    let both = Interest::READABLE | Interest::WRITABLE;
    let reader = if shared.options.inline { None } else { register(line, both).ok() };
    let mut writer = None;
    while !line.has_ended() {
        let queued = line.has_unsent();
        if let Some(deadline) = shared.closing_at()
            && (!queued || Instant::now() >= deadline)
        {
            drop(writer);
            leave(line, reader, deadline).await;
            break;
        }
        if queued && writer.is_none() && reader.is_none() {
            writer = register(line, Interest::WRITABLE).ok();
        } else if !queued {
            writer = None;
        }
        tokio::select! {
            () = shared.wake.notified() => {}
            () = write(shared, line, reader.as_ref().or(writer.as_ref())), if queued => {}
            () = read(shared, line, reader.as_ref()), if reader.is_some() => {}
            _ = ticks.tick() => watch.tick(shared, line, pace),
        }
    }
}

/// Ends a connection for good. One that is closed while bytes come, or are unread, takes what it has sent and is not read
/// yet with it: so the controller is told, and closes when it has read all.
async fn leave(line: &Arc<Line>, reader: Option<AsyncFd<Watched>>, deadline: Instant) {
    let stopped = "this node was stopped";
    line.leave(ErrorCode::ConnectionLost, stopped.into());
    let reader = reader.or_else(|| register(line, Interest::READABLE).ok());
    let its_end = async {
        let mut waste = vec![0; WASTE_BYTES];
        while let Some(Ok(mut ready)) = ready(reader.as_ref(), Interest::READABLE).await {
            if line.discard(&mut waste) {
                break;
            }
            if !line.socket.is_readable() {
                ready.clear_ready();
            }
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout_at(deadline, its_end).await;
    line.end(ErrorCode::ConnectionLost, stopped.into());
}

async fn write(shared: &Shared, line: &Line, writer: Option<&AsyncFd<Watched>>) {
    let Some(Ok(mut ready)) = ready(writer, Interest::WRITABLE).await else { return };
    let mut outbox = line.outbox.lock();
    let flushed = outbox.flush(&line.socket);
    let room = outbox.take_room();
    drop(outbox);
    match flushed {
        Ok(Flushed::Blocked) => ready.clear_ready(),
        Ok(_) => {}
        Err(_) => line.outbox.lock().clear(),
    }
    for (has_room, event) in [(room.small, Event::Room), (room.big, Event::BigRoom)] {
        if has_room {
            line.stash(event::frame(event, ErrorCode::Overloaded, ""));
            shared.ring();
        }
    }
}

async fn read(shared: &Shared, line: &Line, reader: Option<&AsyncFd<Watched>>) {
    // What TLS has decrypted already is nothing the descriptor tells of.
    let ready = if line.socket.is_ready() { None } else { ready(reader, Interest::READABLE).await };
    if line.take_over(shared.options.inbound_bytes) {
        shared.ring();
    }
    if !line.socket.is_readable() {
        if let Some(Ok(mut ready)) = ready {
            ready.clear_ready();
        }
    } else {
        // The stash is full: JavaScript must drain before more is read.
        tokio::time::sleep(FULL_PAUSE).await;
    }
}

async fn ready(
    watched: Option<&AsyncFd<Watched>>,
    interest: Interest,
) -> Option<std::io::Result<tokio::io::unix::AsyncFdReadyGuard<'_, Watched>>> {
    match watched {
        Some(watched) => Some(watched.ready(interest).await),
        None => None,
    }
}

/// What the guard saw last, to tell progress from standstill.
struct Watch {
    read: (u64, Instant),
    sent: (u64, Instant),
    drains: u64,
    /// Readable and not drained at the last tick already.
    neglected: bool,
}

impl Watch {
    fn new(line: &Line) -> Self {
        let now = Instant::now();
        Self { read: (line.total_read(), now), sent: (0, now), drains: 0, neglected: false }
    }

    fn tick(&mut self, shared: &Shared, line: &Line, pace: Pace) {
        panics::may_happen(Place::Guard);
        let drains = line.drains.load(Ordering::Relaxed);
        let neglected = drains == self.drains && line.socket.is_readable();
        self.drains = drains;
        let silent = self.read.1.elapsed() >= pace.dead;
        if neglected && (self.neglected || silent) && line.take_over(shared.options.inbound_bytes) {
            shared.ring();
        }
        self.neglected = neglected;
        let now = Instant::now();
        if line.total_read() != self.read.0 {
            self.read = (line.total_read(), now);
        } else if silent && !line.socket.is_readable() {
            let silence = pace.dead.as_millis();
            line.end(ErrorCode::HeartbeatLost, format!("not a byte came from the controller for {silence} ms"));
            return;
        }
        line.spares.let_go();
        let mut outbox = line.outbox.lock();
        outbox.let_go();
        let sent = outbox.total_sent();
        drop(outbox);
        if sent != self.sent.0 {
            self.sent = (sent, now);
        } else if now - self.sent.1 >= heartbeat::node_pings_after(pace.heartbeat, pace.dead) {
            line.send(&Header::new(Kind::Ping).encode());
        }
    }
}

/// The failure that ends the first search for the controller, if this one does.
fn final_failure(shared: &Shared, error: CoreError, started: Instant) -> Option<CoreError> {
    if matches!(
        error.code,
        ErrorCode::Unauthorized
            | ErrorCode::NotPermitted
            | ErrorCode::NameInUse
            | ErrorCode::InvalidName
            | ErrorCode::VersionMismatch
            | ErrorCode::BadAddress
            | ErrorCode::Protocol
            | ErrorCode::FrameTooLarge
    ) {
        return Some(error);
    }
    let waited = started.elapsed();
    shared.options.connect_timeout.filter(|timeout| waited >= *timeout).map(|timeout| CoreError {
        code: ErrorCode::ConnectTimeout,
        message: format!(
            "no controller answered within {} ms; the last attempt: {}",
            timeout.as_millis(),
            error.message
        ),
    })
}

/// Up to 50 ms, 100 ms, 200 ms …, drawn at random, never below the first bound's start.
fn pause(shared: &Shared, attempt: u32) -> Duration {
    let (first, longest) = shared.options.reconnect;
    let bound = (first * 2).saturating_mul(1 << attempt.min(16)).min(longest.max(first));
    let mut random = [0; 8];
    // Without random bytes every node waits its longest: slower, never wrong.
    let share =
        if getrandom::fill(&mut random).is_ok() { u64::from_le_bytes(random) as f64 / u64::MAX as f64 } else { 1.0 };
    first + bound.saturating_sub(first).mul_f64(share)
}

async fn closing(shared: &Shared) {
    while shared.closing_at().is_none() {
        shared.wake.notified().await;
    }
}

fn register(line: &Line, interest: Interest) -> std::io::Result<AsyncFd<Watched>> {
    // SAFETY: the `Arc` keeps the descriptor open and the same for as long as it is registered.
    Ok(unsafe { AsyncFd::register_with_interest(Watched(line.socket.clone()), interest) }?)
}

fn secret(options: &NodeOptions) -> Result<Secret, CoreError> {
    Ok(match &options.credentials {
        Credentials::Peer => Secret::Peer,
        Credentials::Token(token) => Secret::Token(token.clone()),
        Credentials::Certificate => Secret::Certificate,
        Credentials::Cookie(path) => Secret::Cookie(auth::load_cookie(path)?.ok_or_else(|| {
            let message = format!("there is no cookie at {} yet: no controller of this user has run", path.display());
            CoreError::new(ErrorCode::ConnectionLost, message)
        })?),
    })
}

fn lost(error: std::io::Error) -> CoreError {
    CoreError::from_io(ErrorCode::ConnectionLost, "the controller cannot be reached", error)
}

/// The socket as the reactor holds it.
struct Watched(Arc<Socket>);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Longest pause between two looks at a connection: a guard that finds JavaScript busy reads in its place after two, well
/// before the 2 s in which the holder of a name must answer.
const MAX_TICK: Duration = Duration::from_millis(400);

/// For reading what nobody wants.
const WASTE_BYTES: usize = 64 * 1024;

/// Pause of a reader whose stash is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);
