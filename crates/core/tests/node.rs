//! A real node and a real controller: what the JavaScript thread of a node sees, the guard behind it included.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use daffi_core::controller::{Controller, ControllerOptions};
use daffi_core::node::{Credentials, Node, NodeOptions, PUMP_BYTES, Target};
use daffi_core::transport::Address;
use daffi_protocol::control::{self, Refused, Register, RegistryChange, Welcome};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{ErrorCode, Header, Kind, flags};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{LIMIT, World, on_each};
use tokio::sync::Notify;

const WELCOME: u8 = Kind::Welcome as u8;
const CHANGE: u8 = Kind::RegistryChange as u8;
const REQUEST: u8 = Kind::Request as u8;
const RESPONSE: u8 = Kind::Response as u8;
const DISCONNECTED: u8 = 240;
const FAILED: u8 = 241;
const ROOM: u8 = 242;
const CLOSED: u8 = 243;

/// A frame as JavaScript finds it.
#[derive(Debug)]
struct Seen {
    kind: u8,
    flags: u8,
    node: u32,
    slot: u32,
    generation: u32,
    callback: u32,
    payload: Vec<u8>,
}

impl Seen {
    fn reason(&self) -> (ErrorCode, String) {
        let refused: Refused = control::parse(&self.payload).unwrap();
        (ErrorCode::from_u32(refused.code).unwrap(), refused.message)
    }
}

/// What the JavaScript thread of a node does: drains when it is rung for or, if it reads itself, when
/// the socket is readable.
struct Script {
    node: Node,
    bell: Arc<Notify>,
    /// Rings since the last drain; the most there ever were.
    rings: Arc<AtomicU64>,
    most_rings: Arc<AtomicU64>,
    inline: bool,
    buffer: Vec<u8>,
    seen: VecDeque<Seen>,
    index: u32,
    names: BTreeMap<String, u32>,
}

impl Script {
    fn open(options: NodeOptions) -> Self {
        Self::with(options, Node::open)
    }

    /// With the guard on this thread and on its clock.
    fn open_here(options: NodeOptions) -> Self {
        Self::with(options, Node::open_here)
    }

    fn with(
        options: NodeOptions,
        open: impl FnOnce(NodeOptions, Box<dyn Fn() + Send + Sync>) -> std::io::Result<Node>,
    ) -> Self {
        let (bell, rings, most_rings) =
            (Arc::new(Notify::new()), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let inline = options.inline;
        let ring = {
            let (bell, rings, most_rings) = (bell.clone(), rings.clone(), most_rings.clone());
            move || {
                most_rings.fetch_max(rings.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                bell.notify_one();
            }
        };
        let node = open(options, Box::new(ring)).unwrap();
        let (buffer, seen, names) = (vec![0; PUMP_BYTES], VecDeque::new(), BTreeMap::new());
        Self { node, bell, rings, most_rings, inline, buffer, seen, index: 0, names }
    }

    fn drain(&mut self) {
        loop {
            self.rings.store(0, Ordering::SeqCst);
            let drained = self.node.drain(&mut self.buffer);
            let mut frames = &self.buffer[..drained.bytes];
            while let Some((header, rest)) = frames.split_first_chunk::<HEADER_BYTES>() {
                let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
                let body = &rest[..word(0) as usize];
                let payload = &body[usize::from(u16::from_le_bytes([header[6], header[7]]))..];
                self.seen.push_back(Seen {
                    kind: header[4],
                    flags: header[5],
                    node: word(8),
                    slot: word(12),
                    generation: word(16),
                    callback: word(20),
                    payload: payload.to_vec(),
                });
                frames = &rest[daffi_protocol::padded(body.len())..];
            }
            if !drained.more {
                return;
            }
        }
    }

    async fn next(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.seen.pop_front() {
                return seen;
            }
            // A reader of its own has the event loop to tell it; here it looks.
            if self.inline && self.node.watched().is_some_and(|line| line.socket.is_readable()) {
                self.drain();
            } else if self.inline {
                let _ =
                    tokio::time::timeout(Duration::from_millis(1), self.bell.notified()).await.map(|()| self.drain());
            } else {
                tokio::time::timeout(LIMIT, self.bell.notified()).await.expect("the doorbell was not heard");
                self.drain();
            }
        }
    }

    /// The next frame of this kind; of those before it only the registry is looked at.
    async fn until(&mut self, kind: u8) -> Seen {
        loop {
            let seen = self.next().await;
            if seen.kind == WELCOME {
                let welcome: Welcome = control::parse(&seen.payload).unwrap();
                self.index = welcome.node;
                self.learn(welcome.registry);
            } else if seen.kind == CHANGE {
                self.learn(control::parse(&seen.payload).unwrap());
            }
            if seen.kind == kind {
                return seen;
            }
        }
    }

    fn learn(&mut self, change: RegistryChange) {
        self.names.extend(change.names.into_iter().map(|(id, name)| (name, id)));
    }

    async fn knows(&mut self, callback: &str) -> u32 {
        while !self.names.contains_key(callback) {
            self.until(CHANGE).await;
        }
        self.names[callback]
    }

    fn register(&self, callback: &str) {
        let register = Register { add: vec![callback.into()], remove: vec![] };
        self.node.submit(&control::frame(Kind::Register, &register).unwrap());
    }

    fn answer(&self, request: &Seen, payload: &[u8]) {
        let (slot, generation) = (request.slot, request.generation);
        self.node.submit(&Header { slot, generation, ..Header::new(Kind::Response) }.frame(payload));
    }

    /// Sends one-way requests with these slots' numbers as payload until done or told to hold back;
    /// gives how many.
    fn flood(&self, callback: u32, from: u32, count: u32, bytes: usize) -> (u32, bool) {
        let header = Header { callback, flags: flags::NO_REPLY, ..Header::new(Kind::Request) };
        for number in from..from + count {
            if self.node.submit(&header.frame(&numbered(number, bytes))) {
                return (number + 1 - from, true);
            }
        }
        (count, false)
    }
}

/// A MessagePack list of a number and a byte string, of about `bytes` bytes.
fn numbered(number: u32, bytes: usize) -> Vec<u8> {
    let mut payload = vec![0x92, 0xce];
    payload.extend(number.to_be_bytes());
    payload.push(0xc6);
    payload.extend(u32::try_from(bytes).unwrap().to_be_bytes());
    payload.resize(payload.len() + bytes, 7);
    payload
}

fn number_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[2..6].try_into().unwrap())
}

