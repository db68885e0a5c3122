//! A controller over real sockets: calls, losses, intruders, back-pressure, the end.

mod support;

use daffi_core::auth::Secret;
use daffi_core::controller::{Controller, ControllerOptions};
use daffi_core::transport::{Address, Stream};
use daffi_protocol::control::{self, Refused, Register, RegistryChange};
use daffi_protocol::limits::FRAGMENT_BYTES;
use daffi_protocol::{ErrorCode, Header, Kind, extension, flags};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::{Node, World, on_each};

fn defaults() -> ControllerOptions {
    ControllerOptions::default()
}

#[test]
fn a_call_is_routed_and_its_answer_comes_back() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["add"]).await;
        let mut caller = world.node("caller").await;
        let request = caller.request(5, "add", 1).await;
        caller.send(request, b"arguments").await;
        let (header, body) = callee.next().await;
        assert_eq!((header.kind, header.node, &body[..]), (Kind::Request, caller.index, &b"arguments"[..]));
        assert_eq!(header.flags & flags::LOCAL, flags::LOCAL);
        callee.until(|node| node.nodes.len() == 2).await;
        callee.answer(header, b"sum").await;
        let (header, body) = caller.next().await;
        assert_eq!((header.kind, header.node, header.slot, header.generation), (Kind::Response, callee.index, 5, 1));
        assert_eq!((header.callback, &body[..]), (0, &b"sum"[..]));
        world.until(|stats| stats.calls_in_flight == 0 && stats.nodes == 2).await;
    });
}

#[test]
fn a_node_that_calls_at_once_is_made_known_to_whom_it_calls_and_once_only() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        for round in 0..5 {
            let mut caller = world.node(&format!("caller-{round}")).await;
            let register = Register { add: vec!["g".into()], remove: vec![] };
            let mut bytes = control::frame(Kind::Register, &register).unwrap();
            let request = Header { generation: 1, callback: caller.names["f"], ..Header::new(Kind::Request) };
            bytes.extend(request.frame(&[]));
            caller.stream.write_all(&bytes).await.unwrap();
            let mut told = Vec::new();
            loop {
                let (header, body) = callee.any().await.unwrap();
                if header.kind != Kind::RegistryChange {
                    assert_eq!((header.kind, header.node), (Kind::Request, caller.index));
                    break;
                }
                let change: RegistryChange = control::parse(&body).unwrap();
                told.extend(change.joined.iter().map(|(index, _)| *index));
                callee.learn(change);
            }
            assert!(told.contains(&caller.index));
            // It can be called back: at once, unless all were told of it just before it registered.
            callee.until(|node| node.exposes_named(caller.index, "g")).await;
            let back = Header { node: caller.index, callback: callee.names["g"], ..request };
            callee.send(back, &[]).await;
            assert_eq!(caller.next().await.0.kind, Kind::Request);
            // All others are told later, and it is not told twice.
            let _marker = world.node(&format!("marker-{round}")).await;
            while !callee.nodes.values().any(|name| *name == format!("marker-{round}")) {
                let (_, body) = callee.any().await.unwrap();
                let change: RegistryChange = control::parse(&body).unwrap();
                told.extend(change.joined.iter().map(|(index, _)| *index));
                callee.learn(change);
            }
            assert_eq!(told.iter().filter(|index| **index == caller.index).count(), 1);
            // A node that leaves before all have been told of it is told off to whom it was made known.
            let lost = caller.index;
            drop(caller);
            while callee.nodes.contains_key(&lost) {
                // What ends their calls comes before that.
                let (header, body) = callee.any().await.unwrap();
                if header.kind == Kind::RegistryChange {
                    callee.learn(control::parse(&body).unwrap());
                }
            }
        }
    });
}

#[test]
fn the_node_of_this_process_is_joined_without_a_port_and_named_to_the_others() {
    on_each(defaults(), async |world: World| {
        let fd = world.controller.join().unwrap();
        let own = Node::shake(Stream::from_unix_fd(fd).unwrap(), "own", 1, Secret::Peer).await.unwrap();
        assert!(own.welcome.local);
        let other = world.node("other").await;
        assert_eq!(other.welcome.controller, "own");
        assert_eq!(other.nodes[&own.index], "own");
    });
}

