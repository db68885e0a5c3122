//! What a peer is sent while runs are gathered: all of it, in order, within the bounds.

use super::*;
use crate::controller::{ControllerOptions, Counters};
use daffi_protocol::control::{self, Refused, Register, RegistryChange};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{Header, Kind, flags};
use proptest::prelude::*;
use socket2::SockRef;
use std::sync::Arc;

/// A controller of which many connections are busy, one peer of it, and its far end.
struct World {
    hub: Rc<Hub>,
    peer: Rc<Peer>,
    far: Stream,
}

impl World {
    fn new(options: ControllerOptions) -> Self {
        let hub = Hub::new(options, Arc::new(Counters::default()), 1);
        tokio::task::spawn_local(Rc::clone(&hub).keep_flushing());
        let (peer, far) = welcome(&hub, "peer");
        Self { hub, peer, far }
    }

    /// Has the socket take little at a time.
    fn shrink(&self) {
        let Stream::Unix(near) = &*self.peer.stream else { unreachable!() };
        SockRef::from(near).set_send_buffer_size(1).unwrap();
    }

    /// Has the controller gather until further notice.
    async fn be_busy(&self) {
        tokio::task::yield_now().await;
        (0..40).for_each(|_| self.hub.gatherer.count());
        tokio::task::yield_now().await;
        assert!(self.hub.gatherer.is_on());
    }

    fn send(&self, bytes: &[u8]) {
        self.peer.send_runs(&self.hub, bytes, &[(0, bytes.len())]);
    }

    /// What has arrived. Reads past the runtime, which would have to look for news first.
    fn arrived(&self) -> Vec<u8> {
        let Stream::Unix(far) = &self.far else { unreachable!() };
        let mut bytes = Vec::with_capacity(1 << 20);
        let _ = SockRef::from(far).recv(bytes.spare_capacity_mut()).map(|read| unsafe { bytes.set_len(read) });
        bytes
    }

    /// The frames that have arrived.
    fn frames(&self) -> Vec<(Header, Vec<u8>)> {
        let bytes = self.arrived();
        let (mut rest, mut frames) = (&bytes[..], Vec::new());
        while let Some(header) = Header::decode(rest).unwrap() {
            let (frame, more) = rest.split_at(header.frame_len());
            frames.push((header, frame[HEADER_BYTES..HEADER_BYTES + header.body_len as usize].to_vec()));
            rest = more;
        }
        frames
    }
}

/// A peer as after its handshake, and its far end.
fn welcome(hub: &Rc<Hub>, name: &str) -> (Rc<Peer>, Stream) {
    let (near, far) = Stream::pair().unwrap();
    let (near, far) = (Stream::from_unix_fd(near).unwrap(), Stream::from_unix_fd(far).unwrap());
    let accepted = Accepted {
        name: name.into(),
        instance: [0; 16],
        pid: 1,
        memory: false,
        client_nonce: [0; 32],
        controller_proof: Vec::new(),
    };
    let index = hub.router.borrow_mut().join(name, true);
    let peer = Peer::new(index, accepted, true, Rc::new(near));
    hub.peers.borrow_mut().insert(index, Rc::clone(&peer));
    (peer, far)
}

fn run(options: ControllerOptions, test: impl AsyncFn(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let world = World::new(options);
        world.peer.stream.writable().await.unwrap();
        test(world).await;
    });
}

fn defaults() -> ControllerOptions {
    ControllerOptions::default()
}

#[test]
fn small_runs_leave_at_once_until_many_connections_are_busy_and_then_at_the_end_of_the_turn() {
    run(defaults(), async |world: World| {
        world.send(b"one");
        assert_eq!((&world.arrived()[..], world.peer.queued()), (&b"one"[..], 0));
        world.be_busy().await;
        world.send(b"two");
        world.peer.send_runs(&world.hub, b"-three-", &[(1, 4), (4, 6)]);
        assert_eq!((world.arrived(), world.peer.queued()), (vec![], 8));
        tokio::task::yield_now().await;
        assert_eq!((&world.arrived()[..], world.peer.queued()), (&b"twothree"[..], 0));
    });
}

#[test]
fn what_takes_another_way_comes_behind_what_was_gathered() {
    run(defaults(), async |world: World| {
        world.be_busy().await;
        for length in [GATHERED_BYTES, GATHERED_BYTES - 2] {
            world.send(b"ab");
            world.send(&vec![b'c'; length]);
            tokio::task::yield_now().await;
            assert_eq!(world.arrived(), [&b"ab"[..], &vec![b'c'; length]].concat());
        }
        world.send(b"ab");
        world.peer.send_owned(&world.hub, b"cd".to_vec());
        world.send(b"ef");
        world.peer.send_shared(&world.hub, &Bytes::from_static(b"gh"));
        assert_eq!(&world.arrived()[..], b"abcdefgh");
    });
}

#[test]
fn what_was_gathered_comes_before_the_reason_of_the_end() {
    run(defaults(), async |world: World| {
        world.be_busy().await;
        world.send(&Header::new(Kind::Pong).encode());
        world.hub.fail(&world.peer, ErrorCode::SlowConsumer);
        world.hub.settle();
        let frames = world.frames();
        assert_eq!(frames.iter().map(|(header, _)| header.kind).collect::<Vec<_>>(), [Kind::Pong, Kind::Refused]);
        assert_eq!(control::parse::<Refused>(&frames[1].1).unwrap().code, ErrorCode::SlowConsumer as u32);
    });
}

