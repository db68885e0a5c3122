//! Whatever comes over the wire: bytes that begin as good frames and are then broken at random. Nothing
//! may panic, and nothing may be taken for more than it is. `DAFFI_SEED` repeats a run, `DAFFI_RUNS`
//! makes it longer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use daffi_protocol::control::{self, Challenge, Goodbye, Hello, Proof, Refused, Register, RegistryChange, Welcome};
use daffi_protocol::limits::{HEADER_BYTES, MAX_FRAME_BODY_BYTES};
use daffi_protocol::prescan::prescan;
use daffi_protocol::{Header, Kind, extension};
use std::path::Path;

/// A generator that needs no crate and repeats itself.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

fn number(name: &str, fallback: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(fallback)
}

/// The frames of `golden/*.hex` and payloads that have broken decoders before (RELIABILITY C11, C12).
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut corpus: Vec<Vec<u8>> = files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let digits: Vec<u32> = text
                .lines()
                .filter(|line| !line.starts_with('#'))
                .flat_map(|line| line.chars().filter_map(|digit| digit.to_digit(16)))
                .collect();
            digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
        })
        .collect();
    corpus.push([0xdc, 0xff, 0xff].repeat(200));
    corpus.push(vec![0xdd, 0x01, 0xff, 0xff, 0xff]);
    corpus.push(vec![0x91; 500]);
    corpus.push(vec![0x80; 500]);
    corpus.push([0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, b'k', 0xc0].to_vec());
    corpus.push([&[0xc9, 0xff, 0xff, 0xff, 0xff, 4][..], &[0; 40]].concat());
    corpus
}

/// Bytes of memory that this process has; 0 where the system does not tell.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Asserts that the process has hardly grown since it had `before`, and tells by how much.
fn grown(what: &str, before: u64) {
    let mib = memory().saturating_sub(before) as f64 / f64::from(1 << 20);
    assert!(mib <= 16.0, "{mib} MiB more after the broken {what}");
    println!("row R1: memory grew by, of broken {what}: {mib:.1} MiB, at most 16 MiB");
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), random.next() as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            4 if !bytes.is_empty() => bytes[at] = [0, 0xff, 0x7f, 0x80, 0xdd, 0xdc, 0xc1][random.below(7)],
            5 => bytes.extend_from_within(..at),
            _ if bytes.len() >= at + 4 => bytes[at..at + 4].copy_from_slice(&(random.next() as u32).to_le_bytes()),
            _ => bytes.push(random.next() as u8),
        }
    }
    bytes.truncate(4096);
}

/// As a connection reads: header by header, each body as what its kind says.
fn walk(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some(header)) = Header::decode(rest) {
        assert!(header.body_len <= MAX_FRAME_BODY_BYTES);
        assert_eq!(Header::decode(&header.encode()), Ok(Some(header)), "a header reads back as it was");
        let Some(frame) = rest.get(..header.frame_len()) else { break };
        let body = &frame[HEADER_BYTES..HEADER_BYTES + header.body_len as usize];
        let (extension, payload) = body.split_at(usize::from(header.ext_len));
        assert!(extension::entries(extension).count() <= extension.len() / 8);
        let _ = (extension::total(extension), extension::message_pack_len(extension));
        match header.kind {
            Kind::Hello => drop(control::parse::<Hello>(body)),
            Kind::Challenge => drop(control::parse::<Challenge>(body)),
            Kind::Proof => drop(control::parse::<Proof>(body)),
            Kind::Welcome => drop(control::parse::<Welcome>(body)),
            Kind::Refused => drop(control::parse::<Refused>(body)),
            Kind::Register => drop(control::parse::<Register>(body)),
            Kind::RegistryChange => drop(control::parse::<RegistryChange>(body)),
            Kind::Goodbye | Kind::Stop => drop(control::parse::<Goodbye>(body)),
            _ => drop(prescan(payload)),
        }
        rest = &rest[header.frame_len()..];
    }
}

#[test]
fn a_million_broken_frames_panic_nothing() {
    let seed = number("DAFFI_SEED", 0x9e37_79b9_7f4a_7c15);
    let runs = number("DAFFI_RUNS", 1_000_000);
    println!("DAFFI_SEED={seed} DAFFI_RUNS={runs}");
    let corpus = corpus();
    let mut random = Random(seed | 1);
    let mut bytes = Vec::new();
    let before = memory();
    for run in 0..runs {
        // Several rounds on one input lead further away than a round on each.
        if run % 4 == 0 || bytes.is_empty() {
            bytes.clone_from(&corpus[random.below(corpus.len())]);
        }
        mutate(&mut bytes, &mut random);
        walk(&bytes);
    }
    grown("frames", before);
    println!("row R1: broken frames decoded without a panic: {runs}, at least 1000000");
}

#[test]
fn a_million_broken_payloads_panic_nothing_and_none_promises_more_than_it_holds() {
    let seed = number("DAFFI_SEED", 0x2545_f491_4f6c_dd1d);
    let corpus = corpus();
    let mut random = Random(seed | 1);
    let mut bytes = Vec::new();
    let mut sound = 0_u64;
    let runs = number("DAFFI_RUNS", 1_000_000);
    let before = memory();
    for run in 0..runs {
        if run % 4 == 0 || bytes.is_empty() {
            let whole = &corpus[random.below(corpus.len())];
            bytes.clear();
            bytes.extend_from_slice(whole.get(HEADER_BYTES..).unwrap_or(whole));
        }
        mutate(&mut bytes, &mut random);
        if prescan(&bytes).is_ok() {
            sound += 1;
            // What passed is whole: no shorter part of it is.
            assert!(prescan(&bytes[..bytes.len() - 1]).is_err());
        }
    }
    println!("{sound} were sound");
    grown("payloads", before);
    println!("row R1: broken payloads scanned without a panic: {runs}, at least 1000000");
    assert!(sound > 0, "mutations must not all be refused");
}

#[test]
fn every_cut_of_every_frame_waits_for_more_or_is_refused() {
    for whole in corpus() {
        for end in 0..whole.len() {
            walk(&whole[..end]);
        }
    }
}
