//! Payloads as memory between nodes over real sockets: passed on, given back, in pieces where they cannot be, and what ends
//! those who break the rules.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use daffi_core::controller::ControllerOptions;
use daffi_core::controller::grants::{Grant, Names};
use daffi_core::memory::Memory;
use daffi_core::transport::Address;
use daffi_protocol::limits::MAX_LOANS;
use daffi_protocol::{ErrorCode, Header, Kind, extension, flags};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use support::{Node, World, on_each, on_unix};

const BYTES: usize = 3 << 20;

fn payload(seed: u8) -> Vec<u8> {
    (0..BYTES).map(|at| (at as u8).wrapping_mul(31).wrapping_add((at >> 8) as u8).wrapping_add(seed)).collect()
}

/// The announcement of a payload, and the part that stands for it.
fn frames(header: Header, number: u32, bytes: usize) -> Vec<u8> {
    let total = extension::entry(extension::TAG_TOTAL, 0, &[bytes as u64]);
    let ext_len = u16::try_from(total.len()).unwrap();
    let first = Header { flags: header.flags | flags::FRAGMENTED, ext_len, ..header }.frame(&total);
    let flags = flags::LAST | flags::MEMORY;
    let part = Header { kind: header.kind.part(), flags, ext_len, callback: number, ..header }.frame(&total);
    [first, part].concat()
}

fn lend(node: &Node, header: Header, number: u32, payload: &[u8]) -> Memory {
    let memory = Memory::create().unwrap();
    memory.fill(&[payload]).unwrap();
    let frames = frames(header, number, payload.len());
    assert_eq!(node.stream.try_write_memory(&frames, &memory).unwrap(), frames.len());
    memory
}

/// A node that was told that it may send memory.
async fn node(world: &World, name: &str, takes: bool) -> Node {
    let mut node = world.node_with_memory(name).await;
    node.send(Header::new(Kind::Ping), &[]).await;
    assert_eq!(node.next().await.0, Header::new(Kind::Returned));
    node.memory();
    assert_eq!(node.next().await.0, Header::new(Kind::Pong));
    if takes {
        let frame = Header::new(Kind::Returned).encode();
        node.stream.try_write_memory(&frame, &Memory::create().unwrap()).unwrap();
    }
    node
}

async fn is_back(node: &mut Node, number: u32) {
    assert_eq!(node.next().await.0, Header { callback: number, ..Header::new(Kind::Returned) });
}

/// Reads an announced payload in pieces.
async fn pieces(node: &mut Node) -> Vec<u8> {
    let (first, _) = node.next().await;
    assert_eq!((first.kind, first.flags & flags::FRAGMENTED), (Kind::Request, flags::FRAGMENTED));
    let mut bytes = Vec::new();
    loop {
        let (part, body) = node.next().await;
        assert_eq!((part.kind, part.slot, part.callback), (Kind::RequestPart, first.slot, 0));
        bytes.extend(body);
        if part.flags == flags::LAST {
            return bytes;
        }
        assert_eq!(part.flags, 0);
    }
}

#[test]
fn memory_is_passed_on_as_it_is_and_its_owner_has_it_back_when_it_was_read() {
    on_unix(ControllerOptions::default(), async |world: World| {
        let mut callee = node(&world, "callee", true).await;
        callee.register(&["f"]).await;
        let mut caller = node(&world, "caller", true).await;
        let request = caller.request(1, "f", 1).await;
        for round in 1..=3u8 {
            let header = Header { slot: u32::from(round), ..request };
            let memory = lend(&caller, header, u32::from(round), &payload(round));
            let (first, part, received) = callee.next_memory().await;
            assert_eq!((first.kind, first.node, part.slot), (Kind::Request, caller.index, first.slot));
            assert_eq!(part.flags, flags::LAST | flags::MEMORY);
            // The same memory, not a copy of it.
            memory.fill(&[b"changed"]).unwrap();
            let mut bytes = vec![0; BYTES];
            received.read(&mut bytes, 0).unwrap();
            assert!(bytes.starts_with(b"changed") && bytes[7..] == payload(round)[7..], "payload {round} differs");
            callee.send(Header { callback: part.callback, ..Header::new(Kind::Returned) }, &[]).await;
            is_back(&mut caller, u32::from(round)).await;
        }
        // Two nodes may call theirs the same, and they come back in any order.
        let mut other = node(&world, "other", false).await;
        let theirs = other.request(1, "f", 1).await;
        lend(&caller, Header { slot: 8, ..request }, 7, &payload(1));
        let (_, first, _) = callee.next_memory().await;
        lend(&other, theirs, 7, &payload(2));
        let (_, second, _) = callee.next_memory().await;
        for (part, owner) in [(second, &mut other), (first, &mut caller)] {
            callee.send(Header { callback: part.callback, ..Header::new(Kind::Returned) }, &[]).await;
            is_back(owner, 7).await;
        }
        world.until(|stats| stats.queued_bytes == 0).await;
    });
}