#[test]
fn the_least_loaded_node_is_asked() {
    on_each(defaults(), async |world: World| {
        let mut callees = [world.exposing("a", &["f"]).await, world.exposing("b", &["f"]).await];
        let mut caller = world.node("caller").await;
        for slot in 0..10 {
            let request = caller.request(slot, "f", 2).await;
            caller.send(request, &[]).await;
        }
        for callee in &mut callees {
            for _ in 0..5 {
                assert_eq!(callee.next().await.0.kind, Kind::Request);
            }
        }
        // One of them answers all; the next five are its own.
        let [_, b] = &mut callees;
        for slot in 0..5 {
            let generation = 1;
            b.answer(Header { slot, generation, ..Header::new(Kind::Request) }, &[]).await;
            assert_eq!(caller.outcome().await.1, None);
        }
        for slot in 20..25 {
            let request = caller.request(slot, "f", 2).await;
            caller.send(request, &[]).await;
            assert_eq!(b.next().await.0.kind, Kind::Request);
        }
    });
}

#[test]
fn calls_of_a_node_that_is_killed_end_at_once_with_node_lost() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        let mut callers = [world.node("a").await, world.node("b").await, world.node("c").await];
        for caller in &mut callers {
            for slot in 0..100 {
                let request = caller.request(slot, "f", 1).await;
                caller.send(request, &[]).await;
            }
        }
        for _ in 0..300 {
            callee.next().await;
        }
        let killed = Instant::now();
        let lost = callee.index;
        drop(callee);
        for caller in &mut callers {
            let mut slots = Vec::new();
            for _ in 0..100 {
                let (slot, code) = caller.outcome().await;
                assert_eq!(code, Some(ErrorCode::NodeLost));
                slots.push(slot);
            }
            slots.sort_unstable();
            assert_eq!(slots, (0..100).collect::<Vec<_>>());
            caller.until(|node| !node.nodes.contains_key(&lost)).await;
        }
        assert!(killed.elapsed() < Duration::from_millis(250), "{:?}", killed.elapsed());
        world.until(|stats| stats.calls_in_flight == 0 && stats.nodes == 3).await;
    });
}

#[test]
fn a_node_from_which_nothing_comes_is_given_up() {
    let options =
        ControllerOptions { heartbeat: Duration::from_millis(50), dead: Duration::from_millis(300), ..defaults() };
    on_each(options, async |world: World| {
        // Answers pings only while it is read, which it is not after this.
        let _silent = world.exposing("silent", &["f"]).await;
        let mut caller = world.node("caller").await;
        let request = caller.request(0, "f", 1).await;
        caller.send(request, &[]).await;
        assert_eq!(caller.outcome().await, (0, Some(ErrorCode::NodeLost)));
        assert_eq!(world.controller.stats().nodes, 1, "the caller, which answers pings, lives");
    });
}

#[test]
fn a_request_that_nobody_can_take_is_answered_by_the_controller() {
    on_each(defaults(), async |world: World| {
        let mut caller = world.node("caller").await;
        caller.send(Header { callback: 99, ..Header::new(Kind::Request) }, &[]).await;
        assert_eq!(caller.outcome().await.1, Some(ErrorCode::NoCandidate));
        caller.send(Header { node: 99, ..Header::new(Kind::Transfer) }, &[]).await;
        assert_eq!(caller.outcome().await.1, Some(ErrorCode::NoSuchNode));
    });
}

#[test]
fn http_is_closed_at_once_and_told_nothing() {
    on_each(defaults(), async |world: World| {
        let stream = world.raw().await;
        let sent = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap_or(0), 0);
        assert!(sent.elapsed() < Duration::from_millis(100));
        world.until(|stats| stats.connections == 0).await;
    });
}

