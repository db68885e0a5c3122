//! The bodies of control messages and extensions: what can be read is written and read as the same again.

use daffi_protocol::control::{self, Challenge, Goodbye, Hello, Proof, Refused, Register, RegistryChange, Welcome};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{Header, Kind, extension};
use std::fmt::Debug;

/// The first byte says as what the rest is read.
///
/// # Panics
///
/// When something is not the same the second time.
pub fn check(input: &[u8]) {
    let Some((&kind, body)) = input.split_first() else { return };
    macro_rules! read_twice {
        ($message:ty, $kind:expr) => {
            if let Ok(message) = control::parse::<$message>(body) {
                let frame = control::frame($kind, &message).expect("what was read can be written");
                let header = Header::decode(&frame).expect("a frame").expect("a whole header");
                let again = frame.get(HEADER_BYTES..HEADER_BYTES + header.body_len as usize).unwrap_or_default();
                same(&control::parse::<$message>(again).expect("what was written can be read"), &message);
            }
        };
    }
    match kind % 9 {
        0 => read_twice!(Hello, Kind::Hello),
        1 => read_twice!(Challenge, Kind::Challenge),
        2 => read_twice!(Proof, Kind::Proof),
        3 => read_twice!(Welcome, Kind::Welcome),
        4 => read_twice!(Refused, Kind::Refused),
        5 => read_twice!(Register, Kind::Register),
        6 => read_twice!(RegistryChange, Kind::RegistryChange),
        7 => read_twice!(Goodbye, Kind::Goodbye),
        _ => entries(body),
    }
}

fn same<T: Debug + PartialEq>(again: &T, first: &T) {
    assert_eq!(again, first);
}

fn entries(bytes: &[u8]) {
    let mut again = Vec::new();
    for (tag, value, words) in extension::entries(bytes) {
        let words: Vec<u64> = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        again.extend(extension::entry(tag, value, words.get(..512.min(words.len())).unwrap_or_default()));
        if words.len() > 512 {
            return;
        }
    }
    assert!(bytes.starts_with(&again), "entries are written as they were read");
    assert_eq!(extension::total(&again), extension::total(bytes));
    assert_eq!(extension::message_pack_len(&again), extension::message_pack_len(bytes));
}