fn node_options(world: &World, name: &str) -> NodeOptions {
    let address = world.controller.address().clone();
    let credentials = match &address {
        Address::Tcp { .. } => Credentials::Cookie(world.folder.join("cookie")),
        Address::Unix { .. } => Credentials::Peer,
    };
    NodeOptions {
        tls: world.tls.clone(),
        reconnect: (Duration::from_millis(5), Duration::from_millis(50)),
        ..NodeOptions::new(name.into(), Target::Address(address), credentials)
    }
}

/// A node that is connected; `change` decides what is special about it.
async fn connected(world: &World, name: &str, change: impl FnOnce(&mut NodeOptions)) -> Script {
    let mut options = node_options(world, name);
    change(&mut options);
    let mut script = Script::open(options);
    script.until(WELCOME).await;
    script
}

/// A callee that exposes `f` and a caller that knows it.
async fn pair(world: &World, change: impl Fn(&mut NodeOptions)) -> (Script, Script, u32) {
    let callee = connected(world, "callee", &change).await;
    callee.register("f");
    let mut caller = connected(world, "caller", &change).await;
    let callback = caller.knows("f").await;
    (callee, caller, callback)
}

async fn call(callee: &mut Script, caller: &mut Script, callback: u32) {
    let header = Header { slot: 3, generation: 8, callback, ..Header::new(Kind::Request) };
    caller.node.submit(&header.frame(&[0x91, 1]));
    let request = callee.until(REQUEST).await;
    assert_eq!((request.node, &request.payload[..]), (caller.index, &[0x91, 1][..]));
    callee.answer(&request, &[2]);
    let response = caller.until(RESPONSE).await;
    assert_eq!((response.node, response.slot, response.generation), (callee.index, 3, 8));
    assert_eq!((response.callback, &response.payload[..]), (0, &[2][..]));
}

fn defaults() -> ControllerOptions {
    ControllerOptions::default()
}

#[test]
fn a_call_passes_from_node_to_node_whoever_reads() {
    on_each(defaults(), async |world: World| {
        for inline in [true, false] {
            let (mut callee, mut caller, callback) = pair(&world, |options| options.inline = inline).await;
            call(&mut callee, &mut caller, callback).await;
            assert_eq!(caller.node.stats().connections, 1);
            drop((callee, caller));
            world.until(|stats| stats.nodes == 0).await;
        }
    });
}

