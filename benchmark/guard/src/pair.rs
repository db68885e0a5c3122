//! Two real nodes on a real controller, all on this thread: whatever is counted is theirs.

use crate::Outcome;
use daffi_core::auth::Secret;
use daffi_core::controller::{Controller, ControllerOptions};
use daffi_core::node::{Credentials, Node, NodeOptions, PUMP_BYTES, Target};
use daffi_core::transport::{Address, Listener};
use daffi_protocol::control::{self, Register, RegistryChange, Welcome};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{Header, Kind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

/// Longer than anything here may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A node and the thread that drains it.
pub struct End {
    /// The node itself.
    pub node: Node,
    /// What it drains into.
    pub buffer: Vec<u8>,
}

/// A controller with a node that calls and one that exposes `add`.
pub struct Pair {
    /// Who calls.
    pub caller: End,
    /// Who exposes the callback.
    pub worker: End,
    /// Its id.
    pub callback: u32,
    /// Dropped, it would end.
    _controller: Controller,
    /// Dropped, its listener would have nothing to wait for.
    _connections: mpsc::Sender<OwnedFd>,
}

impl Pair {
    /// Starts all three. To be called inside a `LocalSet`.
    pub async fn start() -> Outcome<Self> {
        let (connections, given) = mpsc::channel(1);
        let listener = Listener::given(Address::Unix { path: "none".into() }, given);
        let controller = Controller::start_on(listener, Secret::Peer, ControllerOptions::default(), 1);
        let mut worker = End::open("worker", &controller)?;
        worker.next_frame(|header, _| header.kind == Kind::Welcome).await?;
        let register = Register { add: vec!["add".into()], remove: vec![] };
        worker.node.submit(&control::frame(Kind::Register, &register)?);
        worker.next_frame(|header, body| id_of_add(header, body).is_some()).await?;
        let mut caller = End::open("caller", &controller)?;
        let mut callback = 0;
        caller
            .next_frame(|header, body| {
                callback = id_of_add(header, body).unwrap_or_default();
                callback != 0
            })
            .await?;
        // What else is told of the registry comes now, and not in between.
        for _ in 0..20 {
            sleep(Duration::from_millis(5)).await;
            worker.node.drain(&mut worker.buffer);
            caller.node.drain(&mut caller.buffer);
        }
        Ok(Self { caller, worker, callback, _controller: controller, _connections: connections })
    }
}

impl End {
    fn open(name: &str, controller: &Controller) -> Outcome<Self> {
        let options = NodeOptions::new(name.into(), Target::Embedded(controller.clone()), Credentials::Peer);
        let node = Node::open_here(options, Box::new(|| ()))?;
        Ok(Self { node, buffer: vec![0; PUMP_BYTES] })
    }

    /// Drains until a frame comes that is looked for.
    async fn next_frame(&mut self, mut is_it: impl FnMut(Header, &[u8]) -> bool) -> Outcome<()> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let drained = self.node.drain(&mut self.buffer);
            let mut rest = self.buffer.get(..drained.bytes).unwrap_or_default();
            while let Some(header) = Header::decode(rest)? {
                let body = rest.get(HEADER_BYTES..HEADER_BYTES + header.body_len as usize).unwrap_or_default();
                if is_it(header, body) {
                    return Ok(());
                }
                rest = rest.get(header.frame_len()..).unwrap_or_default();
            }
            sleep(Duration::from_millis(1)).await;
        }
        Err("a node did not hear what it waited for".into())
    }

    /// Lets the controller work until so many bytes wait in the socket of this node.
    pub async fn arrival(&self, bytes: usize) -> Outcome<()> {
        let line = self.node.watched().ok_or("the connection has ended")?;
        let fd = line.socket.as_raw_fd();
        for _ in 0..MAX_TURNS {
            let mut waiting: libc::c_int = 0;
            // SAFETY: the descriptor is open as long as `line` is; the call writes one number.
            unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut waiting) };
            if usize::try_from(waiting)? >= bytes {
                return Ok(());
            }
            yield_now().await;
        }
        Err("the controller did not send the frames on".into())
    }
}

/// Turns of the reactor that one batch may take.
const MAX_TURNS: u32 = 100_000;

/// The id of the callback, where this frame tells it.
fn id_of_add(header: Header, body: &[u8]) -> Option<u32> {
    let change: RegistryChange = match header.kind {
        Kind::Welcome => control::parse::<Welcome>(body).ok()?.registry,
        Kind::RegistryChange => control::parse(body).ok()?,
        _ => return None,
    };
    change.names.iter().find(|(_, name)| name == "add").map(|(id, _)| *id)
}