#[test]
fn a_length_of_four_gib_closes_its_sender_with_a_code_and_nobody_else() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        let mut offender = world.node("offender").await;
        let request = offender.request(0, "f", 1).await;
        offender.send(request, &[]).await;
        let bad = Header { body_len: u32::MAX, ..Header::new(Kind::Request) };
        offender.stream.write_all(&bad.encode()).await.unwrap();
        let (header, body) = offender.next().await;
        assert_eq!(header.kind, Kind::Refused);
        let refused: daffi_protocol::control::Refused = daffi_protocol::control::parse(&body).unwrap();
        assert_eq!(refused.code, ErrorCode::FrameTooLarge as u32);
        assert!(offender.try_next().await.is_none());
        // What it had asked before reached its callee, which is told that nobody waits any more.
        assert_eq!(callee.next().await.0.kind, Kind::Request);
        assert_eq!(callee.next().await.0.kind, Kind::Cancel);
        world.until(|stats| stats.nodes == 1).await;
    });
}

#[test]
fn a_wrong_cookie_is_refused_without_inventory() {
    on_each(defaults(), async |world: World| {
        let wrong = Secret::Cookie([7; 32]);
        let error = Node::shake(world.raw().await, "eve", 0, wrong).await.map(|_| ()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthorized);
        world.until(|stats| stats.connections == 0).await;
    });
}

#[test]
fn a_name_in_use_is_refused_unless_the_same_instance_takes_it_back() {
    on_each(defaults(), async |world: World| {
        let mut first = world.try_node("alice", 1).await.unwrap();
        {
            // It answers the ping that it gets for being claimed.
            let claiming = async { world.try_node("alice", 2).await.map(|_| ()).unwrap_err() };
            let error = tokio::select! {
                _ = first.try_next() => panic!("the holder was closed"),
                error = claiming => error,
            };
            assert_eq!(error.code, ErrorCode::NameInUse);
        }
        first.register(&["still"]).await;
        let second = world.try_node("alice", 1).await.unwrap();
        assert_ne!(second.index, first.index);
        assert!(first.try_next().await.is_none());
        assert_eq!(second.nodes, BTreeMap::from([(second.index, "alice".to_owned())]));
    });
}

#[test]
fn a_cancel_reaches_the_callee_under_its_ticket() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        let mut caller = world.node("caller").await;
        let request = caller.request(3, "f", 1).await;
        caller.send(request, &[]).await;
        caller.send(Header { kind: Kind::Cancel, ..request }, &[]).await;
        let (asked, _) = callee.next().await;
        let (cancel, _) = callee.next().await;
        assert_eq!((cancel.kind, cancel.slot, cancel.generation), (Kind::Cancel, asked.slot, asked.generation));
        let (slot, generation) = (asked.slot, asked.generation);
        let callback = ErrorCode::Cancelled as u32;
        callee.send(Header { slot, generation, callback, ..Header::new(Kind::Response) }, &[]).await;
        assert_eq!(caller.outcome().await, (3, Some(ErrorCode::Cancelled)));
    });
}

#[test]
fn small_frames_pass_between_the_parts_of_a_large_payload() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        let mut caller = world.node("caller").await;
        let request = caller.request(0, "f", 1).await;
        let piece = FRAGMENT_BYTES as usize;
        let payload: Vec<u8> = (0..piece * 5 / 2).map(|n| (n % 253) as u8).collect();
        let total = extension::entry(extension::TAG_TOTAL, 0, &[payload.len() as u64]);
        let first = Header { flags: flags::FRAGMENTED, ext_len: total.len() as u16, ..request };
        let part = Header { kind: Kind::RequestPart, ..request };
        let small = Header { slot: 1, ..request };
        let sending = async {
            caller.send(first, &[&total[..], &payload[..piece]].concat()).await;
            caller.send(small, b"small").await;
            caller.send(part, &payload[piece..2 * piece]).await;
            caller.send(Header { flags: flags::LAST, ..part }, &payload[2 * piece..]).await;
        };
        let receiving = async {
            let mut got = Vec::new();
            let mut kinds = Vec::new();
            while kinds.len() < 4 {
                let (header, body) = callee.next().await;
                kinds.push(header.kind);
                if body != b"small" {
                    got.extend_from_slice(&body[usize::from(header.ext_len)..]);
                }
            }
            assert_eq!(kinds, [Kind::Request, Kind::Request, Kind::RequestPart, Kind::RequestPart]);
            assert!(got == payload);
        };
        tokio::join!(sending, receiving);
    });
}