#[test]
fn a_node_in_the_process_of_the_controller_needs_no_address() {
    on_each(defaults(), async |world: World| {
        for inline in [true, false] {
            let embedded = |options: &mut NodeOptions| {
                options.inline = inline;
                options.target = Target::Embedded(world.controller.clone());
                options.credentials = Credentials::Peer;
            };
            let mut callee = connected(&world, "callee", embedded).await;
            callee.register("f");
            let mut caller = connected(&world, "caller", |_| {}).await;
            let callback = caller.knows("f").await;
            call(&mut callee, &mut caller, callback).await;
            drop((callee, caller));
            world.until(|stats| stats.nodes == 0).await;
        }
    });
}

#[test]
fn a_big_payload_is_taken_once_by_its_token() {
    on_each(defaults(), async |world: World| {
        let (mut callee, caller, callback) = pair(&world, |_| {}).await;
        let payload = numbered(1, 3 << 20);
        let header = Header { slot: 1, generation: 1, callback, ..Header::new(Kind::Request) };
        caller.node.submit_big(header, &[], &[&payload[..1000], &payload[1000..]]);
        let request = callee.until(REQUEST).await;
        assert_eq!(request.flags & flags::BIG, flags::BIG);
        let token = u32::from_le_bytes(request.payload.try_into().unwrap());
        let held = || (callee.node.stats().live_buffers, callee.node.stats().buffered_bytes);
        assert_eq!(held(), (1, payload.len() as u64));
        assert!(callee.node.take_big(token).is_some_and(|taken| taken.to_vec() == *payload), "the payload differs");
        assert!(callee.node.take_big(token).is_none());
        assert_eq!(held(), (0, 0));
    });
}

#[test]
fn big_items_arrive_whole_both_ways_and_refused_ones_are_told() {
    on_each(defaults(), async |world: World| {
        let (mut callee, mut caller, callback) = pair(&world, |options| options.max_payload = 2 << 20).await;
        let payload = numbered(1, 1 << 20);
        let open = Header { slot: 4, generation: 1, callback, flags: flags::STREAM, ..Header::new(Kind::Request) };
        caller.node.submit(&open.frame(&[0x90]));
        let request = callee.until(REQUEST).await;
        let own = Header { slot: request.slot, generation: request.generation, ..Header::new(Kind::CalleeItems) };
        let items = Header { kind: Kind::CallerItems, callback: 9, flags: 0, ..open };
        caller.node.submit_big(items, &[], &[&payload]);
        let there = callee.until(Kind::CallerItems as u8).await;
        callee.node.submit_big(own, &[], &[&payload]);
        let back = caller.until(Kind::CalleeItems as u8).await;
        assert_eq!((there.callback, there.flags, back.flags), (9, flags::BIG, flags::BIG));
        for (script, seen) in [(&callee, there), (&caller, back)] {
            let token = u32::from_le_bytes(seen.payload.try_into().unwrap());
            assert!(script.node.take_big(token).is_some_and(|taken| taken.to_vec() == *payload), "the payload differs");
        }
        caller.node.submit_big(items, &[], &[&numbered(1, 3 << 20)]);
        let refused = callee.until(Kind::CallerItems as u8).await;
        assert_eq!((refused.flags, refused.callback), (flags::REFUSED, ErrorCode::PayloadTooLarge as u32));
        // Broken MessagePack never reaches JavaScript.
        callee.node.submit(&own.frame(&[0xdd, 0xff, 0xff, 0xff, 0xff]));
        let refused = caller.until(Kind::CalleeItems as u8).await;
        assert_eq!((refused.flags, refused.callback), (flags::REFUSED, ErrorCode::PayloadRejected as u32));
    });
}

#[test]
fn a_node_whose_controller_was_closed_finds_the_next_one() {
    on_each(defaults(), async |world: World| {
        let mut script = connected(&world, "node", |_| {}).await;
        world.controller.close(Duration::ZERO).await;
        let (code, _) = script.until(DISCONNECTED).await.reason();
        assert!(matches!(code, ErrorCode::ControllerStopped | ErrorCode::ConnectionLost), "{code:?}");
        assert!(!script.node.submit(&Header::new(Kind::Ping).encode()), "nobody is there to hold back for");
        let address = Some(world.controller.address().clone());
        let options = ControllerOptions { address, cookie: Some(world.folder.join("cookie")), ..defaults() };
        let options = ControllerOptions { tls: world.server.clone(), ..options };
        let next = Controller::start(options).await.unwrap();
        script.until(WELCOME).await;
        assert_eq!(script.node.stats().connections, 2);
        assert_eq!(next.stats().nodes, 1);
    });
}

