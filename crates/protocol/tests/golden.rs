//! Every kind of frame as bytes that were looked at once and must stay: `tests/golden/*.hex`. A
//! client in another language is right when it reads and writes these.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use daffi_protocol::control::{self, Challenge, Goodbye, Hello, Proof, Refused, Register, RegistryChange, Welcome};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::prescan::{PrescanError, prescan};
use daffi_protocol::{ErrorCode, Header, Kind, PREAMBLE, extension, flags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    assert_eq!(digits.len() % 2, 0, "half a byte");
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// The bytes of a vector: hexadecimal, lines that begin with `#` left out.
fn golden(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(folder().join(name).with_extension("hex")).unwrap();
    assert!(text.starts_with("# "), "{name} does not say what it is");
    unhex(&text.lines().filter(|line| !line.starts_with('#')).collect::<String>())
}

/// Header and body of a vector that is one frame and nothing more.
fn frame(name: &str) -> (Header, Vec<u8>) {
    let bytes = golden(name);
    let header = Header::decode(&bytes).unwrap().unwrap();
    assert_eq!(header.frame_len(), bytes.len(), "{name}");
    let end = HEADER_BYTES + header.body_len as usize;
    assert!(bytes[end..].iter().all(|byte| *byte == 0), "{name} is not padded with zeros");
    for end in 0..HEADER_BYTES {
        assert_eq!(Header::decode(&bytes[..end]), Ok(None), "{name} cut at {end}");
    }
    (header, bytes[HEADER_BYTES..end].to_vec())
}

/// The vector is what `message` becomes, becomes `message` again, and nothing when it is cut.
fn control<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, kind: Kind, message: &T) {
    assert_eq!(control::frame(kind, message).unwrap(), golden(name), "{name}");
    let (header, body) = frame(name);
    assert_eq!(header, Header { body_len: header.body_len, ..Header::new(kind) });
    assert_eq!(&control::parse::<T>(&body).unwrap(), message);
    assert_eq!(prescan(&body), Ok(()));
    for end in 0..body.len() {
        assert!(control::parse::<T>(&body[..end]).is_err(), "{name} cut at {end}");
    }
}

/// The vector is what `header` becomes with this extension and payload, and becomes them again.
fn data(name: &str, header: Header, extension: &[u8], payload: &[u8]) {
    let header = Header { ext_len: u16::try_from(extension.len()).unwrap(), ..header };
    let body = [extension, payload].concat();
    assert_eq!(header.frame(&body), golden(name), "{name}");
    let (decoded, found) = frame(name);
    assert_eq!(decoded, Header { body_len: u32::try_from(body.len()).unwrap(), ..header });
    assert_eq!(found, body);
    assert_eq!(decoded.payload_len(), payload.len());
}

fn counted(from: u8, length: u8) -> Vec<u8> {
    (from..from + length).collect()
}

fn registry() -> RegistryChange {
    RegistryChange {
        joined: vec![(1, "worker".into()), (300, "caller".into())],
        names: vec![(7, "add".into())],
        exposes: vec![(1, vec![7])],
        withdraws: vec![(300, vec![70_000, 8])],
        left: vec![2],
    }
}

/// `[1, 2]` and `3` in MessagePack.
const ARGUMENTS: [u8; 3] = [0x92, 1, 2];
const RESULT: [u8; 1] = [3];

fn request() -> Header {
    Header { slot: 5, generation: 9, callback: 7, ..Header::new(Kind::Request) }
}

fn response() -> Header {
    Header { slot: 5, generation: 9, ..Header::new(Kind::Response) }
}

#[test]
fn the_preamble_is_as_it_was() {
    assert_eq!(golden("preamble"), PREAMBLE);
}

#[test]
fn the_handshake_is_as_it_was() {
    control("hello", Kind::Hello, &Hello { version: 1, role: "node".into(), nonce: counted(0, 32) });
    control("challenge", Kind::Challenge, &Challenge { version: 1, method: "cookie".into(), nonce: counted(32, 32) });
    let (proof, instance) = (counted(64, 32), counted(96, 16));
    let proof = Proof { proof, name: "caller".into(), instance, pid: 4242, memory: false };
    control("proof", Kind::Proof, &proof);
    assert!(control::frame(Kind::Proof, &Proof { memory: true, ..proof }).unwrap().len() > golden("proof").len());
    let welcome = Welcome {
        proof: counted(128, 32),
        node: 300,
        controller: "worker".into(),
        max_payload: 64 << 20,
        heartbeat_ms: 5000,
        dead_ms: 15_000,
        local: true,
        grant: None,
        registry: registry(),
    };
    control("welcome", Kind::Welcome, &welcome);
    let message = "The name caller is taken.".into();
    control("refused", Kind::Refused, &Refused { code: ErrorCode::NameInUse as u32, message });
}

#[test]
fn what_keeps_a_connection_is_as_it_was() {
    data("ping", Header::new(Kind::Ping), &[], &[]);
    data("pong", Header::new(Kind::Pong), &[], &[]);
    data("returned", Header { callback: 3, ..Header::new(Kind::Returned) }, &[], &[]);
    control("goodbye", Kind::Goodbye, &Goodbye { reason: "stop()".into() });
    control(
        "register",
        Kind::Register,
        &Register { add: vec!["add".into(), "ünï".into()], remove: vec!["old".into()] },
    );
    control("registry_change", Kind::RegistryChange, &registry());
    control("stop", Kind::Stop, &Goodbye { reason: "killAll()".into() });
}

