//! Who is connected and who exposes what. Pure: no socket, no clock.

use super::changes::{Changes, Pending};
use super::snapshot::{Snapshot, Told};
use daffi_protocol::ErrorCode;
use daffi_protocol::control::{Register, RegistryChange, is_valid_name};
use daffi_protocol::limits::MAX_CALLBACKS;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

/// All nodes, all callbacks, and what changed since it was last told.
#[derive(Debug, Default)]
pub struct Registry {
    nodes: BTreeMap<u32, Entry>,
    callbacks: FxHashMap<u32, Callback>,
    /// Callback id by name.
    ids: FxHashMap<String, u32>,
    /// Node index by name.
    names: FxHashMap<String, u32>,
    last_node: u32,
    last_callback: u32,
    pending: Pending,
    /// What a newcomer is told.
    snapshot: Snapshot,
    /// Somebody came since the last tick.
    is_asked: bool,
}

#[derive(Debug)]
struct Entry {
    name: String,
    exposes: BTreeSet<u32>,
}

#[derive(Debug)]
struct Callback {
    name: String,
    nodes: Vec<u32>,
}

impl Registry {
    /// The node of this name.
    #[must_use]
    pub fn node_named(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// The name of a callback that some node exposes.
    #[must_use]
    pub fn callback_named(&self, callback: u32) -> Option<&str> {
        self.callbacks.get(&callback).map(|callback| callback.name.as_str())
    }

    /// The nodes that expose a callback, in no order.
    #[must_use]
    pub fn exposers(&self, callback: u32) -> &[u32] {
        self.callbacks.get(&callback).map_or(&[], |callback| &callback.nodes)
    }

    /// Adds a node whose name is free and gives its index, which is never used again.
    pub fn join(&mut self, name: &str) -> u32 {
        self.last_node += 1;
        let index = self.last_node;
        self.names.insert(name.to_owned(), index);
        self.snapshot.join(index, name);
        self.nodes.insert(index, Entry { name: name.to_owned(), exposes: BTreeSet::new() });
        self.pending.join(index, name);
        index
    }

    /// Removes a node with all that it exposes.
    pub fn leave(&mut self, index: u32) {
        let Some(entry) = self.nodes.remove(&index) else { return };
        self.names.remove(&entry.name);
        self.snapshot.forget();
        for id in entry.exposes {
            self.withdraw(index, id);
        }
        self.pending.leave(index, self.last_node);
    }

    /// Applies what a node says of itself, and gives the change to tell it at once.
    ///
    /// # Errors
    ///
    /// `InvalidName` or `QuotaExceeded`; nothing was applied then.
    pub fn register(&mut self, index: u32, register: &Register) -> Result<RegistryChange, ErrorCode> {
        let Some(entry) = self.nodes.get_mut(&index) else { return Err(ErrorCode::NoSuchNode) };
        if !register.add.iter().all(|name| is_valid_name(name)) {
            return Err(ErrorCode::InvalidName);
        }
        if entry.exposes.len() + register.add.len() > MAX_CALLBACKS {
            return Err(ErrorCode::QuotaExceeded);
        }
        let mut own = RegistryChange::default();
        let mut added = Vec::new();
        for name in &register.add {
            let id = self.ids.get(name).copied().unwrap_or_else(|| {
                self.last_callback += 1;
                let id = self.last_callback;
                self.ids.insert(name.clone(), id);
                self.callbacks.insert(id, Callback { name: name.clone(), nodes: Vec::new() });
                self.pending.name(id, name);
                self.snapshot.name(id, name);
                id
            });
            // The node may not know the name yet, though others do.
            own.names.push((id, name.clone()));
            if entry.exposes.insert(id) {
                added.push(id);
                if let Some(callback) = self.callbacks.get_mut(&id) {
                    callback.nodes.push(index);
                }
                self.pending.expose(index, id);
            }
        }
        let mut removed = Vec::new();
        for name in &register.remove {
            if let Some(&id) = self.ids.get(name)
                && entry.exposes.remove(&id)
            {
                removed.push(id);
            }
        }
        for id in &removed {
            self.withdraw(index, *id);
            self.pending.withdraw(index, *id);
        }
        if !added.is_empty() {
            self.snapshot.expose(index, &added);
            own.exposes.push((index, added));
        }
        if !removed.is_empty() {
            self.snapshot.forget();
            own.withdraws.push((index, removed));
        }
        Ok(own)
    }

    /// What the node `to` must know before it gets something from `node`; `None` when it knows that already.
    pub fn introduce(&mut self, node: u32, to: u32) -> Option<RegistryChange> {
        if !self.pending.introduce(node, to) {
            return None;
        }
        let entry = self.nodes.get(&node)?;
        let mut change = RegistryChange { joined: vec![(node, entry.name.clone())], ..RegistryChange::default() };
        // So that it can be called back; who exposes more than that is known with the others.
        if !entry.exposes.is_empty() && entry.exposes.len() <= INTRODUCED_CALLBACKS {
            let named = |id: &u32| Some((*id, self.callbacks.get(id)?.name.clone()));
            change.names = entry.exposes.iter().filter_map(named).collect();
            change.exposes.push((node, entry.exposes.iter().copied().collect()));
        }
        Some(change)
    }

    /// Whether so many nodes were introduced that all must be told before there are more.
    #[must_use]
    pub const fn is_full_of_introductions(&self) -> bool {
        self.pending.is_full_of_introductions()
    }

    /// Forgets a name with its last node: ids are plenty, memory for names of the past is not.
    fn withdraw(&mut self, index: u32, id: u32) {
        let Some(callback) = self.callbacks.get_mut(&id) else { return };
        callback.nodes.retain(|node| *node != index);
        if callback.nodes.is_empty()
            && let Some(callback) = self.callbacks.remove(&id)
        {
            self.ids.remove(&callback.name);
        }
    }

    /// Everything known now, as a newcomer is told it.
    pub fn tell_all(&mut self) -> Told {
        self.is_asked = true;
        if !self.snapshot.is_kept() {
            self.snapshot.begin();
            self.nodes.iter().for_each(|(index, entry)| self.snapshot.join(*index, &entry.name));
            // Ascending: nodes keep them in arrays, which grow.
            let mut names: Vec<_> = self.callbacks.iter().map(|(id, callback)| (*id, callback.name.as_str())).collect();
            names.sort_unstable_by_key(|(id, _)| *id);
            names.into_iter().for_each(|(id, name)| self.snapshot.name(id, name));
            let mut ids = Vec::new();
            for (index, entry) in self.nodes.iter().filter(|(_, entry)| !entry.exposes.is_empty()) {
                ids.clear();
                ids.extend(&entry.exposes);
                self.snapshot.expose(*index, &ids);
            }
        }
        self.snapshot.told()
    }

    /// A tick has passed. When nobody comes any more, what newcomers are told is not worth its memory.
    pub fn end_tick(&mut self) {
        if !mem::take(&mut self.is_asked) {
            self.snapshot.forget();
        }
    }

    /// The same as one change.
    #[must_use]
    pub fn snapshot(&self) -> RegistryChange {
        let exposing = self.nodes.iter().filter(|(_, entry)| !entry.exposes.is_empty());
        let mut names: Vec<_> = self.callbacks.iter().map(|(id, callback)| (*id, callback.name.clone())).collect();
        names.sort_unstable();
        RegistryChange {
            joined: self.nodes.iter().map(|(index, entry)| (*index, entry.name.clone())).collect(),
            names,
            exposes: exposing.map(|(index, entry)| (*index, entry.exposes.iter().copied().collect())).collect(),
            ..RegistryChange::default()
        }
    }

    /// Whether others are to be told something.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.pending.is_changed()
    }