#[test]
fn a_node_that_takes_no_memory_gets_pieces_and_the_owner_has_it_back_behind_the_last() {
    on_unix(ControllerOptions::default(), async |world: World| {
        let mut callee = node(&world, "callee", false).await;
        // Its word comes alone: somebody stands between who passes bytes on, and would lose the memory.
        callee.send(Header::new(Kind::Returned), &[]).await;
        callee.register(&["f"]).await;
        let mut caller = node(&world, "caller", false).await;
        let request = caller.request(1, "f", 1).await;
        for round in 1..=3u8 {
            let header = Header { slot: u32::from(round), ..request };
            lend(&caller, header, u32::from(round), &payload(round));
            assert!(pieces(&mut callee).await == payload(round), "payload {round} differs");
            is_back(&mut caller, u32::from(round)).await;
        }
    });
}

#[test]
fn memory_that_nobody_reads_is_back_when_its_reader_is_gone_or_nobody_wants_it() {
    on_unix(ControllerOptions::default(), async |world: World| {
        let mut callee = node(&world, "callee", true).await;
        callee.register(&["f"]).await;
        let mut caller = node(&world, "caller", false).await;
        let request = caller.request(1, "f", 1).await;
        for number in 1..=3 {
            lend(&caller, Header { slot: number, ..request }, number, &payload(1));
        }
        callee.next_memory().await;
        drop(callee);
        let mut back = Vec::new();
        let mut lost = 0;
        while back.len() < 3 || lost < 3 {
            let (header, _) = caller.next().await;
            match header.kind {
                Kind::Returned => back.push(header.callback),
                kind => {
                    assert_eq!((kind, header.callback), (Kind::Response, ErrorCode::NodeLost as u32));
                    lost += 1;
                }
            }
        }
        back.sort_unstable();
        assert_eq!(back, [1, 2, 3]);
        // A part of no call at all.
        lend(&caller, Header { slot: 77, ..request }, 4, &payload(1));
        let mut seen = [caller.next().await.0, caller.next().await.0].map(|header| (header.kind, header.callback));
        seen.sort_by_key(|(kind, _)| *kind as u8);
        assert_eq!(seen, [(Kind::Returned, 4), (Kind::Response, ErrorCode::NoCandidate as u32)]);
    });
}

#[test]
fn a_payload_whose_descriptor_cannot_be_taken_ends_its_call_and_no_other() {
    on_unix(ControllerOptions::default(), async |world: World| {
        let mut callee = node(&world, "callee", true).await;
        callee.register(&["f"]).await;
        let mut caller = node(&world, "caller", true).await;
        let request = caller.request(1, "f", 1).await;
        // There is room for so many in what is asked for one: the next is lost as when there are none left.
        let room = (rustix::cmsg_space!(ScmRights(1)) - 16) / 4;
        let lost = u32::try_from(room).unwrap() + 1;
        let memory = Memory::create().unwrap();
        memory.fill(&[&payload(1)]).unwrap();
        let descriptor = memory.as_fd().try_clone_to_owned().unwrap();
        let asked: Vec<u8> = (1..=lost).flat_map(|slot| frames(Header { slot, ..request }, slot, BYTES)).collect();
        support::send_descriptors(&caller.stream, &asked, &descriptor, room + 1);
        let mut seen = BTreeMap::new();
        while seen.values().sum::<u32>() < 2 * lost {
            let (header, _) = callee.next().await;
            *seen.entry(header.kind as u8).or_insert(0) += 1;
            if header.kind == Kind::RequestPart {
                callee.memory();
                callee.send(Header { callback: header.callback, ..Header::new(Kind::Returned) }, &[]).await;
            }
        }
        let expected = [(Kind::Request, lost), (Kind::Cancel, 1), (Kind::RequestPart, lost - 1)];
        assert_eq!(seen, expected.map(|(kind, times)| (kind as u8, times)).into());
        let mut told = Vec::new();
        for _ in 0..=lost {
            let (header, _) = caller.next().await;
            told.push((header.kind as u8, header.slot, header.callback));
        }
        told.sort_unstable();
        assert_eq!(told.pop(), Some((Kind::Response as u8, lost, ErrorCode::Overloaded as u32)));
        assert_eq!(told, (1..=lost).map(|number| (Kind::Returned as u8, 0, number)).collect::<Vec<_>>());
        // An answer, too.
        let ask = caller.request(900, "f", 1).await;
        caller.send(ask, &[]).await;
        let (asked, _) = callee.next().await;
        let answer = Header { kind: Kind::Response, callback: 0, node: 0, flags: 0, ..asked };
        let mut answers: Vec<u8> =
            (1..lost).flat_map(|number| frames(Header { slot: 999, ..answer }, number, BYTES)).collect();
        answers.extend(frames(answer, lost, BYTES));
        support::send_descriptors(&callee.stream, &answers, &descriptor, room + 1);
        let (first, _) = caller.next().await;
        assert_eq!((first.kind, first.slot, first.flags), (Kind::Response, 900, flags::FRAGMENTED));
        assert_eq!(caller.outcome().await, (900, Some(ErrorCode::Overloaded)));
        world.until(|stats| stats.calls_in_flight == u64::from(lost)).await;
    });
}