#[test]
fn what_does_not_fit_at_the_end_of_the_turn_waits_and_counts_and_ends_a_peer_beyond_the_limit() {
    let options = ControllerOptions { outbound_soft: 1000, outbound_hard: 1 << 20, ..defaults() };
    run(options, async |world: World| {
        world.shrink();
        world.be_busy().await;
        let mut sent = 0;
        while world.peer.outbox.borrow().queued() == 0 {
            world.send(&[7; 900]);
            // Nobody who sends is held up by what waits for the end of the turn.
            assert!(world.peer.queued() <= 1000 || world.peer.outbox.borrow().queued() > 0);
            sent += 900;
        }
        assert!(world.peer.gathered.borrow().is_empty());
        world.send(&[8; 900]);
        assert!(world.peer.gathered.borrow().is_empty(), "behind what waits");
        let mut arrived = Vec::new();
        while arrived.len() < sent + 900 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            arrived.extend(world.arrived());
        }
        assert_eq!(arrived, [vec![7; sent], vec![8; 900]].concat());
        assert_eq!(world.peer.queued(), 0);
        for _ in 0..5000 {
            world.send(&[9; 900]);
        }
        world.hub.settle();
        assert!(world.peer.is_gone.get());
    });
}

#[test]
fn of_a_newcomer_all_are_told_at_its_first_call_and_while_that_takes_long_only_whom_it_calls() {
    run(defaults(), async |world: World| {
        let World { hub, peer, .. } = &world;
        let register =
            |names: &[&str]| Register { add: names.iter().map(ToString::to_string).collect(), remove: vec![] };
        hub.router.borrow_mut().registry.register(peer.index, &register(&["f"])).unwrap();
        hub.tell_changes();
        world.arrived();
        let mut kept = Vec::new();
        for is_storm in [false, true, true] {
            if is_storm {
                let now = Instant::now();
                hub.pace.borrow_mut().told(now - Duration::from_secs(3), now);
            }
            let bystander = welcome(hub, &format!("bystander-{is_storm}-{}", hub.peers.borrow().len()));
            let (newcomer, far) = welcome(hub, &format!("newcomer-{}", hub.peers.borrow().len()));
            hub.router.borrow_mut().registry.register(newcomer.index, &register(&["g"])).unwrap();
            hub.schedule_changes();
            tokio::task::spawn_local(super::super::connection::serve(Rc::clone(hub), Rc::clone(&newcomer)));
            let call = Header { generation: 1, callback: 1, flags: flags::NO_REPLY, ..Header::new(Kind::Request) };
            far.write_all(&[call.frame(&[]), call.frame(&[])].concat()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            let frames = world.frames();
            let kinds: Vec<Kind> = frames.iter().map(|(header, _)| header.kind).collect();
            assert_eq!(kinds, [Kind::RegistryChange, Kind::Request, Kind::Request]);
            let change: RegistryChange = control::parse(&frames[0].1).unwrap();
            let joined: Vec<u32> = change.joined.iter().map(|(index, _)| *index).collect();
            let both = [bystander.0.index, newcomer.index];
            assert_eq!(joined, if is_storm { &both[1..] } else { &both[..] });
            assert_eq!(change.exposes, [(newcomer.index, vec![2])]);
            assert_eq!(newcomer.is_announced.get(), !is_storm);
            tokio::time::sleep(Duration::from_millis(998)).await;
            assert!(world.frames().is_empty(), "nobody is told before it is time");
            tokio::time::sleep(Duration::from_millis(11)).await;
            let told: Vec<RegistryChange> =
                world.frames().iter().map(|(_, body)| control::parse(body).unwrap()).collect();
            let joined: Vec<u32> = told.iter().flat_map(|change| &change.joined).map(|(index, _)| *index).collect();
            assert_eq!(joined, if is_storm { &both[..1] } else { &[] });
            assert!(newcomer.is_announced.get());
            kept.push((bystander, far));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_sent_however_arrives_once_and_in_order(
        steps in prop::collection::vec((0u8..8, 1usize..40_000), 1..60),
    ) {
        run(defaults(), async |world: World| {
            world.shrink();
            world.be_busy().await;
            let (mut sent, mut arrived) = (Vec::new(), Vec::new());
            for (number, (step, length)) in steps.iter().enumerate() {
                let small = length % 300;
                let bytes: Vec<u8> = (0..if *step < 3 { small } else { *length }).map(|at| (at * 7 + number) as u8).collect();
                match step {
                    0..=3 => world.peer.send_runs(&world.hub, &bytes, &[(0, bytes.len() / 3), (bytes.len() / 3, bytes.len())]),
                    4 => world.peer.send_owned(&world.hub, bytes.clone()),
                    5 => world.peer.send_shared(&world.hub, &Bytes::from(bytes.clone())),
                    6 => world.be_busy().await,
                    _ => arrived.extend(world.arrived()),
                }
                if *step < 6 {
                    sent.extend(bytes);
                }
            }
            while arrived.len() < sent.len() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                arrived.extend(world.arrived());
            }
            assert!(arrived == sent);
            assert_eq!(world.peer.queued(), 0);
        });
    }
}