    /// Takes what is to be told since the last time.
    pub fn take_changes(&mut self) -> Changes {
        mem::take(&mut self.pending).told(|id| self.callbacks.contains_key(&id))
    }
}

/// Callbacks of a node that are told with its introduction, at most.
const INTRODUCED_CALLBACKS: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::changes::split;
    use super::super::telling::Telling;
    use super::*;
    use daffi_protocol::limits::{HEADER_BYTES, MAX_FRAME_BODY_BYTES};
    use daffi_protocol::{Header, control};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn add(names: &[&str]) -> Register {
        Register { add: names.iter().map(ToString::to_string).collect(), remove: vec![] }
    }

    fn remove(names: &[&str]) -> Register {
        Register { add: vec![], remove: names.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn a_node_is_told_its_own_registration_at_once_and_the_others_once() {
        let mut registry = Registry::default();
        let (a, b) = (registry.join("a"), registry.join("b"));
        registry.take_changes();
        let own = registry.register(a, &add(&["f"])).unwrap();
        assert_eq!(own.names, [(1, "f".into())]);
        assert_eq!(own.exposes, [(a, vec![1])]);
        let changes = registry.take_changes();
        assert_eq!(changes.for_others().exposes, [(a, vec![1])]);
        assert!(changes.for_node(a).unwrap().exposes.is_empty());
        assert_eq!(changes.for_node(b), None);
        assert!(!registry.is_changed());
    }

    #[test]
    fn what_is_undone_before_it_is_told_is_not_told() {
        let mut registry = Registry::default();
        let (a, b) = (registry.join("a"), registry.join("b"));
        registry.register(b, &add(&["f"])).unwrap();
        registry.take_changes();
        registry.register(a, &add(&["f", "g"])).unwrap();
        registry.register(a, &remove(&["f", "g"])).unwrap();
        registry.register(b, &remove(&["f"])).unwrap();
        let c = registry.join("c");
        registry.leave(c);
        let told = registry.take_changes().for_others();
        assert_eq!(told, RegistryChange { withdraws: vec![(b, vec![1])], ..RegistryChange::default() });
        assert_eq!(registry.snapshot().names, []);
    }

    #[test]
    fn what_is_undone_twice_is_told_though_the_newcomer_of_that_time_has_left() {
        let mut registry = Registry::default();
        let (a, b) = (registry.join("a"), registry.join("b"));
        registry.register(b, &add(&["f"])).unwrap();
        registry.take_changes();
        registry.register(a, &add(&["f"])).unwrap();
        let newcomer = registry.join("newcomer");
        registry.register(a, &remove(&["f"])).unwrap();
        registry.leave(newcomer);
        registry.register(a, &add(&["f"])).unwrap();
        assert_eq!(registry.take_changes().for_others().exposes, [(a, vec![1])]);
    }

    #[test]
    fn bad_names_and_too_many_are_refused_whole() {
        let mut registry = Registry::default();
        let a = registry.join("a");
        assert_eq!(registry.register(a, &add(&["ok", "a\nb"])), Err(ErrorCode::InvalidName));
        let many = Register { add: (0..=MAX_CALLBACKS).map(|n| n.to_string()).collect(), remove: vec![] };
        assert_eq!(registry.register(a, &many), Err(ErrorCode::QuotaExceeded));
        assert_eq!(registry.snapshot().names, []);
        assert!(registry.exposers(1).is_empty());
    }

    #[test]
    fn a_large_change_is_cut_into_frames_that_fit_and_hold_all() {
        let mut registry = Registry::default();
        let a = registry.join("a");
        let names: Vec<String> = (0..MAX_CALLBACKS).map(|n| format!("{n:0>100}")).collect();
        registry.register(a, &Register { add: names, remove: vec![] }).unwrap();
        let pieces = split(registry.snapshot());
        assert!(pieces.len() > 10);
        for piece in &pieces {
            let frame = daffi_protocol::control::frame(daffi_protocol::Kind::RegistryChange, piece).unwrap();
            assert!(frame.len() < MAX_FRAME_BODY_BYTES as usize);
        }
        let ids: usize = pieces.iter().flat_map(|piece| &piece.exposes).map(|(_, ids)| ids.len()).sum();
        assert_eq!((ids, pieces.iter().map(|piece| piece.names.len()).sum()), (MAX_CALLBACKS, MAX_CALLBACKS));
    }

    #[test]
    fn a_newcomer_is_told_all_however_much_it_is_and_whatever_came_since() {
        let mut registry = Registry::default();
        for n in 0..20_000 {
            let index = registry.join(&format!("{n:0>30}"));
            if n % 100 == 0 {
                registry.register(index, &add(&["f", &n.to_string()])).unwrap();
            }
            if n % 1000 == 0 {
                let mut view = View::default();
                view.tell(&registry.tell_all());
                assert_eq!(view, View::of(&registry));
            }
        }
        let told = registry.tell_all();
        assert!(told.first.len() < MAX_FRAME_BODY_BYTES as usize && told.rest.len() > 3);
        registry
            .register(5, &Register { add: (0..MAX_CALLBACKS).map(|n| n.to_string()).collect(), remove: vec![] })
            .unwrap();
        for ticks in 0..3 {
            registry.leave(7 + ticks);
            (0..ticks).for_each(|_| registry.end_tick());
            let mut view = View::default();
            view.tell(&registry.tell_all());
            assert_eq!(view, View::of(&registry));
        }
    }

    #[test]
    fn a_newcomer_is_told_names_in_the_order_of_their_ids() {
        let mut registry = Registry::default();
        let a = registry.join("a");
        for n in 0..1000 {
            registry.register(a, &add(&[&n.to_string()])).unwrap();
        }
        let told: RegistryChange = control::parse(&registry.tell_all().first).unwrap();
        assert!(told.names.len() == 1000 && told.names.is_sorted());
    }

    #[test]
    fn thousands_that_come_at_once_are_told_of_each_other_once() {
        let mut registry = Registry::default();
        let mut views = BTreeMap::new();
        let mut come = |registry: &mut Registry, name: String| {
            let index = registry.join(&name);
            let mut view = View::default();
            view.tell(&registry.tell_all());
            if index.is_multiple_of(7) {
                view.apply(registry.register(index, &add(&[&name])).unwrap());
            }
            views.insert(index, view);
        };
        come(&mut registry, "first".into());
        registry.take_changes();
        (0..3000).for_each(|n| come(&mut registry, format!("{n:0>120}")));
        registry.leave(100);
        (3000..3100).for_each(|n| come(&mut registry, format!("{n:0>120}")));
        let mut telling = Telling::new(registry.take_changes());
        let truth = View::of(&registry);
        for (index, mut view) in views.into_iter().filter(|(index, _)| *index != 100) {
            telling.frames(index).iter().for_each(|frame| view.hear(frame));
            assert!((&view.nodes, &view.exposes) == (&truth.nodes, &truth.exposes), "{index}");
        }
    }

    /// What a node makes of what it is told.
    #[derive(Debug, Default, PartialEq)]
    struct View {
        nodes: BTreeMap<u32, String>,
        names: HashMap<u32, String>,
        exposes: BTreeSet<(u32, u32)>,
    }

    impl View {
        fn apply(&mut self, change: RegistryChange) {
            for (index, name) in change.joined {
                assert_eq!(self.nodes.insert(index, name), None, "{index} joined twice");
            }
            self.names.extend(change.names);
            for (index, ids) in change.exposes {
                self.exposes.extend(ids.into_iter().map(|id| (index, id)));
            }
            for (index, ids) in change.withdraws {
                ids.into_iter().for_each(|id| {
                    self.exposes.remove(&(index, id));
                });
            }
            for index in change.left {
                assert!(self.nodes.remove(&index).is_some(), "{index} left unknown");
                self.exposes.retain(|(node, _)| *node != index);
            }
        }

        fn tell(&mut self, told: &Told) {
            self.apply(control::parse(&told.first).unwrap());
            told.rest.iter().for_each(|frame| self.hear(frame));
        }

        fn hear(&mut self, frame: &[u8]) {
            let header = Header::decode(frame).unwrap().unwrap();
            assert!(frame.len() < MAX_FRAME_BODY_BYTES as usize);
            let change: RegistryChange =
                control::parse(&frame[HEADER_BYTES..HEADER_BYTES + header.body_len as usize]).unwrap();
            assert!(!change.is_empty());
            self.apply(change);
        }

        fn of(registry: &Registry) -> Self {
            let mut view = Self::default();
            view.apply(registry.snapshot());
            view
        }
    }

    proptest! {
        #[test]
        fn every_node_that_applies_what_it_is_told_knows_what_the_controller_knows(
            steps in prop::collection::vec((0u8..8, 0usize..4, 0usize..4), 1..80)
        ) {
            let mut registry = Registry::default();
            let mut views: BTreeMap<u32, View> = BTreeMap::new();
            for (step, who, what) in steps.into_iter().chain([(7, 0, 0)]) {
                let name = format!("n{who}");
                let index = registry.node_named(&name);
                let callback = ["f", "g", "h", "i"][what];
                match (step, index) {
                    (0 | 1, None) => {
                        let index = registry.join(&name);
                        let mut view = View::default();
                        view.tell(&registry.tell_all());
                        prop_assert_eq!(&view, &View::of(&registry));
                        views.insert(index, view);
                    }
                    (2, Some(index)) => {
                        registry.leave(index);
                        views.remove(&index);
                    }
                    (3 | 4, Some(index)) => {
                        let own = registry.register(index, &add(&[callback])).unwrap();
                        views.get_mut(&index).unwrap().apply(own);
                    }
                    (5, Some(index)) => {
                        let own = registry.register(index, &remove(&[callback])).unwrap();
                        views.get_mut(&index).unwrap().apply(own);
                    }
                    (6, Some(index)) => {
                        let to = registry.node_named(["n0", "n1", "n2", "n3"][what]);
                        if let Some(to) = to && let Some(change) = registry.introduce(index, to) {
                            views.get_mut(&to).unwrap().apply(change);
                        }
                        if let Some(to) = to {
                            prop_assert!(views[&to].nodes.contains_key(&index));
                        }
                    }
                    (7, _) => {
                        let mut telling = Telling::new(registry.take_changes());
                        for (index, view) in &mut views {
                            telling.frames(*index).iter().for_each(|frame| view.hear(frame));
                        }
                        let truth = View::of(&registry);
                        for view in views.values() {
                            prop_assert_eq!(&view.nodes, &truth.nodes);
                            prop_assert_eq!(&view.exposes, &truth.exposes);
                            for (id, name) in &truth.names {
                                prop_assert_eq!(view.names.get(id), Some(name));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
