//! A registry change that is encoded as it grows, so that what thousands of welcomes hold is encoded once.

use crate::control::{RegistryChange, Welcome};
use crate::{Header, Kind};
use rmp_serde::encode::Error;
use serde::Serialize;

/// A [`RegistryChange`] of which nobody has left, as MessagePack.
#[derive(Debug, Default)]
pub struct GrowingChange {
    joined: List,
    names: List,
    exposes: List,
    withdraws: List,
}

/// The items of one list, encoded one behind the other.
#[derive(Debug, Default)]
struct List {
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<u32>,
}

impl GrowingChange {
    /// A node that joined.
    pub fn join(&mut self, index: u32, name: &str) {
        self.joined.push(&(index, name));
    }

    /// A callback id that is used for the first time.
    pub fn name(&mut self, id: u32, name: &str) {
        self.names.push(&(id, name));
    }

    /// What a node now exposes.
    pub fn expose(&mut self, node: u32, ids: &[u32]) {
        self.exposes.push(&(node, ids));
    }

    /// What a node no longer exposes.
    pub fn withdraw(&mut self, node: u32, ids: &[u32]) {
        self.withdraws.push(&(node, ids));
    }

    /// Bytes of all items.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.joined.bytes.len() + self.names.bytes.len() + self.exposes.bytes.len() + self.withdraws.bytes.len()
    }

    /// Whether it tells nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.is_empty_without(0)
    }

    /// Whether it tells nothing but that so many nodes joined.
    #[must_use]
    pub const fn is_empty_without(&self, joined: usize) -> bool {
        self.joined.starts.len() <= joined && self.len() == self.joined.bytes.len()
    }

    /// The body that a [`RegistryChange`] of the same items has for whoever reads it.
    ///
    /// # Errors
    ///
    /// As [`crate::control::frame`].
    pub fn body(&self) -> Result<Vec<u8>, Error> {
        self.body_without(0)
    }

    /// The same without the first `joined` nodes that joined.
    ///
    /// # Errors
    ///
    /// As [`crate::control::frame`].
    pub fn body_without(&self, joined: usize) -> Result<Vec<u8>, Error> {
        let none = List::default();
        let lists = [
            ("joined", &self.joined, joined),
            ("names", &self.names, 0),
            ("exposes", &self.exposes, 0),
            ("withdraws", &self.withdraws, 0),
            ("left", &none, 0),
        ];
        let mut body = Vec::with_capacity(self.len() + FIELDS_BYTES);
        body.push(MAP_OF_FIVE);
        for (name, list, skipped) in lists {
            rmp_serde::encode::write(&mut body, name)?;
            list.write(&mut body, skipped);
        }
        Ok(body)
    }
}

impl List {
    fn push(&mut self, item: &impl Serialize) {
        let start = self.bytes.len();
        if rmp_serde::encode::write(&mut self.bytes, item).is_ok() {
            self.starts.push(u32::try_from(start).unwrap_or(u32::MAX));
        } else {
            self.bytes.truncate(start);
        }
    }

    /// Writes all items but the first `skipped`.
    fn write(&self, to: &mut Vec<u8>, skipped: usize) {
        let items = self.starts.get(skipped..).unwrap_or_default();
        let start = items.first().map_or(self.bytes.len(), |start| *start as usize);
        to.push(ARRAY_32);
        to.extend_from_slice(&u32::try_from(items.len()).unwrap_or(u32::MAX).to_be_bytes());
        to.extend_from_slice(self.bytes.get(start..).unwrap_or_default());
    }
}

/// The frame of a welcome whose registry is `registry`, the body of a change; that of `welcome` is to be empty.
///
/// # Errors
///
/// As [`crate::control::frame`].
pub fn welcome_frame(welcome: &Welcome, registry: &[u8]) -> Result<Vec<u8>, Error> {
    let mut body = rmp_serde::to_vec_named(welcome)?;
    // It is the last field.
    let empty = rmp_serde::to_vec_named(&RegistryChange::default())?;
    body.truncate(body.len().saturating_sub(empty.len()));
    body.extend_from_slice(registry);
    Ok(Header::new(Kind::Welcome).frame(&body))
}

/// MessagePack: a map of five entries, an array whose length follows in four bytes.
const MAP_OF_FIVE: u8 = 0x85;
const ARRAY_32: u8 = 0xdd;
/// What the names and lengths of the fields take.
const FIELDS_BYTES: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{self, parse};
    use crate::limits::HEADER_BYTES;

    fn change() -> RegistryChange {
        RegistryChange {
            joined: (1..=300).map(|index| (index * 1000, format!("node-{index}"))).collect(),
            names: vec![(1, "add".into()), (70_000, "*ü".into())],
            exposes: vec![(1000, vec![1, 70_000]), (2000, vec![1]), (1000, vec![])],
            withdraws: vec![(3000, vec![1])],
            ..RegistryChange::default()
        }
    }

    fn growing(change: &RegistryChange) -> GrowingChange {
        let mut growing = GrowingChange::default();
        change.joined.iter().for_each(|(index, name)| growing.join(*index, name));
        change.names.iter().for_each(|(id, name)| growing.name(*id, name));
        change.exposes.iter().for_each(|(node, ids)| growing.expose(*node, ids));
        change.withdraws.iter().for_each(|(node, ids)| growing.withdraw(*node, ids));
        growing
    }

    #[test]
    fn what_grew_reads_as_the_change_of_the_same_items() {
        assert!(GrowingChange::default().is_empty());
        for change in [RegistryChange::default(), change()] {
            let body = growing(&change).body().unwrap();
            assert_eq!(parse::<RegistryChange>(&body).unwrap(), change);
            for skipped in [1, 299, 300, 301] {
                let body = growing(&change).body_without(skipped).unwrap();
                let joined = change.joined.iter().skip(skipped).cloned().collect();
                assert_eq!(parse::<RegistryChange>(&body).unwrap(), RegistryChange { joined, ..change.clone() });
            }
        }
    }

    #[test]
    fn a_welcome_around_an_encoded_registry_reads_as_one_that_was_encoded_whole() {
        let welcome = Welcome {
            proof: vec![1, 2, 3],
            node: 7,
            controller: "own".into(),
            max_payload: 1 << 26,
            heartbeat_ms: 5000,
            dead_ms: 15_000,
            local: true,
            grant: Some(control::GrantNotice { expose: vec!["a*".into()], admin: true }),
            registry: RegistryChange::default(),
        };
        for registry in [RegistryChange::default(), change()] {
            let body = growing(&registry).body().unwrap();
            let frame = welcome_frame(&welcome, &body).unwrap();
            let header = Header::decode(&frame).unwrap().unwrap();
            assert_eq!((header.kind, header.frame_len()), (Kind::Welcome, frame.len()));
            let body = &frame[HEADER_BYTES..HEADER_BYTES + header.body_len as usize];
            assert_eq!(parse::<Welcome>(body).unwrap(), Welcome { registry, ..welcome.clone() });
        }
    }
}