#[test]
fn requests_and_responses_are_as_they_were() {
    data("request", request(), &[], &ARGUMENTS);
    let pinned = Header { node: 2, ..request() };
    data("request_with_timeout", pinned, &extension::entry(extension::TAG_TIMEOUT, 500, &[]), &ARGUMENTS);
    data(
        "request_without_reply",
        Header { flags: flags::NO_REPLY, slot: 0, generation: 0, ..request() },
        &[],
        &ARGUMENTS,
    );
    data("response", response(), &[], &RESULT);
    data("response_with_error", Header { callback: ErrorCode::Overloaded as u32, ..response() }, &[], &[0xc0]);
    data("cancel", Header { callback: 0, kind: Kind::Cancel, ..request() }, &[], &[]);
    let transfer = Header { kind: Kind::Transfer, node: 2, callback: 0, ..request() };
    data("transfer", transfer, &[], &[0x93, 0xa1, b'h', 0xc0, 0x90]);
}

#[test]
fn what_is_attached_or_in_pieces_is_as_it_was() {
    // An array of one reference to the attachment, padded, then the attachment itself.
    let payload = [&[0x91, 0xd4, 4, 0][..], &[0; 4], b"binary"].concat();
    let entry = extension::entry(extension::TAG_ATTACHMENTS, 4, &[6]);
    data("request_with_attachment", Header { flags: flags::ATTACHED, ..request() }, &entry, &payload);
    assert_eq!(extension::message_pack_len(&entry), Some(4));

    let total = extension::entry(extension::TAG_TOTAL, 0, &[3]);
    data("request_in_pieces", Header { flags: flags::FRAGMENTED, ..request() }, &total, &ARGUMENTS[..1]);
    data("request_part", Header { kind: Kind::RequestPart, ..request() }, &[], &ARGUMENTS[1..2]);
    data(
        "request_last_part",
        Header { kind: Kind::RequestPart, flags: flags::LAST, ..request() },
        &[],
        &ARGUMENTS[2..],
    );
    let memory = flags::LAST | flags::MEMORY;
    data("request_memory", Header { kind: Kind::RequestPart, flags: memory, callback: 3, ..request() }, &total, &[]);
    let last = Header { kind: Kind::ResponsePart, flags: flags::LAST, ..response() };
    data("response_last_part", last, &[], &RESULT);
    assert_eq!(extension::total(&total), Some(3));
}

#[test]
fn streams_are_as_they_were() {
    let open = Header { node: 2, flags: flags::STREAM | flags::SOURCE, ..request() };
    data("request_with_source", open, &[], &[0x90]);
    let from_caller = Header { kind: Kind::CallerItems, flags: flags::LAST, callback: 300, ..request() };
    data("caller_items", from_caller, &[], &ARGUMENTS);
    let from_callee = Header { kind: Kind::CalleeItems, ..response() };
    data("callee_items", from_callee, &[], &ARGUMENTS);
    data("caller_credit", Header { kind: Kind::CallerCredit, callback: 1024, ..request() }, &[], &[]);
    data("callee_credit", Header { kind: Kind::CalleeCredit, callback: 1024, ..response() }, &[], &[]);
    data("caller_items_part", Header { kind: Kind::CallerItemsPart, ..from_caller }, &[], &ARGUMENTS[2..]);
    let part = Header { kind: Kind::CalleeItemsPart, flags: flags::LAST, ..from_callee };
    data("callee_items_part", part, &[], &ARGUMENTS[2..]);
}

#[test]
fn every_kind_has_a_vector_and_every_vector_is_a_frame() {
    let mut kinds = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name != "preamble" {
            kinds.insert(frame(name).0.kind as u8);
        }
    }
    let known: BTreeSet<u8> = (0..=u8::MAX).filter(|kind| Kind::from_u8(*kind).is_some()).collect();
    assert_eq!(kinds, known);
}

/// The payloads that the TypeScript codec is held to: one pair of name and bytes a line.
fn payloads() -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../__test__/payload/golden.json");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| line.contains("\": \""));
    lines
        .map(|line| {
            let (name, bytes) = line.rsplit_once("\": \"").unwrap();
            (name.trim_start().to_owned(), unhex(bytes.trim_end_matches(['"', ','])))
        })
        .collect()
}

#[test]
fn prescan_passes_every_payload_that_typescript_writes() {
    let payloads = payloads();
    assert!(payloads.len() >= 60, "only {} payloads were found", payloads.len());
    for (name, bytes) in payloads {
        assert_eq!(prescan(&bytes), Ok(()), "{name}");
    }
}

#[test]
fn prescan_refuses_every_truncation_of_them_and_every_byte_behind_them() {
    for (name, bytes) in payloads() {
        for end in 0..bytes.len() {
            assert_eq!(prescan(&bytes[..end]), Err(PrescanError::Truncated), "{name} cut at {end}");
        }
        assert_eq!(prescan(&[&bytes[..], &[0]].concat()), Err(PrescanError::Trailing), "{name}");
    }
}