#[test]
fn a_payload_over_the_limit_is_answered_and_its_parts_are_dropped() {
    on_each(ControllerOptions { max_payload: 1000, ..defaults() }, async |world: World| {
        let _callee = world.exposing("callee", &["f"]).await;
        let mut caller = world.node("caller").await;
        let request = caller.request(0, "f", 1).await;
        let total = extension::entry(extension::TAG_TOTAL, 0, &[1001]);
        caller.send(Header { flags: flags::FRAGMENTED, ext_len: total.len() as u16, ..request }, &total).await;
        caller.send(Header { kind: Kind::RequestPart, flags: flags::LAST, ..request }, &[0; 8]).await;
        assert_eq!(caller.outcome().await, (0, Some(ErrorCode::PayloadTooLarge)));
    });
}

#[test]
fn items_over_the_limit_end_their_call_at_both_ends() {
    on_each(ControllerOptions { max_payload: 1000, ..defaults() }, async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        let mut caller = world.node("caller").await;
        let request = Header { flags: flags::STREAM, ..caller.request(0, "f", 1).await };
        let total = extension::entry(extension::TAG_TOTAL, 0, &[1001]);
        let begun = flags::FRAGMENTED;
        for kind in [Kind::CallerItems, Kind::CalleeItems] {
            caller.send(request, &[]).await;
            let (ticket, _) = callee.next().await;
            let (slot, generation) = (ticket.slot, ticket.generation);
            let is_caller = kind == Kind::CallerItems;
            let (sender, known) = if is_caller { (&caller, request) } else { (&callee, ticket) };
            sender.send(Header { kind, flags: begun, ext_len: total.len() as u16, ..known }, &total).await;
            assert_eq!(caller.outcome().await, (0, Some(ErrorCode::PayloadTooLarge)));
            let (cancel, _) = callee.next().await;
            assert_eq!((cancel.kind, cancel.slot, cancel.generation), (Kind::Cancel, slot, generation));
            callee.answer(ticket, &[]).await;
            world.until(|stats| stats.calls_in_flight == 0).await;
            if is_caller {
                // It had its answer; the callee's own is one too many.
                assert_eq!(caller.outcome().await, (0, None));
            }
        }
    });
}

#[test]
fn nodes_that_are_asked_to_stop_and_leave_are_told_from_those_that_stay() {
    on_each(defaults(), async |world: World| {
        let fd = world.controller.join().unwrap();
        let mut own = Node::shake(Stream::from_unix_fd(fd).unwrap(), "own", 1, Secret::Peer).await.unwrap();
        let mut obeys = world.node("obeys").await;
        let _stays = world.node("stays").await;
        let stopping = world.controller.stop_nodes(Duration::from_millis(200));
        let obeying = async {
            assert_eq!(obeys.next().await.0.kind, Kind::Stop);
            obeys.stream.shutdown(std::net::Shutdown::Both).unwrap();
        };
        let (stopped, ()) = tokio::join!(stopping, obeying);
        assert_eq!((&stopped.stopped[..], &stopped.remaining[..]), (&["obeys".into()][..], &["stays".into()][..]));
        let (index, mut heard) = (own.index, Vec::new());
        own.send(Header::new(Kind::Ping), &[]).await;
        while heard.last() != Some(&Kind::Pong) {
            heard.push(own.any().await.unwrap().0.kind);
        }
        assert!(!heard.contains(&Kind::Stop), "the own node {index} was asked, too");
    });
}

#[test]
fn a_flood_of_frames_that_are_no_calls_closes_its_sender_alone() {
    on_each(defaults(), async |world: World| {
        let mut innocent = world.exposing("innocent", &["f"]).await;
        for flood in
            [control::frame(Kind::Register, &Register::default()).unwrap(), Header::new(Kind::Ping).encode().to_vec()]
        {
            let mut node = world.node("hasty").await;
            let writing = async {
                for _ in 0..100 {
                    if node.stream.write_all(&flood.repeat(100)).await.is_err() {
                        break;
                    }
                }
            };
            writing.await;
            let mut code = None;
            while let Some((header, body)) = node.any().await {
                if header.kind == Kind::Refused {
                    code = ErrorCode::from_u32(control::parse::<Refused>(&body).unwrap().code);
                }
            }
            assert!(code.is_none_or(|code| code == ErrorCode::EnhanceYourCalm), "{code:?}");
            world.until(|stats| stats.nodes == 1).await;
        }
        let mut caller = world.node("caller").await;
        let request = caller.request(0, "f", 1).await;
        caller.send(request, &[]).await;
        let (ticket, _) = innocent.next().await;
        innocent.answer(ticket, &[]).await;
        assert_eq!(caller.outcome().await, (0, None));
    });
}