#[test]
fn who_breaks_the_rules_of_memory_is_closed_and_nobody_else() {
    on_unix(ControllerOptions::default(), async |world: World| {
        let mut innocent = node(&world, "innocent", true).await;
        innocent.register(&["f"]).await;
        let part = |slot| Header {
            kind: Kind::RequestPart,
            flags: flags::LAST | flags::MEMORY,
            slot,
            ..Header::new(Kind::RequestPart)
        };
        type Break = fn(&Node, Header);
        let cases: [(&str, Break); 5] = [
            ("a part without memory", |node, part| {
                node.stream.try_write(&part.frame(&[])).unwrap();
            }),
            ("a part with memory and a body", |node, part| {
                let frame = part.frame(&[1; 8]);
                node.stream.try_write_memory(&frame, &Memory::create().unwrap()).unwrap();
            }),
            ("what is no memory", |node, part| {
                let file: OwnedFd = std::fs::File::open("/proc/self/exe").unwrap().into();
                support::send_descriptors(&node.stream, &part.frame(&[]), &file, 1);
            }),
            ("memory back that it has not got", |node, _| {
                let frame = Header { callback: 5, ..Header::new(Kind::Returned) }.encode();
                node.stream.try_write(&frame).unwrap();
            }),
            ("that it takes memory, twice", |node, _| {
                node.stream.try_write(&Header::new(Kind::Returned).encode().repeat(2)).unwrap();
            }),
        ];
        for (index, (what, break_rules)) in cases.into_iter().enumerate() {
            let mut guilty = node(&world, &format!("guilty-{index}"), false).await;
            break_rules(&guilty, part(1));
            let (refused, body) = guilty.next().await;
            assert_eq!(refused.kind, Kind::Refused, "{what}");
            let refused: daffi_protocol::control::Refused = daffi_protocol::control::parse(&body).unwrap();
            assert_eq!(refused.code, ErrorCode::Protocol as u32, "{what}: {}", refused.message);
        }
        // Descriptors that come along with what needs none.
        let mut guilty = node(&world, "generous", false).await;
        let ping = Header::new(Kind::Ping).encode();
        let memory = Memory::create().unwrap();
        for _ in 0..=MAX_LOANS {
            let sent = guilty.stream.try_write_memory(&ping, &memory);
            assert!(sent.is_ok_and(|sent| sent == ping.len()));
        }
        while guilty.try_next().await.is_some() {}
        // More than it may, of which nothing is read.
        let mut guilty = node(&world, "greedy", false).await;
        let request = guilty.request(1, "f", 1).await;
        for number in 1..=MAX_LOANS as u32 + 1 {
            lend(&guilty, Header { slot: number, ..request }, number, b"small");
        }
        while guilty.try_next().await.is_some_and(|(header, _)| header.kind != Kind::Refused) {}
        world.until(|stats| stats.nodes == 1).await;
        let mut caller = node(&world, "caller", true).await;
        let back = caller.request(1, "f", 1).await;
        lend(&caller, back, 9, &payload(9));
        // As memory or in pieces: it has as many loans of the greedy one to read as it may have.
        let (mut bytes, mut slot) = (Vec::new(), None);
        while bytes.len() < BYTES {
            let (header, body) = innocent.next().await;
            match header.kind {
                Kind::Request if header.node == caller.index => slot = Some(header.slot),
                Kind::RequestPart if header.flags & flags::MEMORY != 0 => {
                    let memory = innocent.memory();
                    innocent.send(Header { callback: header.callback, ..Header::new(Kind::Returned) }, &[]).await;
                    if slot == Some(header.slot) {
                        bytes.resize(BYTES, 0);
                        memory.read(&mut bytes, 0).unwrap();
                    }
                }
                Kind::RequestPart => bytes.extend(body),
                _ => {}
            }
        }
        assert!(bytes == payload(9), "the payload differs");
        is_back(&mut caller, 9).await;
    });
}

#[test]
fn memory_is_for_nodes_that_may_do_what_they_like_where_it_can_go() {
    async fn first(world: World) -> Kind {
        let mut node = world.node_with_memory("node").await;
        node.send(Header::new(Kind::Ping), &[]).await;
        node.next().await.0.kind
    }
    let names = Names::All;
    let grant = Grant {
        nodes: vec!["*".into()],
        token: None,
        call: names.clone(),
        expose: names,
        schedule: true,
        transfer: true,
        admin: true,
    };
    let restricted = ControllerOptions { grants: Some(vec![Arc::new(grant)]), ..ControllerOptions::default() };
    on_unix(restricted, async |world: World| assert_eq!(first(world).await, Kind::Pong));
    on_unix(ControllerOptions::default(), async |world: World| assert_eq!(first(world).await, Kind::Returned));
    on_each(ControllerOptions::default(), async |world: World| {
        let is_unix = matches!(world.controller.address(), Address::Unix { .. });
        assert_eq!(first(world).await, if is_unix { Kind::Returned } else { Kind::Pong });
    });
}