#[test]
fn what_is_submitted_before_the_end_of_its_connection_is_known_does_not_go_out_on_the_next() {
    on_each(defaults(), async |world: World| {
        let mut script = connected(&world, "node", |options| options.inline = false).await;
        world.controller.close(Duration::ZERO).await;
        let address = Some(world.controller.address().clone());
        let options = ControllerOptions { address, cookie: Some(world.folder.join("cookie")), ..defaults() };
        let _next = Controller::start(ControllerOptions { tls: world.server.clone(), ..options }).await.unwrap();
        while script.node.stats().connections < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let request = |slot| Header { slot, generation: 1, callback: 1, ..Header::new(Kind::Request) }.frame(&[0x90]);
        script.node.submit(&request(3));
        script.until(DISCONNECTED).await;
        script.until(WELCOME).await;
        script.node.submit(&request(4));
        assert_eq!(script.until(RESPONSE).await.slot, 4);
    });
}

#[test]
fn a_name_in_use_and_a_controller_that_never_comes_end_the_search() {
    on_each(defaults(), async |world: World| {
        let _first = connected(&world, "node", |_| {}).await;
        let mut second = Script::open(node_options(&world, "node"));
        assert_eq!(second.until(FAILED).await.reason().0, ErrorCode::NameInUse);
        second.node.close(Duration::ZERO);
        second.until(CLOSED).await;

        let nowhere = Target::Address(Address::Unix { path: world.folder.join("nowhere") });
        let connect_timeout = Some(Duration::from_millis(30));
        let mut lost = Script::open(NodeOptions { target: nowhere, connect_timeout, ..node_options(&world, "lost") });
        assert_eq!(lost.until(FAILED).await.reason().0, ErrorCode::ConnectTimeout);
    });
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_nothing_is_waited_for_no_longer_than_the_connect_timeout() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let nowhere = Target::Dialled(Arc::new(|| Box::pin(std::future::pending())));
            let connect_timeout = Some(Duration::from_millis(700));
            let options = NodeOptions::new("lost".into(), nowhere, Credentials::Peer);
            let mut script = Script::open_here(NodeOptions { connect_timeout, inline: false, ..options });
            let begun = tokio::time::Instant::now();
            assert_eq!(script.until(FAILED).await.reason().0, ErrorCode::ConnectTimeout);
            let waited = begun.elapsed().as_millis();
            println!(
                "row F6: search for a host that answers nothing, connectTimeout 700 ms: {waited} ms, at most 800 ms"
            );
            assert!((700..=800).contains(&waited), "{waited} ms");
        })
        .await;
}

#[test]
fn the_heartbeat_is_answered_while_nobody_drains() {
    let (heartbeat, dead) = (Duration::from_millis(50), Duration::from_millis(300));
    on_each(ControllerOptions { heartbeat, dead, ..defaults() }, async |world: World| {
        for inline in [true, false] {
            let busy = Script::open(NodeOptions { inline, ..node_options(&world, "busy") });
            world.until(|stats| stats.nodes == 1).await;
            // Two silent nodes in turn are given up meanwhile: the busy one is older than both.
            for _ in 0..2 {
                let silent = world.node("silent").await;
                world.until(|stats| stats.nodes == 2).await;
                world.until(|stats| stats.nodes == 1).await;
                drop(silent);
            }
            assert_eq!(busy.node.stats().connections, 1);
            drop(busy);
            world.until(|stats| stats.nodes == 0).await;
        }
    });
}