#[test]
fn a_hundred_thousand_callbacks_are_no_flood() {
    on_each(defaults(), async |world: World| {
        let node = world.node("large").await;
        for at in 0..400 {
            let add = (0..250).map(|n| format!("callback {at} {n}")).collect();
            let register = control::frame(Kind::Register, &Register { add, remove: vec![] }).unwrap();
            node.stream.write_all(&register).await.unwrap();
        }
        let mut caller = world.node("caller").await;
        caller.until(|node| node.exposes.len() == 100_000).await;
    });
}

#[test]
fn a_holder_of_a_name_that_answers_nothing_loses_it_and_one_that_answers_keeps_it() {
    on_each(defaults(), async |world: World| {
        let _silent = world.try_node("silent", 1).await.unwrap();
        let mut alive = world.try_node("alive", 1).await.unwrap();
        let answering = async { while alive.try_next().await.is_some() {} };
        let claiming = async {
            let refused = world.try_node("alive", 2).await.err().expect("the name is taken");
            assert_eq!(refused.code, ErrorCode::NameInUse);
            let begun = Instant::now();
            let taken = world.try_node("silent", 2).await.unwrap();
            assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
            drop(taken);
        };
        tokio::select! {
            () = answering => panic!("the one that answers was closed"),
            () = claiming => {}
        }
    });
}

#[test]
fn beyond_the_buffer_of_all_the_node_that_holds_most_goes() {
    let options =
        ControllerOptions { buffer_budget: 4 << 20, outbound_soft: 64 << 20, outbound_hard: 64 << 20, ..defaults() };
    on_each(options, async |world: World| {
        let _greedy = world.exposing("greedy", &["f"]).await;
        let mut modest = world.exposing("modest", &["g"]).await;
        let mut caller = world.node("caller").await;
        let flood = Header { flags: flags::NO_REPLY, ..caller.request(0, "f", 1).await };
        let payload = vec![0; 256 * 1024];
        while world.controller.stats().nodes == 3 {
            caller.send(flood, &payload).await;
        }
        let request = caller.request(1, "g", 1).await;
        caller.send(request, &[]).await;
        let (ticket, _) = modest.next().await;
        modest.answer(ticket, &[]).await;
        loop {
            let (header, _) = caller.next().await;
            if header.slot == 1 {
                break;
            }
        }
        world.until(|stats| stats.queued_bytes == 0).await;
    });
}

#[test]
fn wrong_proofs_hold_nobody_up_for_longer_than_a_second() {
    on_each(ControllerOptions { token: Some("right".into()), ..defaults() }, async |world: World| {
        let wrong = Secret::Token("wrong".into());
        let mut attempts = Vec::new();
        for at in 0..12_u8 {
            let stream = world.raw().await;
            let secret = wrong.clone();
            attempts
                .push(async move { Node::shake(stream, "intruder", at, secret).await.err().map(|error| error.code) });
        }
        for attempt in attempts {
            let code = attempt.await;
            assert!(matches!(code, Some(ErrorCode::Unauthorized | ErrorCode::ConnectionLost)), "{code:?}");
        }
        let begun = Instant::now();
        let right = Node::shake(world.raw().await, "right", 1, Secret::Token("right".into())).await;
        assert!(right.is_ok());
        assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    });
}

#[test]
fn frames_of_any_size_cut_anywhere_arrive_whole() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        let mut caller = world.node("caller").await;
        let request = Header { flags: flags::NO_REPLY, ..caller.request(0, "f", 1).await };
        let sizes = [0, 1, 7, 8, 100, 16_359, 16_360, 16_361, 20_001, 100_000, 262_144, 3, 250_001, 0, 65_536];
        let bytes: Vec<u8> = sizes.iter().flat_map(|size| request.frame(&vec![*size as u8; *size])).collect();
        for step in [1, 23, 4_099, 70_001, bytes.len()] {
            // A cut a byte would take minutes for all of it; the headers and ends are what matters.
            let bytes = if step == 1 { &bytes[..200] } else { &bytes[..] };
            let whole = if step == 1 { 4 } else { sizes.len() };
            let sending = async {
                for cut in bytes.chunks(step) {
                    caller.stream.write_all(cut).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let receiving = async {
                for size in &sizes[..whole] {
                    let (_, body) = callee.next().await;
                    assert!(body == vec![*size as u8; *size], "{size} bytes in cuts of {step}");
                }
            };
            tokio::join!(sending, receiving);
            if step == 1 {
                let rest: Vec<u8> = request.frame(&[100; 100]);
                let begun = 200 - sizes[..whole].iter().map(|size| request.frame(&vec![0; *size]).len()).sum::<usize>();
                caller.stream.write_all(&rest[begun..]).await.unwrap();
                assert_eq!(callee.next().await.1, [100; 100]);
            }
        }
    });
}

#[test]
fn a_node_that_does_not_read_hurts_neither_memory_nor_an_innocent_pair() {
    let options = ControllerOptions {
        outbound_soft: 256 * 1024,
        outbound_hard: 4 * 1024 * 1024,
        stall: Duration::from_millis(600),
        ..defaults()
    };
    on_each(options, async |world: World| {
        let frozen = world.exposing("frozen", &["f"]).await;
        let mut flooder = world.node("flooder").await;
        let mut echo = world.exposing("echo", &["g"]).await;
        let mut innocent = world.node("innocent").await;
        let flood = async {
            let request = Header { node: frozen.index, generation: 1, ..Header::new(Kind::Request) };
            let body = vec![0; 64 * 1024];
            let mut bytes = Vec::new();
            for slot in 0..FLOOD {
                bytes.extend(Header { slot, ..request }.frame(&body));
            }
            let sent = async { flooder.stream.write_all(&bytes).await.unwrap() };
            sent.await;
            let mut counts = BTreeMap::new();
            for _ in 0..FLOOD {
                *counts.entry(flooder.outcome().await.1.unwrap() as u32).or_insert(0) += 1;
            }
            assert!(counts[&(ErrorCode::NodeLost as u32)] > 0, "{counts:?}");
            assert_eq!(counts.values().sum::<u32>(), FLOOD);
        };
        let innocents = async {
            let request = innocent.request(0, "g", 1).await;
            for slot in 0..2000 {
                innocent.send(Header { slot, ..request }, b"ping").await;
                let (asked, body) = echo.next().await;
                echo.answer(asked, &body).await;
                assert_eq!(innocent.outcome().await, (slot, None));
                assert!(world.controller.stats().queued_bytes < 8 * 1024 * 1024);
            }
        };
        tokio::join!(flood, innocents);
        world.until(|stats| stats.nodes == 3 && stats.queued_bytes == 0 && stats.calls_in_flight == 0).await;
    });
}

#[test]
fn of_too_many_that_have_not_proved_themselves_the_oldest_goes() {
    on_each(ControllerOptions { max_unauthenticated: 4, ..defaults() }, async |world: World| {
        let mut silent = Vec::new();
        for count in 1..=5 {
            silent.push(world.raw().await);
            world.until(|stats| stats.unauthenticated == count.min(4)).await;
        }
        assert_eq!(silent[0].read(&mut [0; 1]).await.unwrap_or(0), 0);
        world.node("legit").await;
    });
}

#[test]
fn registrations_are_checked_and_a_bad_one_closes_the_node() {
    on_each(defaults(), async |world: World| {
        let mut node = world.node("node").await;
        let register = daffi_protocol::control::Register { add: vec!["a\nb".into()], remove: vec![] };
        let frame = daffi_protocol::control::frame(Kind::Register, &register).unwrap();
        node.stream.write_all(&frame).await.unwrap();
        let (header, body) = node.next().await;
        assert_eq!(header.kind, Kind::Refused);
        let refused: daffi_protocol::control::Refused = daffi_protocol::control::parse(&body).unwrap();
        assert_eq!(refused.code, ErrorCode::InvalidName as u32);
    });
}