#[test]
fn the_guard_reads_in_the_place_of_a_busy_reader_and_stops_at_its_bound() {
    // Ticks of the guard come four a heartbeat.
    let options = ControllerOptions { heartbeat: Duration::from_millis(40), outbound_soft: 256 << 10, ..defaults() };
    on_each(options, async |world: World| {
        for inline in [true, false] {
            let small = |options: &mut NodeOptions| {
                options.inline = inline;
                options.inbound_bytes = 128 << 10;
                options.outbound_soft = 256 << 10;
            };
            let (mut callee, mut caller, callback) = pair(&world, small).await;
            callee.drain();
            let mut sent = 0;
            // Until the guard and the sockets are full, and the controller keeps what is for the callee.
            while world.controller.stats().queued_bytes < 128 << 10 || callee.rings.load(Ordering::SeqCst) == 0 {
                let (count, pressed) = caller.flood(callback, sent, 8, 4096);
                sent += count;
                assert!(sent < 16 * 1024, "64 MiB were taken for a node that does not drain");
                if pressed {
                    caller.until(ROOM).await;
                }
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            // What the guard took is there at once, and the rest follows in order. Of the last the controller may
            // have refused some: the callee was slow.
            for number in 0..sent / 2 {
                assert_eq!(number_of(&callee.until(REQUEST).await.payload), number);
            }
            drop((callee, caller));
            world.until(|stats| stats.nodes == 0).await;
        }
    });
}

#[test]
fn close_sends_what_was_submitted_before_it_closes() {
    on_each(defaults(), async |world: World| {
        let (mut callee, mut caller, callback) = pair(&world, |_| {}).await;
        let (sent, _) = caller.flood(callback, 0, 1500, 4096);
        caller.node.close(LIMIT);
        for number in 0..sent {
            assert_eq!(number_of(&callee.until(REQUEST).await.payload), number);
        }
        caller.until(DISCONNECTED).await;
        caller.until(CLOSED).await;
        assert!(!caller.node.submit(&Header::new(Kind::Ping).encode()));
        world.until(|stats| stats.nodes == 1).await;
    });
}

#[test]
fn a_node_that_is_dropped_leaves_at_once() {
    on_each(defaults(), async |world: World| {
        let script = connected(&world, "node", |_| {}).await;
        drop(script);
        world.until(|stats| stats.nodes == 0 && stats.connections == 0).await;
    });
}

#[test]
fn the_doorbell_rings_at_most_once_a_drain_and_no_ring_is_lost() {
    const FRAMES: u32 = 100_000;
    on_each(defaults(), async |world: World| {
        let (mut callee, mut caller, callback) = pair(&world, |options| options.inline = false).await;
        let sends = async {
            let mut sent = 0;
            while sent < FRAMES {
                let (count, pressed) = caller.flood(callback, sent, 16.min(FRAMES - sent), 0);
                sent += count;
                if pressed {
                    caller.until(ROOM).await;
                }
                tokio::task::yield_now().await;
            }
        };
        let takes = async {
            for number in 0..FRAMES {
                assert_eq!(number_of(&callee.until(REQUEST).await.payload), number);
            }
        };
        tokio::join!(sends, takes);
        assert_eq!(callee.most_rings.load(Ordering::SeqCst), 1);
        assert_eq!(caller.most_rings.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn what_was_sent_arrives_although_the_controller_speaks_to_a_node_that_closes() {
    on_each(defaults(), async |world: World| {
        let (mut callee, mut caller, callback) = pair(&world, |_| {}).await;
        // The controller runs on this thread, and finds first what it has to tell the caller.
        callee.register("g");
        // As much as the sockets take, or the guard would wait for the controller.
        let (sent, _) = caller.flood(callback, 0, if world.is_unix() { 40 } else { 500 }, 4096);
        caller.node.close(LIMIT);
        let begun = Instant::now();
        while caller.node.watched().is_some() {
            assert!(begun.elapsed() < LIMIT, "{:?}", caller.node.stats());
            std::thread::yield_now();
        }
        for number in 0..sent {
            assert_eq!(number_of(&callee.until(REQUEST).await.payload), number);
        }
        assert_eq!(caller.until(DISCONNECTED).await.reason().1, "this node was stopped");
        caller.until(CLOSED).await;
    });
}

#[test]
fn close_blocking_waits_for_the_controller_and_no_longer_than_it_may() {
    on_each(defaults(), async |world: World| {
        let (mut callee, caller, callback) = pair(&world, |options| options.outbound_soft = 64 << 20).await;
        let (sent, _) = caller.flood(callback, 0, 4096, 4096);
        let closing = tokio::task::spawn_blocking(move || caller.node.close_blocking(LIMIT));
        for number in 0..sent {
            assert_eq!(number_of(&callee.until(REQUEST).await.payload), number);
        }
        closing.await.unwrap();
        let mut caller = connected(&world, "caller", |_| {}).await;
        // The controller runs on this thread: while this blocks, nobody reads.
        caller.node.close_blocking(Duration::from_millis(20));
        caller.until(CLOSED).await;
    });
}