#[test]
fn a_registry_larger_than_a_frame_reaches_a_newcomer_whole() {
    on_each(defaults(), async |world: World| {
        let names: Vec<String> = (0..6000).map(|n| format!("{n:0>100}")).collect();
        let mut node = world.node("node").await;
        for some in names.chunks(1000) {
            node.register(&some.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        let index = node.index;
        let mut newcomer = world.node("newcomer").await;
        assert!(newcomer.names.len() < names.len(), "the welcome held a part");
        newcomer.until(|newcomer| names.iter().all(|name| newcomer.exposes_named(index, name))).await;
    });
}

#[test]
fn close_lets_calls_end_refuses_new_ones_and_releases_the_address() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        let mut caller = world.node("caller").await;
        let request = caller.request(0, "f", 1).await;
        caller.send(request, &[]).await;
        let (asked, _) = callee.next().await;
        let closing = world.controller.close(Duration::from_secs(5));
        let nodes = async {
            assert_eq!(caller.next().await.0.kind, Kind::Goodbye);
            caller.send(Header { slot: 1, ..request }, &[]).await;
            assert_eq!(caller.outcome().await, (1, Some(ErrorCode::ControllerStopped)));
            let error = world.try_node("late", 0).await.map(|_| ()).unwrap_err();
            assert!(matches!(error.code, ErrorCode::ControllerStopped | ErrorCode::ConnectionLost), "{error}");
            callee.answer(asked, &[]).await;
            assert_eq!(caller.outcome().await, (0, None));
            assert!(caller.try_next().await.is_none());
            drop((caller, callee));
        };
        tokio::join!(closing, nodes);
        let address = world.controller.address().clone();
        if let Address::Unix { path } = &address {
            assert!(!path.exists());
        }
        world.controller.close(Duration::ZERO).await;
        assert!(world.controller.join().is_err());
        let cookie = Some(world.folder.join("cookie"));
        let again = ControllerOptions { address: Some(address), cookie, ..defaults() };
        let again = Controller::start(again).await.unwrap();
        again.close(Duration::ZERO).await;
    });
}

#[test]
fn close_gives_up_calls_that_outlast_the_drain() {
    on_each(defaults(), async |world: World| {
        let mut callee = world.exposing("callee", &["f"]).await;
        let mut caller = world.node("caller").await;
        let request = caller.request(0, "f", 1).await;
        caller.send(request, &[]).await;
        callee.next().await;
        let started = Instant::now();
        world.controller.close(Duration::from_millis(50)).await;
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(caller.next().await.0.kind, Kind::Goodbye);
        assert!(caller.try_next().await.is_none());
    });
}

#[test]
fn an_address_that_is_taken_is_refused_while_its_controller_lives() {
    on_each(defaults(), async |world: World| {
        let address = Some(world.controller.address().clone());
        let error = Controller::start(ControllerOptions { address, ..defaults() }).await.map(|_| ()).unwrap_err();
        assert_eq!(error.code, ErrorCode::AddressInUse);
        world.node("unharmed").await;
    });
}

#[test]
fn remote_listening_needs_a_token_and_a_token_is_asked_of_nodes() {
    on_each(ControllerOptions { token: Some("open sesame".into()), ..defaults() }, async |world: World| {
        let node = Node::shake(world.raw().await, "node", 0, Secret::Token("open sesame".into())).await.unwrap();
        assert_eq!(node.welcome.local, matches!(world.controller.address(), Address::Unix { .. }));
        for wrong in [Secret::Token("open".into()), Secret::Peer, Secret::Cookie([0; 32])] {
            let error = Node::shake(world.raw().await, "eve", 0, wrong).await.map(|_| ()).unwrap_err();
            assert_eq!(error.code, ErrorCode::Unauthorized);
        }
        let bare = ControllerOptions { allow_remote: true, ..defaults() };
        assert_eq!(Controller::start(bare).await.map(|_| ()).unwrap_err().code, ErrorCode::Unauthorized);
    });
}

/// Requests of 64 KiB, more than sockets and queues hold.
const FLOOD: u32 = 400;
